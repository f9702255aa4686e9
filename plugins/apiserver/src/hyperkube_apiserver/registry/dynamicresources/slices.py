"""What devices nodes have. Source: k8s.io/kubernetes/pkg/{registry,apis}/resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.dynamicresources.devices import drop_disabled, validate_counters, validate_device
from hyperkube_apiserver.registry.dynamicresources.parts import (
    required_or,
    validate_driver,
    validate_each,
    validate_pool_name,
)
from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.podspec.scheduling import validate_node_selector
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext
from hyperkube_machinery.errors import FieldError

__all__ = ["Slices"]

_MOST_DEVICES = 128
_MOST_ADVANCED_DEVICES = 64
_MOST_COUNTER_SETS = 8
_ONE_OF = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


class Slices(Strategy):
    """A part of a driver's pool of devices."""

    counts_generation = True
    answers_deleted_object = True

    def default(self, obj: Tree) -> None:
        obj.setdefault("spec", {})

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        super().prepare_for_create(obj, context)
        drop_disabled(_devices(obj), ())
        _add_times(obj, context.now)

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        _add_times(obj, context.now)
        super().prepare_for_update(obj, old, context)
        drop_disabled(_devices(obj), _devices(old))

    def validate_object(self, obj: Tree) -> list[FieldError]:
        return _validate_spec(obj.get("spec") or {}, None)

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return _validate_spec(obj.get("spec") or {}, old.get("spec") or {})

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        driver = (obj.get("spec") or {}).get("driver") or ""
        if driver == driver.lower():
            return []
        return [f'spec.driver: driver names should be lowercase; "{driver}" contains uppercase characters']


def _devices(obj: Tree) -> list[Tree]:
    return (obj.get("spec") or {}).get("devices") or []


def _add_times(obj: Tree, now: str) -> None:
    for device in _devices(obj):
        for taint in device.get("taints") or ():
            taint.setdefault("timeAdded", now)


def _validate_spec(spec: Tree, old: Tree | None) -> list[FieldError]:
    errors = validate_driver(spec.get("driver") or "", "spec.driver") + _validate_pool(spec.get("pool") or {})
    if old is not None:
        name, before = ((one.get("pool") or {}).get("name") or "" for one in (spec, old))
        errors += object_meta.immutable("spec.pool.name", name, before)
        errors += object_meta.immutable("spec.driver", spec.get("driver") or "", old.get("driver") or "")
        errors += object_meta.immutable("spec.nodeName", spec.get("nodeName"), old.get("nodeName"))
    errors += _validate_where(spec)
    devices, sets = spec.get("devices") or [], spec.get("sharedCounters") or []
    if devices and sets:
        text = "only one of `sharedCounters` or `devices` is allowed"
        errors.append(FieldError.invalid("spec", "", text))
    advanced = any(device.get("taints") or device.get("consumesCounters") or _has_lists(device) for device in devices)
    most = _MOST_ADVANCED_DEVICES if advanced else _MOST_DEVICES
    known = {_name(device): device for device in (old or {}).get("devices") or ()}
    chooses = bool(spec.get("perDeviceNodeSelection"))

    def device(one: Tree, path: str) -> list[FieldError]:
        return validate_device(one, known.get(_name(one)), path, chooses_nodes=chooses)

    errors += validate_each(devices, most, device, "spec.devices", _name)
    return errors + validate_each(sets, _MOST_COUNTER_SETS, _validate_counter_set, "spec.sharedCounters", _name)


def _name(one: Mapping[str, Any]) -> str:
    return one.get("name") or ""


def _has_lists(device: Tree) -> bool:
    lists = ("bools", "ints", "strings", "versions")
    return any(attribute.get(field) for attribute in (device.get("attributes") or {}).values() for field in lists)


def _validate_pool(pool: Tree) -> list[FieldError]:
    errors = validate_pool_name(pool.get("name") or "", "spec.pool.name")
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        errors.append(FieldError.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero"))
    if generation < 0:
        text = "must be greater than or equal to zero"
        errors.append(FieldError.invalid("spec.pool.generation", generation, text))
    return errors


def _validate_where(spec: Tree) -> list[FieldError]:
    """The slice says in one of four ways on which nodes its devices are."""
    errors: list[FieldError] = []
    given: list[str] = []
    if (name := spec.get("nodeName")) is not None:
        if name:
            given.append("`nodeName`")
            errors += dns_subdomain(name, "spec.nodeName")
        else:
            text = "must be either unset or set to a non-empty string"
            errors.append(FieldError.invalid("spec.nodeName", name, text))
    if (selector := spec.get("nodeSelector")) is not None:
        given.append("`nodeSelector`")
        errors += validate_node_selector(selector, "spec.nodeSelector")
        terms = selector.get("nodeSelectorTerms") or []
        if len(terms) != 1:
            shown = [as_internal(term, "NodeSelectorTerm") for term in terms] or None
            text = "must have exactly one node selector term"
            errors.append(FieldError.invalid("spec.nodeSelector.nodeSelectorTerms", shown, text))
    for field in ("allNodes", "perDeviceNodeSelection"):
        if (value := spec.get(field)) is None:
            continue
        if value:
            given.append(f"`{field}`")
        else:
            errors.append(FieldError.invalid(f"spec.{field}", value, "must be either unset or set to true"))
    if not given:
        errors.append(FieldError.required("spec", _ONE_OF))
    elif len(given) > 1:
        text = f"{_ONE_OF}, but multiple fields are set"
        errors.append(FieldError.invalid("spec", f"{{{', '.join(given)}}}", text))
    return errors


def _validate_counter_set(one: Tree, path: str) -> list[FieldError]:
    errors = required_or(_name(one), f"{path}.name", dns_label)
    return errors + validate_counters(one.get("counters") or {}, f"{path}.counters")
