"""Which endpoint slices a service needs, made from those that there are with few writes. Computed from values.

Source: k8s.io/endpointslice/{reconciler,utils}.go and its util and trafficdist packages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_controller_manager.podstates import is_ready, node_of
from hyperkube_controller_manager.servicepods import (
    HEADLESS,
    addresses_of,
    container_port,
    hostname_of,
    is_headless,
    may_be_endpoint,
)
from hyperkube_controller_manager.templates import controller_reference, name_prefix
from hyperkube_machinery.meta import deletion_timestamp, labels_of, name, namespace, owner_references, uid

__all__ = ["CONTROLLER_NAME", "MANAGED_BY", "SERVICE_NAME", "Plan", "plan_slices"]

CONTROLLER_NAME = "endpointslice-controller.k8s.io"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME = "kubernetes.io/service-name"
_RESERVED = frozenset({MANAGED_BY, SERVICE_NAME, HEADLESS})
_ZONE = "topology.kubernetes.io/zone"
_VERSIONS = {"IPv4": 4, "IPv6": 6}

Tree = Mapping[str, Any]
Ports = tuple[tuple[str, str, int, str], ...]  # (name, protocol, number, application protocol), sorted
EndpointKey = tuple[tuple[str, ...], str, str]


@dataclass(slots=True)
class Plan:
    """The writes that bring a service's slices up to date. `homeless` are pods left out, whose node is not known."""

    create: list[dict[str, Any]] = field(default_factory=list)
    update: list[dict[str, Any]] = field(default_factory=list)
    delete: list[Tree] = field(default_factory=list)
    homeless: list[Tree] = field(default_factory=list)


def plan_slices(
    service: Tree,
    pods: Sequence[Tree],
    slices: Iterable[Tree],
    node: Callable[[str], Tree | None],
    *,
    most: int,
) -> Plan:
    """`slices` are the service's that are managed here and not being deleted; `most` endpoints fit into one."""
    plan, families = Plan(), _families(service)
    existing: dict[str, list[Tree]] = {family: [] for family in families}
    for one in slices:
        if one.get("addressType") in existing:
            existing[one["addressType"]].append(one)
        else:
            plan.delete.append(one)
    for family in families:
        part = _plan_family(service, pods, existing[family], node, family, most)
        plan.create += part.create
        plan.update += part.update
        plan.delete += part.delete
        plan.homeless += [pod for pod in part.homeless if pod not in plan.homeless]
    if deletion_timestamp(service) is not None:
        plan.create.clear()  # the collector of what a deleted service owned must not race with its replacement
    return plan


def _families(service: Tree) -> list[str]:
    spec = service["spec"]
    families = [family for family in spec.get("ipFamilies") or () if family in _VERSIONS]
    if families:
        return families
    if is_headless(service):
        return ["IPv4", "IPv6"]
    return ["IPv6" if ":" in spec["clusterIP"] else "IPv4"]


def _plan_family(
    service: Tree,
    pods: Sequence[Tree],
    existing: Sequence[Tree],
    node: Callable[[str], Tree | None],
    family: str,
    most: int,
) -> Plan:
    plan = Plan()
    by_ports: dict[Ports, list[Tree]] = {}
    for one in existing:
        if _is_owned(one, service):
            by_ports.setdefault(_ports_of_slice(one), []).append(one)
        else:
            plan.delete.append(one)
    desired: dict[Ports, dict[EndpointKey, dict[str, Any]]] = {}
    for pod in pods:
        if not may_be_endpoint(pod, going=True):
            continue
        endpoints = desired.setdefault(_ports_in_pod(service, pod), {})
        its_node = node(node_of(pod))
        if its_node is None and not service["spec"].get("publishNotReadyAddresses"):
            plan.homeless.append(pod)
        elif endpoint := _endpoint(pod, its_node, service, family):
            endpoints[_key(endpoint)] = endpoint
    for ports, endpoints in desired.items():
        _Group(service, family, ports, most).place(endpoints, by_ports.get(ports, []), plan)
    for ports, ones in by_ports.items():
        if ports not in desired:
            plan.delete += ones
    if len(existing) == len(plan.delete) and not plan.create:
        _keep_placeholder(service, family, plan)
    _reuse_deleted(service, plan)
    return plan


def _keep_placeholder(service: Tree, family: str, plan: Plan) -> None:
    """A service without endpoints has one empty slice, so that who reads slices knows of it."""
    placeholder = _new_slice(service, family, ())
    if len(plan.delete) == 1 and _is_placeholder(plan.delete[0], placeholder):
        plan.delete.clear()
    else:
        plan.create.append(placeholder)


def _is_placeholder(one: Tree, placeholder: Tree) -> bool:
    same_labels = dict(labels_of(one)) == placeholder["metadata"]["labels"]
    same_owner = list(owner_references(one)) == placeholder["metadata"]["ownerReferences"]
    return same_labels and same_owner and not one.get("ports") and not one.get("endpoints")


def _reuse_deleted(service: Tree, plan: Plan) -> None:
    """Write what is to be made over what is to be deleted: one write instead of two, and no moment without any."""
    for old in list(plan.delete):
        if not plan.create:
            return
        if _is_owned(old, service):
            new = plan.create.pop()
            meta = {**old["metadata"], "labels": new["metadata"]["labels"]}
            plan.update.append({**old, "metadata": meta, "ports": new["ports"], "endpoints": new["endpoints"]})
            plan.delete.remove(old)


def _is_owned(one: Tree, service: Tree) -> bool:
    return any(
        owner.get("uid") == uid(service) and owner.get("kind") == "Service" and owner.get("apiVersion") == "v1"
        for owner in owner_references(one)
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """The slices that have the same ports."""

    service: Tree
    family: str
    ports: Ports
    most: int

    def place(self, desired: dict[EndpointKey, dict[str, Any]], existing: Iterable[Tree], plan: Plan) -> None:
        """Add to `plan` what puts the endpoints into slices, where they are already as far as possible.

        What is changed anyway is filled first, then one that is unchanged if all the rest fits in, then new ones.
        """
        changed, unchanged = self._kept(desired, existing, plan)
        changed.sort(key=lambda one: -len(one["endpoints"]))
        for one in changed:
            self._fill(one, desired)
        if desired and len(desired) < self.most and (one_more := self._with_room(unchanged, len(desired))):
            changed.append({**one_more, "endpoints": list(one_more.get("endpoints") or ())})
            self._fill(changed[-1], desired)
        while desired:
            plan.create.append(_new_slice(self.service, self.family, self.ports))
            self._fill(plan.create[-1], desired)
        plan.update += changed

    def _kept(
        self, desired: dict[EndpointKey, dict[str, Any]], existing: Iterable[Tree], plan: Plan
    ) -> tuple[list[dict[str, Any]], list[Tree]]:
        """The existing slices without what is no longer desired, changed and unchanged; empty ones are deleted."""
        changed: list[dict[str, Any]] = []
        unchanged: list[Tree] = []
        for one in existing:
            before = one.get("endpoints") or []
            wanted = (desired.pop(_key(endpoint), None) for endpoint in before)
            kept = [endpoint for endpoint in wanted if endpoint is not None]
            labels = _labels(self.service)
            if before and not kept:
                plan.delete.append(one)
            elif kept == [_comparable(endpoint) for endpoint in before] and _same_labels(labels_of(one), labels):
                unchanged.append(one)
            else:
                meta = {**one["metadata"], "labels": labels}
                changed.append({**one, "metadata": meta, "endpoints": kept})
        return changed, unchanged

    def _with_room(self, slices: Iterable[Tree], count: int) -> Tree | None:
        """The fullest slice into which `count` more endpoints fit, and not an empty one."""
        sizes = ((len(one.get("endpoints") or ()), one) for one in slices)
        fitting = [(size, one) for size, one in sizes if size + count <= self.most]
        return max(fitting, key=lambda pair: pair[0])[1] if fitting else None

    def _fill(self, one: dict[str, Any], desired: dict[EndpointKey, dict[str, Any]]) -> None:
        for key in list(desired)[: max(0, self.most - len(one["endpoints"]))]:
            one["endpoints"].append(desired.pop(key))


def _key(endpoint: Tree) -> EndpointKey:
    """What makes an endpoint the same one after it changed."""
    target = endpoint.get("targetRef") or {}
    whose = f"{target.get('namespace', '')}/{target.get('name', '')}"
    return tuple(sorted(endpoint.get("addresses") or ())), endpoint.get("hostname") or "", whose


def _comparable(endpoint: Tree) -> dict[str, Any]:
    """The endpoint without what is not decided here."""
    target = {key: value for key, value in (endpoint.get("targetRef") or {}).items() if key != "resourceVersion"}
    shown = {key: value for key, value in endpoint.items() if value not in (None, "", {}, [])}
    return {**shown, "targetRef": target} if target else shown


def _endpoint(pod: Tree, node: Tree | None, service: Tree, family: str) -> dict[str, Any] | None:
    """The pod as an endpoint; None if it has no address of the family."""
    addresses = addresses_of(pod, _VERSIONS[family])
    if not addresses:
        return None
    serving, terminating = is_ready(pod), deletion_timestamp(pod) is not None
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    target = {"kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod)}
    endpoint: dict[str, Any] = {
        "addresses": addresses,
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": target,
    }
    optional = {
        "nodeName": node_of(pod),
        "zone": labels_of(node).get(_ZONE) if node is not None else "",
        "hostname": hostname_of(pod, service),
    }
    endpoint.update({key: value for key, value in optional.items() if value})
    hints = _hints(endpoint, service["spec"].get("trafficDistribution")) if ready else {}
    return {**endpoint, "hints": hints} if hints else endpoint


def _hints(endpoint: Tree, distribution: str | None) -> dict[str, Any]:
    """For whom the endpoint is nearest, if the service asks for near ones."""
    hints: dict[str, Any] = {}
    if distribution in ("PreferClose", "PreferSameZone", "PreferSameNode") and endpoint.get("zone"):
        hints["forZones"] = [{"name": endpoint["zone"]}]
    if distribution == "PreferSameNode" and endpoint.get("nodeName"):
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints


def _ports_in_pod(service: Tree, pod: Tree) -> Ports:
    wanted = service["spec"].get("ports") or ()
    numbers = ((port, container_port(pod, port)) for port in wanted)
    return tuple(sorted(_port_key(port, number) for port, number in numbers if number is not None))


def _ports_of_slice(one: Tree) -> Ports:
    ports = one.get("ports") or ()
    return tuple(sorted(_port_key(port, port.get("port") or 0) for port in ports))


def _port_key(port: Tree, number: int) -> tuple[str, str, int, str]:
    return port.get("name") or "", port.get("protocol") or "TCP", number, port.get("appProtocol") or ""


def _new_slice(service: Tree, family: str, ports: Ports) -> dict[str, Any]:
    shown = []
    for port_name, protocol, number, application in ports:
        port = {"name": port_name, "protocol": protocol, "port": number}
        shown.append({**port, "appProtocol": application} if application else port)
    meta = {
        "generateName": name_prefix(name(service)),
        "namespace": namespace(service),
        "labels": _labels(service),
        "ownerReferences": [controller_reference(service, "v1", "Service")],
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta,
        "addressType": family,
        "ports": shown,
        "endpoints": [],
    }


def _labels(service: Tree) -> dict[str, str]:
    """The service's labels, and what is said of the slice itself."""
    labels = {key: value for key, value in labels_of(service).items() if key not in _RESERVED}
    if is_headless(service):
        labels[HEADLESS] = ""
    return {**labels, SERVICE_NAME: name(service), MANAGED_BY: CONTROLLER_NAME}


def _same_labels(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether they agree in what the service's labels decide."""
    return {key: value for key, value in labels.items() if key not in _RESERVED} == {
        key: value for key, value in wanted.items() if key not in _RESERVED
    }
