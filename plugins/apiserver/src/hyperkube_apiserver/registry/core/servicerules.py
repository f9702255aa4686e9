"""What a service may say and how it may change.

Source: validateService, ValidateServiceUpdate in k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.addresses import (
    parse_address,
    validate_address,
    validate_endpoint_address,
    validate_network,
)
from hyperkube_apiserver.registry.core.clusterips import is_headless, validate_cluster_ips
from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain, invalid_each, one_of, port_number, qualified
from hyperkube_apiserver.registry.meta import validate_labels
from hyperkube_apiserver.registry.podspec.probes import validate_port_or_name
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import in_range

__all__ = ["is_external", "needs_health_port", "validate_balancer_status", "validate_changes", "validate_service"]

Tree = Mapping[str, Any]

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'"
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_TOPOLOGY_MODE, _TOPOLOGY_HINTS = (
    "service.kubernetes.io/topology-mode",
    "service.kubernetes.io/topology-aware-hints",
)
_DAY_SECONDS = 86400


def is_external(spec: Tree) -> bool:
    """Whether it is reached from outside the cluster."""
    kind = spec.get("type")
    return kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_port(spec: Tree) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def validate_service(obj: Tree, old: Tree | None) -> list[FieldError]:
    spec, before = obj.get("spec") or {}, (old or {}).get("spec") or {}
    kind = spec.get("type") or ""
    errors = _validate_topology(meta.annotations_of(obj))
    if not spec.get("ports") and not is_headless(spec) and kind != "ExternalName":
        errors.append(FieldError.required("spec.ports"))
    if kind in ("LoadBalancer", "NodePort") and is_headless(spec):
        text = f"may not be set to 'None' for {kind} services"
        errors.append(FieldError.invalid("spec.clusterIPs[0]", "None", text))
    if kind == "ExternalName":
        errors += _validate_external_name(spec)
    errors += _validate_ports(spec, kind)
    errors += validate_labels(spec.get("selector") or {}, "spec.selector")
    errors += _validate_affinity(spec)
    errors += validate_cluster_ips(spec, before if old is not None else None)
    known = before.get("externalIPs") or ()
    for index, address in enumerate(spec.get("externalIPs") or ()):
        at = f"spec.externalIPs[{index}]"
        wrong = [] if address in known else validate_address(address, at)
        errors += wrong or validate_endpoint_address(address, at, loopback=False)
    errors += one_of(kind, _TYPES, "spec.type", required=True)
    errors += _validate_source_ranges(obj, spec, old)
    if kind == "LoadBalancer":
        if spec.get("loadBalancerClass") is not None:
            errors += qualified(spec["loadBalancerClass"], "spec.loadBalancerClass")
    else:
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(field) is not None:
                errors.append(FieldError.forbidden(f"spec.{field}", _BALANCER_ONLY))
    return errors + _validate_traffic(spec)


def _validate_topology(annotations: Mapping[str, str]) -> list[FieldError]:
    mode, hints = annotations.get(_TOPOLOGY_MODE), annotations.get(_TOPOLOGY_HINTS)
    if None in (mode, hints) or mode == hints:
        return []
    text = f"must match annotations[{_TOPOLOGY_HINTS}] when both are specified"
    return [FieldError.invalid(f"metadata.annotations[{_TOPOLOGY_MODE}]", mode, text)]


def _validate_external_name(spec: Tree) -> list[FieldError]:
    errors = [
        FieldError.forbidden(f"spec.{field}", "may not be set for ExternalName services")
        for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
        if spec.get(field)
    ]
    name = (spec.get("externalName") or "").removesuffix(".")
    return errors + (dns_subdomain(name, "spec.externalName") if name else [FieldError.required("spec.externalName")])


def _validate_ports(spec: Tree, kind: str) -> list[FieldError]:
    ports = spec.get("ports") or ()
    errors: list[FieldError] = []
    names: set[str] = set()
    node_ports: set[tuple[str, int]] = set()
    numbers: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        at, name, protocol = f"spec.ports[{index}]", port.get("name") or "", port.get("protocol") or ""
        if name:
            errors += dns_label(name, f"{at}.name")
            if name in names:
                errors.append(FieldError.duplicate(f"{at}.name", name))
            names.add(name)
        elif len(ports) > 1:
            errors.append(FieldError.required(f"{at}.name"))
        number, node_port = port.get("port") or 0, port.get("nodePort") or 0
        errors += port_number(number, f"{at}.port")
        errors += one_of(protocol, ("SCTP", "TCP", "UDP"), f"{at}.protocol", required=True)
        errors += validate_port_or_name(port.get("targetPort"), f"{at}.targetPort")
        if port.get("appProtocol") is not None:
            errors += qualified(port["appProtocol"], f"{at}.appProtocol")
        if node_port and kind == "ClusterIP":
            errors.append(FieldError.forbidden(f"{at}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        if node_port and (protocol, node_port) in node_ports:
            errors.append(FieldError.duplicate(f"{at}.nodePort", node_port))
        node_ports.add((protocol, node_port))
        if (protocol, number) in numbers:
            shown = {"Name": "", "Protocol": protocol, "AppProtocol": None, "Port": number, "TargetPort": 0}
            errors.append(FieldError.duplicate(at, {**shown, "NodePort": 0}))
        numbers.add((protocol, number))
    return errors


def _validate_affinity(spec: Tree) -> list[FieldError]:
    """The configuration is complete: defaults see to that."""
    affinity = spec["sessionAffinity"]
    errors = one_of(affinity, ("ClientIP", "None"), "spec.sessionAffinity")
    if affinity == "ClientIP":
        seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
        if not 0 < seconds <= _DAY_SECONDS:
            detail = f"must be greater than 0 and less than {_DAY_SECONDS}"
            errors.append(FieldError.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, detail))
    return errors


def _validate_source_ranges(obj: Tree, spec: Tree, old: Tree | None) -> list[FieldError]:
    ranges, balanced = spec.get("loadBalancerSourceRanges") or (), spec.get("type") == "LoadBalancer"
    annotation = meta.annotations_of(obj).get(_SOURCE_RANGES)
    errors: list[FieldError] = []
    if ranges:
        path = "spec.LoadBalancerSourceRanges"  # upstream's spelling
        if not balanced:
            errors.append(FieldError.forbidden(path, _BALANCER_ONLY))
        known = {one.strip() for one in ((old or {}).get("spec") or {}).get("loadBalancerSourceRanges") or ()}
        for index, value in enumerate(ranges):
            if value.strip() not in known:
                errors += validate_network(value.strip(), f"{path}[{index}]")
    elif annotation is not None:
        path = f"metadata.annotations[{_SOURCE_RANGES}]"
        if not balanced:
            errors.append(FieldError.forbidden(path, _BALANCER_ONLY))
        if annotation.strip() and meta.annotations_of(old or {}).get(_SOURCE_RANGES) != annotation:
            for value in annotation.strip().split(","):
                errors += validate_network(value.strip(), path)
    return errors


def _validate_traffic(spec: Tree) -> list[FieldError]:
    errors: list[FieldError] = []
    external, port = spec.get("externalTrafficPolicy") or "", spec.get("healthCheckNodePort") or 0
    if is_external(spec):
        errors += one_of(external, ("Cluster", "Local"), "spec.externalTrafficPolicy", required=True)
    elif external:
        text = "may only be set for externally-accessible services"
        errors.append(FieldError.invalid("spec.externalTrafficPolicy", external, text))
    if needs_health_port(spec):
        errors += invalid_each("spec.healthCheckNodePort", port, in_range(port, 1, 65535))
    elif port:
        text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(FieldError.invalid("spec.healthCheckNodePort", port, text))
    internal = spec.get("internalTrafficPolicy")
    if internal is not None:
        errors += one_of(internal, ("Cluster", "Local"), "spec.internalTrafficPolicy")
    wish = spec.get("trafficDistribution")
    known = ("PreferClose", "PreferSameZone", "PreferSameNode")
    if wish is not None and wish not in known:
        errors.append(FieldError.not_supported("spec.trafficDistribution", wish, known))
    return errors


def validate_changes(spec: Tree, old: Tree) -> list[FieldError]:
    """What of a service's addresses, class and health port is fixed once it is given."""
    errors: list[FieldError] = []
    if "ExternalName" not in (spec.get("type"), old.get("type")):
        if not (is_headless(spec) and is_headless(old)):
            errors += _validate_fixed(spec, old, "clusterIPs")
        if not is_headless(spec) and not is_headless(old):
            errors += _validate_fixed(spec, old, "ipFamilies")
    if spec.get("type") == old.get("type") == "LoadBalancer":
        name = spec.get("loadBalancerClass")
        if name != old.get("loadBalancerClass"):
            errors.append(FieldError.invalid("spec.loadBalancerClass", name, "may not change once set"))
    # Upstream checks the class here and again with the rest.
    if spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass") is not None:
        errors += qualified(spec["loadBalancerClass"], "spec.loadBalancerClass")
    elif spec.get("loadBalancerClass") is not None:
        errors.append(FieldError.forbidden("spec.loadBalancerClass", _BALANCER_ONLY))
    same = (spec.get("healthCheckNodePort") or 0) == (old.get("healthCheckNodePort") or 0)
    if needs_health_port(spec) and needs_health_port(old) and not same:
        errors.append(FieldError.forbidden("spec.healthCheckNodePort", "field is immutable"))
    return errors


def _validate_fixed(spec: Tree, old: Tree, field: str) -> list[FieldError]:
    mine, theirs, path = list(spec.get(field) or ()), list(old.get(field) or ()), f"spec.{field}"
    errors: list[FieldError] = []
    if len(mine) == len(theirs):
        for index, (new, before) in enumerate(zip(mine, theirs, strict=True)):
            if new != before:
                at = f"{path}[{index}]" if field == "clusterIPs" else f"{path}[0]"
                errors.append(FieldError.invalid(at, mine, "may not change once set"))
        return errors
    if mine and theirs and mine[0] != theirs[0]:
        shown = list(spec.get("clusterIPs") or ())  # of the families too
        errors.append(FieldError.invalid(f"{path}[0]", shown, "may not change once set"))
    return errors


def validate_balancer_status(obj: Tree, old: Tree) -> list[FieldError]:
    path = "status.loadBalancer.ingress"
    entries, earlier = (
        ((one.get("status") or {}).get("loadBalancer") or {}).get("ingress") or () for one in (obj, old)
    )
    if entries and (obj.get("spec") or {}).get("type") != "LoadBalancer":
        return [FieldError.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    known = {entry.get("ip") for entry in earlier}
    errors: list[FieldError] = []
    for index, entry in enumerate(entries):
        at, address, mode = f"{path}[{index}]", entry.get("ip") or "", entry.get("ipMode")
        if address and address not in known:
            errors += validate_address(address, f"{at}.ip")
        if mode is None and address:
            errors.append(FieldError.required(f"{at}.ipMode", "must be specified when `ip` is set"))
        elif mode is not None and not address:
            errors.append(FieldError.forbidden(f"{at}.ipMode", "may not be specified when `ip` is not set"))
        elif mode is not None:
            errors += one_of(mode, ("Proxy", "VIP"), f"{at}.ipMode")
        if name := entry.get("hostname"):
            errors += dns_subdomain(name, f"{at}.hostname")
            if parse_address(name) is not None:
                text = "must be a DNS name, not an IP address"
                errors.append(FieldError.invalid(f"{at}.hostname", name, text))
    return errors
