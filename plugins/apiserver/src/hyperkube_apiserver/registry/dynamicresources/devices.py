"""The devices of a slice: attributes, capacities, counters, taints and the nodes that they are on.

Source: k8s.io/kubernetes/pkg/apis/resource/validation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.dynamicresources.capacities import validate_capacity
from hyperkube_apiserver.registry.dynamicresources.parts import (
    required_or,
    validate_bindings,
    validate_each,
    validate_qualified_name,
    validate_taint,
)
from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain
from hyperkube_apiserver.registry.podspec.scheduling import validate_node_selector
from hyperkube_machinery.errors import FieldError

__all__ = ["drop_disabled", "validate_counters", "validate_device"]

Tree = dict[str, Any]

_LISTS = ("bools", "ints", "strings", "versions")
_MAPPINGS = "nodeAllocatableResourceMappings"
_MOST_ATTRIBUTES = 32
_MOST_VALUES = 48
_MOST_TAINTS = 16
_MOST_CONSUMPTIONS = 2
_MOST_COUNTERS = 32
_VALUE_BYTES = 64
_KEY_LENGTH = 63 + 1 + 32
_WHERE = "is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
_ONE_OF = f"exactly one of `nodeName`, `nodeSelector`, or `allNodes` {_WHERE}"

_NUMBER = r"(0|[1-9][0-9]*)"
_PRERELEASE = r"(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD = "[0-9a-zA-Z-]+"
_version_re = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRERELEASE}(\.{_PRERELEASE})*)?(\+{_BUILD}(\.{_BUILD})*)?"
)


def drop_disabled(devices: Sequence[Tree], old: Sequence[Tree]) -> None:
    """Drop what needs features that are off unless a gate turns them on, if no stored device has it."""
    if not any(device.get(_MAPPINGS) for device in old):
        for device in devices:
            device.pop(_MAPPINGS, None)
    if not any(_has_lists(attribute) for device in old for attribute in _attributes(device)):
        for device in devices:
            for attribute in _attributes(device):
                for field in _LISTS:
                    attribute.pop(field, None)


def _attributes(device: Tree) -> Sequence[Tree]:
    return list((device.get("attributes") or {}).values())


def _has_lists(attribute: Tree) -> bool:
    return any(attribute.get(field) for field in _LISTS)


def validate_device(device: Tree, old: Tree | None, path: str, *, chooses_nodes: bool) -> list[FieldError]:
    """`old` is what the slice held by this name; `chooses_nodes` if each of its devices says where it is."""
    errors = dns_label(device.get("name") or "", f"{path}.name")
    attributes, capacities = device.get("attributes") or {}, device.get("capacity") or {}
    if (count := len(attributes) + len(capacities)) > _MOST_ATTRIBUTES:
        text = f"the total number of attributes and capacities must not exceed {_MOST_ATTRIBUTES}"
        errors.append(FieldError.invalid(path, count, text))
    values = sum(sum(len(one.get(field) or ()) for field in _LISTS) or 1 for one in attributes.values())
    if values > _MOST_VALUES:
        text = f"the total number of attribute values must not exceed {_MOST_VALUES}"
        errors.append(FieldError.invalid(path, values, text))
    for key, attribute in attributes.items():
        errors += validate_qualified_name(key, f"{path}.attributes")
        errors += _validate_attribute(attribute, f"{path}.attributes[{_shortened(key, _KEY_LENGTH)}]")
    shared = bool(device.get("allowMultipleAllocations"))
    for key, capacity in capacities.items():
        errors += validate_qualified_name(key, f"{path}.capacity")
        errors += validate_capacity(capacity, f"{path}.capacity[{_shortened(key, _KEY_LENGTH)}]", shared=shared)
    if old is None or old.get("taints") != device.get("taints"):
        errors += validate_each(device.get("taints") or (), _MOST_TAINTS, validate_taint, f"{path}.taints")
    errors += validate_each(
        device.get("consumesCounters") or (),
        _MOST_CONSUMPTIONS,
        _validate_consumption,
        f"{path}.consumesCounters",
        lambda one: one.get("counterSet") or "",
    )
    errors += _validate_where(device, path, chooses_nodes)
    return errors + validate_bindings(device, path)


def _validate_where(device: Tree, path: str, chooses_nodes: bool) -> list[FieldError]:
    name, selector, everywhere = (device.get(field) for field in ("nodeName", "nodeSelector", "allNodes"))
    if not chooses_nodes:
        if name is None and selector is None and everywhere is None:
            return []
        what = "`nodeName`, `nodeSelector` and `allNodes` can only be set if"
        text = f"{what} `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
        return [FieldError.invalid(path, None, text)]
    errors: list[FieldError] = []
    given: list[str] = []
    if name:
        given.append("`nodeName`")
        errors += dns_subdomain(name, f"{path}.nodeName")
    elif name is not None:
        errors.append(FieldError.invalid(f"{path}.nodeName", name, "must not be empty"))
    if selector is not None:
        given.append("`nodeSelector`")
        errors += validate_node_selector(selector, f"{path}.nodeSelector")
    if everywhere:
        given.append("`allNodes`")
    elif everywhere is not None:
        errors.append(FieldError.invalid(f"{path}.allNodes", everywhere, "must be either unset or set to true"))
    if not given:
        errors.append(FieldError.required(path, _ONE_OF))
    elif len(given) > 1:
        errors.append(FieldError.invalid(path, f"{{{', '.join(given)}}}", _ONE_OF))
    return errors


def _validate_attribute(attribute: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if (text := attribute.get("string")) is not None and len(text.encode()) > _VALUE_BYTES:
        errors.append(FieldError.too_long(f"{path}.string", _VALUE_BYTES))
    if (text := attribute.get("version")) is not None:
        if not _version_re.fullmatch(text):
            why = "must be a string compatible with semver.org spec 2.0.0"
            errors.append(FieldError.invalid(f"{path}.version", text, why))
        if len(text.encode()) > _VALUE_BYTES:
            errors.append(FieldError.too_long(f"{path}.version", _VALUE_BYTES))
    given = [field for field in ("int", "bool", "string", "version") if attribute.get(field) is not None]
    if len(given) != 1:
        shown = _shown_attribute(attribute) if given else ""
        errors.append(FieldError.invalid(path, shown, "exactly one value must be specified"))
    return errors


def _shown_attribute(attribute: Mapping[str, Any]) -> dict[str, Any]:
    single = {f"{field.capitalize()}Value": attribute.get(field) for field in ("int", "bool", "string", "version")}
    return single | {f"{field.capitalize()}Values": None for field in ("int", "bool", "string", "version")}


def _validate_consumption(consumption: Tree, path: str) -> list[FieldError]:
    errors = required_or(consumption.get("counterSet") or "", f"{path}.counterSet", dns_label)
    return errors + validate_counters(consumption.get("counters") or {}, f"{path}.counters")


def validate_counters(counters: Mapping[str, Any], path: str) -> list[FieldError]:
    """Counters by name; any amount is fine."""
    if not counters:
        return [FieldError.required(path)]
    if len(counters) > _MOST_COUNTERS:
        return [FieldError.too_many(path, len(counters), _MOST_COUNTERS)]
    return [error for name in counters for error in dns_label(name, path)]


def _shortened(key: str, most: int) -> str:
    """A key as paths show it: a long one without its middle."""
    if len(key) <= most:
        return key
    kept = most - 3
    return f"{key[: (kept + 1) // 2]}...{key[len(key) - kept // 2 :]}"
