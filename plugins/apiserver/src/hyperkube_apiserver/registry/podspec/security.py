"""Security contexts of pods and containers.

Source: ValidateSecurityContext, validatePodSpecSecurityContext, validateWindows in core validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_apiserver.registry.fields import invalid_each, one_of
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.podspec.paths import validate_descending_path
from hyperkube_apiserver.registry.podspec.windows import validate_windows_options
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import in_range

__all__ = [
    "validate_app_armor",
    "validate_container_security",
    "validate_operating_system",
    "validate_pod_security",
]

Tree = Mapping[str, Any]

_MAX_ID = 2**31 - 1
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"


def validate_container_security(
    context: Tree | None, path: str, *, host_users: bool, allow_privileged: bool
) -> list[FieldError]:
    if context is None:
        return []
    errors = _validate_ids(context, path, "runAsUser", "runAsGroup")
    if context.get("privileged") and not allow_privileged:
        errors.append(FieldError.forbidden(f"{path}.privileged", "disallowed by cluster policy"))
    mount = context.get("procMount")
    if mount is not None:
        if mount not in ("Default", "Unmasked"):
            errors.append(FieldError.not_supported(f"{path}.procMount", mount, ("Default", "Unmasked")))
        if host_users and mount == "Unmasked":
            text = "`hostUsers` must be false to use `Unmasked`"
            errors.append(FieldError.invalid(f"{path}.procMount", mount, text))
    errors += _validate_seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        shown = as_internal(context, "SecurityContext")
        if context.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(FieldError.invalid(path, shown, text))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(FieldError.invalid(path, shown, text))
    errors += validate_windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    return errors + validate_app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def validate_pod_security(spec: Tree, path: str) -> list[FieldError]:
    context = spec.get("securityContext")
    if context is None:
        return []
    errors = _validate_ids(context, path, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        errors += invalid_each(f"{path}.supplementalGroups[{index}]", group, in_range(group, 0, _MAX_ID))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(FieldError.invalid(f"{path}.shareProcessNamespace", True, text))
    errors += _validate_sysctls(spec, context.get("sysctls") or (), f"{path}.sysctls")
    for field, allowed in (
        ("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
        ("seLinuxChangePolicy", ("MountOption", "Recursive")),
    ):
        if context.get(field) is not None:
            errors += one_of(context[field], allowed, f"{path}.{field}")
    errors += _validate_seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    errors += validate_windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    return errors + validate_app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


def _validate_ids(context: Tree, path: str, *fields: str) -> list[FieldError]:
    return [
        error
        for field in fields
        if context.get(field) is not None
        for error in invalid_each(f"{path}.{field}", context[field], in_range(context[field], 0, _MAX_ID))
    ]


def _validate_sysctls(spec: Tree, sysctls: Any, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for index, one in enumerate(sysctls):
        name, at = one.get("name") or "", f"{path}[{index}].name"
        if not name:
            errors.append(FieldError.required(at))
        elif len(name) > 253 or not re.fullmatch(_SYSCTL, name):
            text = f"must have at most 253 characters and match regex ^{_SYSCTL}$"
            errors.append(FieldError.invalid(at, name, text))
        elif name in names:
            errors.append(FieldError.duplicate(at, name))
        dotted = name.replace("/", ".")
        if spec.get("hostNetwork") and dotted.startswith("net."):
            errors.append(FieldError.invalid(at, name, "may not be specified when 'hostNetwork' is true"))
        if spec.get("hostIPC") and dotted.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")):
            errors.append(FieldError.invalid(at, name, "may not be specified when 'hostIPC' is true"))
        names.add(name)
    return errors


def _validate_seccomp(profile: Tree | None, path: str) -> list[FieldError]:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    errors = _validate_profile_type(kind, path, "seccompProfile")
    if kind == "Localhost":
        if local is None:
            text = "must be set when seccomp type is Localhost"
            return [*errors, FieldError.required(f"{path}.localhostProfile", text)]
        return errors + validate_descending_path(local, f"{path}.localhostProfile")
    if local is not None:
        shown = {"Type": kind, "LocalhostProfile": local}
        text = "can only be set when seccomp type is Localhost"
        errors.append(FieldError.invalid(f"{path}.localhostProfile", shown, text))
    return errors


def validate_app_armor(profile: Tree | None, path: str) -> list[FieldError]:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    errors = _validate_profile_type(kind, path, "appArmorProfile")
    if kind == "Localhost":
        if not local:
            text = "must be set when AppArmor type is Localhost"
            errors.append(FieldError.required(f"{path}.localhostProfile", text))
        elif local != local.strip():
            errors.append(FieldError.invalid(f"{path}.localhostProfile", local, "must not be padded with whitespace"))
        if len((local or "").encode()) > 4095:
            errors.append(FieldError.too_long(f"{path}.localhostProfile", 4095))
    elif kind in _PROFILES and local is not None:
        text = "can only be set when AppArmor type is Localhost"
        errors.append(FieldError.invalid(f"{path}.localhostProfile", local, text))
    return errors


def _validate_profile_type(kind: str, path: str, field: str) -> list[FieldError]:
    if not kind:
        return [FieldError.required(f"{path}.type", f"type is required when {field} is set")]
    return [] if kind in _PROFILES else [FieldError.not_supported(f"{path}.type", kind, _PROFILES)]


def _contexts(spec: Tree, path: str) -> Iterator[tuple[Tree, str]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            yield container.get("securityContext") or {}, f"{path}.{field}[{index}].securityContext"


_NOT_ON_WINDOWS_POD = (
    *("appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser"),
    *("runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy"),
)
_NOT_ON_WINDOWS_CONTAINER = (
    *("appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged"),
    *("allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup"),
)


def validate_operating_system(spec: Tree, path: str) -> list[FieldError]:
    """spec.os, and what may not be said on a pod for it."""
    os = spec.get("os")
    if os is None:
        return []
    name = os.get("name") or ""
    if not name:
        return [FieldError.required(f"{path}.os.name")]
    if name not in ("linux", "windows"):
        return [FieldError.not_supported(f"{path}.os", name, ("linux", "windows"))]
    context, errors = spec.get("securityContext") or {}, []
    if name == "linux":
        why = "windows options cannot be set for a linux pod"
        if context.get("windowsOptions") is not None:
            errors.append(FieldError.forbidden(f"{path}.securityContext.windowsOptions", why))
        for one, at in _contexts(spec, path):
            if one.get("windowsOptions") is not None:
                errors.append(FieldError.forbidden(f"{at}.windowsOptions", why))
        return errors
    why = "cannot be set for a windows pod"
    for field in _NOT_ON_WINDOWS_POD:
        if context.get(field) is not None:
            errors.append(FieldError.forbidden(f"{path}.securityContext.{field}", why))
    for field in ("hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"):
        if spec.get(field) is not None and (spec[field] or field in ("hostUsers", "shareProcessNamespace")):
            errors.append(FieldError.forbidden(f"{path}.{field}", why))
    for one, at in _contexts(spec, path):
        for field in _NOT_ON_WINDOWS_CONTAINER:
            if one.get(field) is not None:
                errors.append(FieldError.forbidden(f"{at}.{field}", why))
    return errors
