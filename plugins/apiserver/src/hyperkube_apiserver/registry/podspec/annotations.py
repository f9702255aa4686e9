"""Annotations that mean something for pods.

Source: ValidatePodSpecificAnnotations in k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.annotationlists import parse_list
from hyperkube_apiserver.registry.podspec.apparmor import APP_ARMOR_PREFIX
from hyperkube_apiserver.registry.podspec.paths import validate_descending_path
from hyperkube_apiserver.registry.podspec.scheduling import validate_tolerations
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.jsontext import BadJSON

__all__ = ["MIRROR", "validate_pod_annotations"]

Tree = Mapping[str, Any]

MIRROR = "kubernetes.io/config.mirror"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_TOLERATIONS = "scheduler.alpha.kubernetes.io/tolerations"
_TOLERATION = {
    "key": "string",
    "operator": "core.TolerationOperator",
    "value": "string",
    "effect": "core.TaintEffect",
    "tolerationSeconds": "int64",
}
_SECCOMP, _CONTAINER_SECCOMP = (
    "seccomp.security.alpha.kubernetes.io/pod",
    "container.seccomp.security.alpha.kubernetes.io/",
)


def validate_pod_annotations(annotations: Mapping[str, str], spec: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if MIRROR in annotations and not spec.get("nodeName"):
        text = "must set spec.nodeName if mirror pod annotation is set"
        errors.append(FieldError.invalid(f"{path}[{MIRROR}]", annotations[MIRROR], text))
    if tolerations := annotations.get(_TOLERATIONS):
        errors += _validate_tolerations(tolerations, path)
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not (re.fullmatch("0|-?[1-9][0-9]*", cost) and -(2**31) <= int(cost) < 2**31):
        errors.append(FieldError.invalid(f"{path}[{_DELETION_COST}]", cost, "must be a 32bit integer"))
    for key, value in annotations.items():
        if key == _SECCOMP or key.startswith(_CONTAINER_SECCOMP):
            errors += _validate_seccomp(value, f"{path}.{key}")
        elif key.startswith(APP_ARMOR_PREFIX):
            errors += _validate_app_armor(key.removeprefix(APP_ARMOR_PREFIX), value, spec, f"{path}[{key}]")
    return errors


def _validate_tolerations(text: str, path: str) -> list[FieldError]:
    try:
        tolerations = parse_list(text, "Toleration", _TOLERATION)
    except BadJSON as exc:
        return [FieldError.invalid(path, _TOLERATIONS, str(exc))]
    return validate_tolerations(tolerations, f"{path}.{_TOLERATIONS}")


def _validate_seccomp(profile: str, path: str) -> list[FieldError]:
    if profile in ("runtime/default", "docker/default", "unconfined"):
        return []
    if profile.startswith("localhost/"):
        return validate_descending_path(profile.removeprefix("localhost/"), path)
    return [FieldError.invalid(path, profile, "must be a valid seccomp profile")]


def _validate_app_armor(container: str, profile: str, spec: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    fields = ("initContainers", "containers", "ephemeralContainers")
    if not any(one.get("name") == container for field in fields for one in spec.get(field) or ()):
        errors.append(FieldError.invalid(path, container, "container not found"))
    if profile not in ("", "runtime/default", "unconfined") and not profile.startswith("localhost/"):
        errors.append(FieldError.invalid(path, profile, f'invalid AppArmor profile name: "{profile}"'))
    return errors
