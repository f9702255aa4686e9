"""Endpoint slices. Source: k8s.io/kubernetes/pkg/registry/discovery/endpointslice, pkg/apis/discovery/validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hyperkube_apiserver.registry.addresses import (
    address_warnings,
    validate_address,
    validate_canonical_address,
    validate_endpoint_address,
)
from hyperkube_apiserver.registry.core.endpoints import PROTOCOLS
from hyperkube_apiserver.registry.fields import checked, dns_label, dns_subdomain, one_of, qualified
from hyperkube_apiserver.registry.meta import immutable
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_label, dns1123_subdomain, label_value

__all__ = ["EndpointSlices"]

_TYPES = ("FQDN", "IPv4", "IPv6")
_MOST_ADDRESSES = 100
_MOST_ENDPOINTS = 1000
_MOST_PORTS = 20000
_MOST_HINTS = 8
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")


class EndpointSlices(Strategy):
    revalidates_meta = True
    counts_generation = True

    def default(self, obj: Tree) -> None:
        for field in ("endpoints", "ports"):
            obj[field] = obj.get(field) or None  # written even when there are none
        for endpoint in obj["endpoints"] or ():
            if endpoint.get("conditions") is None:
                endpoint["conditions"] = {}
        for port in obj["ports"] or ():
            if port.get("name") is None:
                port["name"] = ""
            if port.get("protocol") is None:
                fill(port, protocol="TCP")

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        super().prepare_for_create(obj, context)
        _drop_topology(obj)

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        super().prepare_for_update(obj, old, context)
        _drop_topology(obj)

    def is_new_generation(self, obj: Tree, old: Tree) -> bool:
        fields = (set(obj) | set(old)) - {"metadata", "kind", "apiVersion"}
        return any(obj.get(field) != old.get(field) for field in fields) or meta.labels_of(obj) != meta.labels_of(old)

    def validate_own_meta_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        return []  # it is checked as a new object's is

    def validate_object(self, obj: Tree) -> list[FieldError]:
        kind = obj.get("addressType") or ""
        errors = one_of(kind, _TYPES, "addressType", required=True)
        errors += _validate_ports(obj["ports"] or (), "ports")
        loopback = self.policy.loopback_endpoints
        return errors + _validate_endpoints(obj["endpoints"] or (), kind, "endpoints", loopback=loopback)

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        new, before = (one.get("addressType") or "" for one in (obj, old))
        return self.validate_object(obj) + immutable("addressType", new, before)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        old_type = old is None and obj.get("addressType") == "FQDN"
        texts = ["spec.addressType: FQDN endpoints are deprecated"] if old_type else []
        if meta.labels_of(obj).get(_MANAGED_BY) in _CONTROLLERS:
            return texts  # they write addresses in the form that is asked for, and many of them
        return texts + [
            text
            for index, endpoint in enumerate(obj["endpoints"] or ())
            for position, address in enumerate(endpoint.get("addresses") or ())
            for text in address_warnings(address, f"endpoints[{index}].addresses[{position}]")
        ]


def _drop_topology(obj: Tree) -> None:
    """The field of an earlier version can't be written through this one."""
    for endpoint in obj["endpoints"] or ():
        endpoint.pop("deprecatedTopology", None)


def _validate_ports(ports: Sequence[Tree], path: str) -> list[FieldError]:
    if len(ports) > _MOST_PORTS:
        return [FieldError.too_many(path, len(ports), _MOST_PORTS)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"{path}[{index}]", port["name"]
        if name:
            errors += dns_label(name, f"{at}.name")
        if name in seen:
            errors.append(FieldError.duplicate(f"{at}.name", name))
        seen.add(name)
        errors += one_of(port.get("protocol") or "", PROTOCOLS, f"{at}.protocol")
        if port.get("appProtocol") is not None:
            errors += qualified(port["appProtocol"], f"{at}.appProtocol")
    return errors


def _validate_endpoints(endpoints: Sequence[Tree], kind: str, path: str, *, loopback: bool) -> list[FieldError]:
    if len(endpoints) > _MOST_ENDPOINTS:
        return [FieldError.too_many(path, len(endpoints), _MOST_ENDPOINTS)]
    errors: list[FieldError] = []
    for index, endpoint in enumerate(endpoints):
        at = f"{path}[{index}]"
        errors += _validate_addresses(endpoint.get("addresses") or (), kind, f"{at}.addresses", loopback=loopback)
        if endpoint.get("nodeName") is not None:
            errors += dns_subdomain(endpoint["nodeName"], f"{at}.nodeName")
        if endpoint.get("hostname") is not None:
            errors += dns_label(endpoint["hostname"], f"{at}.hostname")
        if endpoint.get("hints") is not None:
            errors += _validate_hints(endpoint["hints"], f"{at}.hints")
    return errors


def _validate_addresses(addresses: Sequence[str], kind: str, path: str, *, loopback: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    if not addresses:
        errors.append(FieldError.required(path, "must contain at least 1 address"))
    elif len(addresses) > _MOST_ADDRESSES:
        errors.append(FieldError.too_many(path, len(addresses), _MOST_ADDRESSES))
    for index, address in enumerate(addresses):
        at = f"{path}[{index}]"
        if kind == "FQDN":
            errors += _validate_domain(address, at)
        elif kind in _TYPES:
            wrong = (validate_address if kind == "IPv4" else validate_canonical_address)(address, at)
            if not wrong:
                if (":" in address) != (kind == "IPv6"):
                    wrong.append(FieldError.invalid(path, address, f"must be an {kind} address"))
                wrong += validate_endpoint_address(address, at, loopback=loopback)
            errors += wrong
    return errors


def _validate_domain(name: str, path: str) -> list[FieldError]:
    if not name:
        return [FieldError.required(path)]
    name = name.removesuffix(".")
    if wrong := dns1123_subdomain(name):
        return [FieldError.invalid(path, name, ",".join(wrong))]
    labels = name.split(".")
    if len(labels) < 2:
        text = "should be a domain with at least two segments separated by dots"
        return [FieldError.invalid(path, name, text)]
    bad = next((label for label in labels if dns1123_label(label)), None)
    return [] if bad is None else [FieldError.invalid(path, bad, ",".join(dns1123_label(bad)))]


def _validate_hints(hints: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for field, check in (("forZones", label_value), ("forNodes", dns1123_subdomain)):
        listed = hints.get(field) or ()
        if len(listed) > _MOST_HINTS:
            return [*errors, FieldError.too_many(f"{path}.{field}", len(listed), _MOST_HINTS)]
        names = [one.get("name") or "" for one in listed]
        errors += _duplicates(names, f"{path}.{field}")
        for index, name in enumerate(names):
            errors += checked(check, name, f"{path}.{field}[{index}].name")
    return errors


def _duplicates(names: Iterable[Any], path: str) -> list[FieldError]:
    names = list(names)
    return [
        FieldError.duplicate(f"{path}[{index}].name", name) for index, name in enumerate(names) if name in names[:index]
    ]
