"""Volumes as containers use them. Source: ValidateVolumeMounts, ValidateVolumeDevices in core validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.fields import one_of
from hyperkube_apiserver.registry.podspec.paths import validate_descending_path, validate_no_backsteps
from hyperkube_machinery.errors import FieldError

__all__ = ["validate_devices", "validate_mounts"]

Tree = Mapping[str, Any]


def validate_mounts(container: Tree, volumes: Mapping[str, Tree], path: str) -> list[FieldError]:
    """`volumes` are the valid ones of the pod, by name."""
    errors: list[FieldError] = []
    devices = container.get("volumeDevices") or ()
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        at = f"{path}[{index}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(FieldError.required(f"{at}.name"))
        if name not in volumes:
            errors.append(FieldError.not_found(f"{at}.name", name))
        if not target:
            errors.append(FieldError.required(f"{at}.mountPath"))
        if target in seen:
            errors.append(FieldError.invalid(f"{at}.mountPath", target, "must be unique"))
        seen.add(target)
        if any(device.get("name", "") == name for device in devices):
            errors.append(FieldError.invalid(f"{at}.name", name, "must not already exist in volumeDevices"))
        if any(device.get("devicePath", "") == target for device in devices):
            text = "must not already exist as a path in volumeDevices"
            errors.append(FieldError.invalid(f"{at}.mountPath", target, text))
        sub, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
        # Upstream leaves the index out of the following paths.
        if sub:
            errors += validate_descending_path(sub, f"{path}.subPath")
        if expression:
            if sub:
                text = "subPathExpr and subPath are mutually exclusive"
                errors.append(FieldError.invalid(f"{at}.subPathExpr", expression, text))
            errors += validate_descending_path(expression, f"{path}.subPathExpr")
        errors += _validate_propagation(mount, container, f"{path}.mountPropagation")
        errors += _validate_recursive_read_only(mount, f"{path}.recursiveReadOnly")
    return errors


def _validate_propagation(mount: Tree, container: Tree, path: str) -> list[FieldError]:
    mode = mount.get("mountPropagation")
    if mode is None:
        return []
    errors = one_of(mode, ("Bidirectional", "HostToContainer", "None"), path)
    if mode == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        text = "Bidirectional mount propagation is available only to privileged containers"
        errors.append(FieldError.forbidden(path, text))
    return errors


def _validate_recursive_read_only(mount: Tree, path: str) -> list[FieldError]:
    mode = mount.get("recursiveReadOnly")
    if mode in (None, "Disabled"):
        return []
    if mode not in ("Enabled", "IfPossible"):
        return one_of(mode, ("Disabled", "Enabled", "IfPossible"), path)
    errors: list[FieldError] = []
    if not mount.get("readOnly"):
        errors.append(FieldError.forbidden(path, "may only be specified when readOnly is true"))
    if mount.get("mountPropagation") not in (None, "None"):
        text = "may only be specified when mountPropagation is None or not specified"
        errors.append(FieldError.forbidden(path, text))
    return errors


def validate_devices(container: Tree, volumes: Mapping[str, Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    mounts = container.get("volumeMounts") or ()
    names: set[str] = set()
    targets: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        at = f"{path}[{index}]"
        name, target = device.get("name") or "", device.get("devicePath") or ""
        source = volumes.get(name)
        if not name:
            errors.append(FieldError.required(f"{at}.name"))
        if name in names:
            errors.append(FieldError.invalid(f"{at}.name", name, "must be unique"))
        if source is None:
            errors.append(FieldError.not_found(f"{at}.name", name))
        elif source.get("persistentVolumeClaim") is None and source.get("ephemeral") is None:
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(FieldError.invalid(f"{at}.name", name, text))
        if not target:
            errors.append(FieldError.required(f"{at}.devicePath"))
        if target in targets:
            errors.append(FieldError.invalid(f"{at}.devicePath", target, "must be unique"))
        if target and validate_no_backsteps(target, ""):
            errors.append(FieldError.invalid(f"{at}.devicePath", target, "can not contain backsteps ('..')"))
        else:
            targets.add(target)
        if any(mount.get("name", "") == name for mount in mounts):
            errors.append(FieldError.invalid(f"{at}.name", name, "must not already exist in volumeMounts"))
        if any(mount.get("mountPath", "") == target for mount in mounts):
            text = "must not already exist as a path in volumeMounts"
            errors.append(FieldError.invalid(f"{at}.devicePath", target, text))
        if name:
            names.add(name)
    return errors
