"""The cluster IPs of a service and the families they are of.

Source: k8s.io/kubernetes/pkg/registry/core/service/storage/alloc.go, ValidateServiceClusterIPsRelatedFields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.addresses import parse_address, validate_address
from hyperkube_apiserver.registry.fields import one_of
from hyperkube_machinery.errors import FieldError

__all__ = ["family_of", "fill_families", "is_headless", "match_cluster_ips", "validate_cluster_ips"]

Tree = dict[str, Any]

_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")


def is_headless(spec: Mapping[str, Any]) -> bool:
    return (spec.get("clusterIPs") or []) == ["None"]


def family_of(address: str) -> str:
    return f"IPv{getattr(parse_address(address), 'version', 4)}"


def match_cluster_ips(spec: Tree, old: Tree | None) -> None:
    """Let clusterIP and clusterIPs say the same where a client, perhaps an old one, changed one of them."""
    mine = spec.get("clusterIP") or ""
    if old is None:
        if mine and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [mine]
        return
    theirs, earlier = old.get("clusterIP") or "", old.get("clusterIPs") or []
    if earlier and not spec.get("clusterIPs") and mine == theirs:
        spec["clusterIPs"] = list(earlier)
    if mine == theirs or (spec.get("clusterIPs") or []) != earlier:
        return
    if theirs and not mine:
        spec.pop("clusterIPs", None)
    else:
        spec["clusterIPs"] = [mine]


def validate_cluster_ips(spec: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    if spec.get("type") == "ExternalName":
        return []
    errors: list[FieldError] = []
    first, addresses = spec.get("clusterIP") or "", list(spec.get("clusterIPs") or ())
    families, path = spec.get("ipFamilies") or [], "spec.clusterIPs"
    if first and addresses[:1] != [first]:
        errors.append(FieldError.invalid(path, addresses, "first value must match `clusterIP`"))
    elif addresses and not first:
        errors.append(FieldError.invalid(path, addresses, "must be empty when `clusterIP` is not specified"))
    for index, family in enumerate(families):
        at = f"spec.ipFamilies[{index}]"
        errors += one_of(family, ("IPv4", "IPv6"), at)
        if family in families[:index]:
            errors.append(FieldError.duplicate(at, family))
    if spec.get("ipFamilyPolicy") is not None:
        errors += one_of(spec["ipFamilyPolicy"], _POLICIES, "spec.ipFamilyPolicy")
    known = (old or {}).get("clusterIPs") or ()
    wrong: list[FieldError] = []
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                wrong.append(FieldError.invalid(path, addresses, "'None' must be the first and only value"))
        elif address not in known:
            wrong += validate_address(address, f"{path}[{index}]")
    errors += wrong
    if len(addresses) > 2:
        errors.append(FieldError.invalid(path, addresses, "may only hold up to 2 values"))
    if wrong:
        return errors
    used = {family_of(address) for address in addresses}
    if len(addresses) > 1 and len(used) < 2:
        text = "may specify no more than one IP for each IP family"
        errors.append(FieldError.invalid(path, addresses, text))
    if not is_headless(spec):
        for index, (address, family) in enumerate(zip(addresses, families, strict=False)):
            if family in ("IPv4", "IPv6") and family_of(address) != family:
                text = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
                errors.append(FieldError.invalid(f"{path}[{index}]", address, text))
    return errors


def fill_families(spec: Tree, old: Tree | None, configured: Sequence[str]) -> list[FieldError]:
    """Decide ipFamilyPolicy and ipFamilies, by what is asked for and `configured` (the default family first)."""
    if spec.get("type") == "ExternalName" or _keeps_dual_wish(spec, old):
        return []
    headless = spec.get("clusterIP") == "None" and not spec.get("selector")
    if spec.get("ipFamilyPolicy") is None:
        if old is not None and old.get("ipFamilyPolicy") is not None:
            spec["ipFamilyPolicy"] = old["ipFamilyPolicy"]
        else:
            spec["ipFamilyPolicy"] = "RequireDualStack" if headless else "SingleStack"
    if errors := validate_cluster_ips(spec, old):
        return errors
    errors = _check_counts(spec, old)
    families = list(spec.get("ipFamilies") or ())
    for index, address in enumerate(spec.get("clusterIPs") or ()):
        if address == "None":
            break
        family = family_of(address)
        if index < len(families):
            continue
        if family in configured:
            families.append(family)
        else:
            text = f"{family} is not configured on this cluster"
            errors.append(FieldError.invalid(f"spec.clusterIPs[{index}]", spec["clusterIPs"], text))
    if errors:
        return errors
    policy = spec["ipFamilyPolicy"]
    if headless:
        # No addresses will be given, so any family will do.
        families = families or [configured[0]]
        if len(families) < 2 and policy != "SingleStack":
            families.append(_other(families[0]))
        spec["ipFamilies"] = families
        return []
    if policy == "RequireDualStack" and len(configured) < 2:
        text = "this cluster is not configured for dual-stack services"
        errors.append(FieldError.invalid("spec.ipFamilyPolicy", policy, text))
    for index, family in enumerate(families):
        if family not in configured:
            text = "not configured on this cluster"
            errors.append(FieldError.invalid(f"spec.ipFamilies[{index}]", family, text))
    if errors:
        return errors
    families = families or [configured[0]]
    if policy != "SingleStack" and len(families) == 1 and len(configured) == 2:
        families.append(_other(families[0]))
    spec["ipFamilies"] = families
    return []


def _other(family: str) -> str:
    return "IPv6" if family == "IPv4" else "IPv4"


def _keeps_dual_wish(spec: Tree, old: Tree | None) -> bool:
    """A service that would like both families and was given one is left alone."""
    if old is None or old.get("type") != spec.get("type"):
        return False
    wish = "PreferDualStack"
    if spec.get("ipFamilyPolicy") != wish or old.get("ipFamilyPolicy") not in (None, wish):
        return False
    return all((spec.get(field) or []) == (old.get(field) or []) for field in ("clusterIPs", "ipFamilies"))


def _check_counts(spec: Tree, old: Tree | None) -> list[FieldError]:
    """Whether the policy goes with how many addresses and families there are; drops what a single stack lets go."""
    errors: list[FieldError] = []
    policy, path = spec["ipFamilyPolicy"], "spec.ipFamilyPolicy"
    words = (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family"))
    for field, word in words:
        mine, theirs = spec.get(field) or [], (old or {}).get(field) or []
        if old is None:
            continue
        if policy == "SingleStack":
            if mine == theirs and len(mine) > 1:
                spec[field] = mine[:1]
        elif mine and len(mine) < len(theirs):
            text = f"must be 'SingleStack' to release the secondary {word}"
            errors.append(FieldError.invalid(path, policy, text))
    if policy == "SingleStack":
        for field, word in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
            if len(spec.get(field) or ()) == 2:
                text = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {word} are specified"
                errors.append(FieldError.invalid(path, policy, text))
    return errors
