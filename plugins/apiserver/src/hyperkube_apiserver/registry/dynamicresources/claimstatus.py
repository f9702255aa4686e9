"""What is allocated for a claim and who may use it. Source: k8s.io/kubernetes/pkg/apis/resource/validation."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.addresses import validate_interface_address
from hyperkube_apiserver.registry.conditions import validate_conditions
from hyperkube_apiserver.registry.dynamicresources.parts import (
    MOST_CONFIGS,
    validate_bindings,
    validate_configuration,
    validate_driver,
    validate_each,
    validate_pool_name,
    validate_raw,
    validate_uid,
)
from hyperkube_apiserver.registry.dynamicresources.requests import RequestNames
from hyperkube_apiserver.registry.dynamicresources.shown import shown
from hyperkube_apiserver.registry.fields import dns_label, one_of
from hyperkube_apiserver.registry.podspec.scheduling import validate_node_selector
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError

__all__ = ["device_id", "validate_status"]

Tree = Mapping[str, Any]

_MOST_CONSUMERS = 256
_MOST_RESULTS = 32
_MOST_CONDITIONS = 8
_MOST_ADDRESSES = 16
_INTERFACE_BYTES = 256
_HARDWARE_BYTES = 128


def validate_status(obj: Tree, old: Tree) -> list[FieldError]:
    """What is wrong with the status of a claim, and with its change."""
    status, before = obj.get("status") or {}, old.get("status") or {}
    consumers: Sequence[Tree] = status.get("reservedFor") or ()
    allocation: Tree | None = status.get("allocation")
    errors = validate_each(consumers, _MOST_CONSUMERS, _validate_consumer, "status.reservedFor", _uid)
    results = ((allocation or {}).get("devices") or {}).get("results") or ()
    allocated = {device_id(result) for result in results}
    errors += _validate_devices(status.get("devices") or (), allocated, "status.devices")
    if consumers and allocation is None:
        text = "may not be specified when `allocated` is not set"
        errors.append(FieldError.forbidden("status.reservedFor", text))
    elif consumers and meta.metadata(obj).get("deletionTimestamp"):
        known: Sequence[Tree] = before.get("reservedFor") or ()
        if any(one not in known for one in consumers):
            text = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
            errors.append(FieldError.forbidden("status.reservedFor", text))
    if allocation is None:
        return errors
    if before.get("allocation") is None:
        names = RequestNames(((obj.get("spec") or {}).get("devices") or {}).get("requests") or ())
        return errors + _validate_allocation(allocation, names, "status.allocation")
    if allocation != before["allocation"]:
        value = shown(dict(allocation), "AllocationResult")
        errors.append(FieldError.invalid("status.allocation", value, object_meta.IMMUTABLE))
    return errors


def _uid(consumer: Tree) -> str:
    return consumer.get("uid") or ""


def _validate_consumer(consumer: Tree, path: str) -> list[FieldError]:
    return [FieldError.required(f"{path}.{field}") for field in ("resource", "name", "uid") if not consumer.get(field)]


def _validate_allocation(allocation: Tree, names: RequestNames, path: str) -> list[FieldError]:
    devices = allocation.get("devices") or {}

    def result(one: Tree, at: str) -> list[FieldError]:
        return names.validate_one(one.get("request") or "", f"{at}.request") + _validate_result(one, at)

    def config(one: Tree, at: str) -> list[FieldError]:
        errors = one_of(one.get("source") or "", ("FromClaim", "FromClass"), f"{at}.source", required=True)
        errors += names.validate(one.get("requests") or (), f"{at}.requests")
        return errors + validate_configuration(one, at)

    errors = validate_each(devices.get("results") or (), _MOST_RESULTS, result, f"{path}.devices.results")
    errors += validate_each(devices.get("config") or (), 2 * MOST_CONFIGS, config, f"{path}.devices.config")
    if (selector := allocation.get("nodeSelector")) is not None:
        errors += validate_node_selector(selector, f"{path}.nodeSelector")
    return errors


def _validate_result(result: Tree, path: str) -> list[FieldError]:
    errors = _validate_device_name(result, path) + validate_bindings(result, path)
    if (share := result.get("shareID")) is not None:
        errors += validate_uid(share, f"{path}.shareID")
    return errors


def _validate_device_name(device: Tree, path: str) -> list[FieldError]:
    errors = validate_driver(device.get("driver") or "", f"{path}.driver")
    errors += validate_pool_name(device.get("pool") or "", f"{path}.pool")
    return errors + dns_label(device.get("device") or "", f"{path}.device")


def _validate_devices(devices: Sequence[Tree], allocated: set[Hashable], path: str) -> list[FieldError]:
    errors = [
        error
        for index, device in enumerate(devices)
        for error in _validate_device(device, device_id(device) in allocated, f"{path}[{index}]")
    ]
    seen: set[Hashable] = set()
    for index, device in enumerate(devices):
        if device_id(device) in seen:
            errors.append(FieldError.duplicate(f"{path}[{index}]", _shown_id(device)))
        seen.add(device_id(device))
    return errors


def _validate_device(device: Tree, is_allocated: bool, path: str) -> list[FieldError]:
    errors = _validate_device_name(device, path)
    if (share := device.get("shareID")) is not None:
        errors += validate_uid(share, f"{path}.shareID")
    if not is_allocated:
        errors.append(FieldError.invalid(path, _shown_id(device), "must be an allocated device in the claim"))
    conditions = device.get("conditions") or ()
    if len(conditions) > _MOST_CONDITIONS:
        errors.append(FieldError.too_many(f"{path}.conditions", len(conditions), _MOST_CONDITIONS))
    errors += validate_conditions(conditions, f"{path}.conditions")
    if device.get("data") is not None:
        errors += validate_raw(device["data"], f"{path}.data")
    return errors + _validate_network(device.get("networkData") or {}, f"{path}.networkData")


def _validate_network(data: Tree, path: str) -> list[FieldError]:
    errors = [
        FieldError.too_long(f"{path}.{field}", most)
        for field, most in (("interfaceName", _INTERFACE_BYTES), ("hardwareAddress", _HARDWARE_BYTES))
        if len((data.get(field) or "").encode()) > most
    ]
    return errors + validate_each(
        data.get("ips") or (), _MOST_ADDRESSES, validate_interface_address, f"{path}.ips", str
    )


def device_id(device: Tree) -> Hashable:
    """What tells a share of a device from others."""
    return tuple(device.get(field) or "" for field in ("driver", "pool", "device", "shareID"))


def _shown_id(device: Tree) -> dict[str, str]:
    fields = {"Driver": "driver", "Pool": "pool", "Device": "device", "ShareID": "shareID"}
    return {shown_as: device.get(field) or "" for shown_as, field in fields.items()}
