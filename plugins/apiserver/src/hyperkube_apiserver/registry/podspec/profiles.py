"""Security profiles that a new pod names twice, in annotations and in fields: both must say the same.

Source: validateSeccompAnnotationsAndFields, validateAppArmorAnnotationsAndFieldsMatchOnCreate in core validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_apiserver.registry.podspec.apparmor import APP_ARMOR_PREFIX
from hyperkube_machinery.errors import FieldError

__all__ = ["validate_matching_profiles"]

Tree = Mapping[str, Any]

_SECCOMP, _CONTAINER_SECCOMP = (
    "seccomp.security.alpha.kubernetes.io/pod",
    "container.seccomp.security.alpha.kubernetes.io/",
)
_LOCALHOST = "localhost/"
_SAME = {"Unconfined": ("unconfined",), "RuntimeDefault": ("runtime/default",)}
_SAME_SECCOMP = {**_SAME, "RuntimeDefault": ("runtime/default", "docker/default")}


def validate_matching_profiles(annotations: Mapping[str, str], spec: Tree) -> list[FieldError]:
    if not annotations:
        return []
    whole = spec.get("securityContext") or {}
    errors = list(_seccomp(annotations.get(_SECCOMP), whole, "spec"))
    windows = (spec.get("os") or {}).get("name") == "windows"
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            path, name = f"spec.{field}[{index}]", container.get("name") or ""
            own = container.get("securityContext") or {}
            errors += _seccomp(annotations.get(f"{_CONTAINER_SECCOMP}{name}"), own, path)
            profile = own.get("appArmorProfile") or whole.get("appArmorProfile")
            annotation = annotations.get(f"{APP_ARMOR_PREFIX}{name}")
            if not windows:
                at = f"{path}.securityContext.appArmorProfile"
                errors += _compare(annotation, profile, _SAME, at, "apparmor")
    return errors


def _seccomp(annotation: str | None, context: Tree, path: str) -> Iterator[FieldError]:
    at = f"{path}.securityContext.seccompProfile"
    return _compare(annotation, context.get("seccompProfile"), _SAME_SECCOMP, at, "seccomp")


def _compare(
    annotation: str | None, profile: Tree | None, same: Mapping[str, tuple[str, ...]], path: str, word: str
) -> Iterator[FieldError]:
    if annotation is None or profile is None:
        return
    kind = profile.get("type") or ""
    is_local = kind == "Localhost" and annotation.startswith(_LOCALHOST)
    if not is_local and kind in (*same, "Localhost") and annotation not in same.get(kind, ()):
        yield FieldError.forbidden(f"{path}.type", f"{word} type in annotation and field must match")
    if is_local and annotation.removeprefix(_LOCALHOST) != profile.get("localhostProfile"):
        yield FieldError.forbidden(f"{path}.localhostProfile", f"{word} profile in annotation and field must match")
