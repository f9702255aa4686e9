"""The ranges that cluster IPs come from, and the addresses of them that are taken.

Source: k8s.io/kubernetes/pkg/registry/networking/{servicecidr,ipaddress}, pkg/apis/networking/validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.addresses import (
    parse_network,
    validate_canonical_address,
    validate_canonical_network,
)
from hyperkube_apiserver.registry.fields import checked, dns_subdomain
from hyperkube_apiserver.registry.meta import IMMUTABLE
from hyperkube_apiserver.registry.strategy import Strategy, Tree, reset_meta_for_status
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import path_segment

__all__ = ["IPAddresses", "ServiceCIDRs"]


class IPAddresses(Strategy):
    """One taken address, which is the name."""

    revalidates_meta = True

    def name_rule(self, name: str, prefix: bool) -> list[str]:
        return [error.detail for error in validate_canonical_address(name, "")]

    def default(self, obj: Tree) -> None:
        obj.setdefault("spec", {})
        mine = meta.ensure_meta(obj)
        if mine.get("generateName") and not mine.get("name"):
            mine["name"] = mine["generateName"]  # no letters could follow an address

    def validate_object(self, obj: Tree) -> list[FieldError]:
        parent, path = obj["spec"].get("parentRef"), "spec.parentRef"
        if parent is None:
            return [FieldError.required(path)]
        errors: list[FieldError] = []
        if parent.get("group"):
            errors += dns_subdomain(parent["group"], f"{path}.group")
        for field in ("resource", "name"):
            value, at = parent.get(field), f"{path}.{field}"
            errors += checked(path_segment, value, at) if value else [FieldError.required(at)]
        if parent.get("namespace"):
            errors += checked(path_segment, parent["namespace"], f"{path}.namespace")
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors = self.validate_object(obj)
        new, before = (_parent(one["spec"].get("parentRef")) for one in (obj, old))
        return errors if new == before else [*errors, FieldError.invalid("spec.parentRef", new, IMMUTABLE)]


def _parent(reference: Mapping[str, Any] | None) -> dict[str, str] | None:
    """The reference as messages show it."""
    if reference is None:
        return None
    return {field.capitalize(): reference.get(field) or "" for field in ("group", "resource", "namespace", "name")}


class ServiceCIDRs(Strategy):
    """A range of each family at most; a second may come later."""

    def default(self, obj: Tree) -> None:
        obj.setdefault("spec", {})
        obj.setdefault("status", {})

    def prepare_status_update(self, obj: Tree, old: Tree) -> None:
        super().prepare_status_update(obj, old)
        reset_meta_for_status(obj, old)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return _validate_ranges(obj["spec"].get("cidrs") or [])

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        path, new, before = "spec.cidrs", *(one["spec"].get("cidrs") or [] for one in (obj, old))
        grows = (len(before), len(new)) == (1, 2)
        if len(new) != len(before) and not grows:
            return [FieldError.invalid(path, obj["spec"].get("cidrs"), IMMUTABLE)]
        errors = [
            FieldError.invalid(f"{path}[{index}]", text, IMMUTABLE)
            for index, (text, earlier) in enumerate(zip(new, before, strict=False))
            if text != earlier
        ]
        return errors + _validate_ranges(new) if grows else errors


def _validate_ranges(ranges: Sequence[str]) -> list[FieldError]:
    path = "spec.cidrs"
    if not ranges:
        return [FieldError.required(path, "at least one CIDR required")]
    if len(ranges) > 2:
        return [FieldError.invalid(path, {"CIDRs": ranges}, "may only hold up to 2 values")]
    errors = [
        error for index, text in enumerate(ranges) for error in validate_canonical_network(text, f"{path}[{index}]")
    ]
    networks = [parse_network(text) for text in ranges]
    if len(networks) == 2 and None not in networks and len({network.version for network in networks if network}) == 1:
        text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        errors.append(FieldError.invalid(path, ranges, text))
    return errors
