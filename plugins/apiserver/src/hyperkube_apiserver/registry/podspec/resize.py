"""Resizing a pod while it runs: what may change, and what a writer may not smuggle in beside it.

Source: podResizeStrategy in k8s.io/kubernetes/pkg/registry/core/pod, ValidatePodResize in core validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.podspec.annotations import MIRROR
from hyperkube_apiserver.registry.podspec.qos import qos_class
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.quantity import Quantity

__all__ = ["keep_all_but_size", "validate_resize"]

Tree = Mapping[str, Any]

_LISTS = ("containers", "initContainers")
_SIZE = ("resources", "resizePolicy")
_RESIZABLE = ("cpu", "memory")
_IMMUTABLE = "only cpu and memory resources are mutable"


def keep_all_but_size(obj: dict[str, Any], old: Tree) -> bool:
    """Undo what a resize changed of the spec beside sizes; False where it changed which containers there are.

    Those changes stay, for validation to refuse.
    """
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    if any(len(spec.get(field) or ()) != len(before.get(field) or ()) for field in _LISTS):
        return False
    kept = {field: value for field, value in before.items() if field != "resources"}
    if spec.get("resources") is not None:
        kept["resources"] = spec["resources"]
    for field in _LISTS:
        new, known = spec.get(field) or (), before.get(field) or ()
        if [one.get("name") for one in new] != [one.get("name") for one in known]:
            kept[field] = new
        elif known:
            kept[field] = [_resized(container, one) for container, one in zip(new, known, strict=True)]
    obj["spec"] = kept
    return True


def _resized(container: Tree, old: Tree) -> dict[str, Any]:
    kept = {field: value for field, value in old.items() if field not in _SIZE}
    return {**kept, **{field: container[field] for field in _SIZE if field in container}}


def validate_resize(obj: Tree, old: Tree) -> tuple[list[FieldError], bool]:
    """What is wrong with the change, and whether that is all there is to say of the pod."""
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    if MIRROR in meta.annotations_of(old):
        return [FieldError.forbidden("", "static pods cannot be resized")], True
    if (before.get("os") or {}).get("name") == "windows":
        return [FieldError.forbidden("", "windows pods cannot be resized")], True
    status = old.get("status") or {}
    errors: list[FieldError] = []
    if (status.get("qosClass") or qos_class(before)) != qos_class(spec):
        shown = (obj.get("status") or {}).get("qosClass") or ""
        errors.append(FieldError.invalid("spec", shown, "Pod QOS Class may not change as a result of resizing"))
    if not _is_supported(status):
        errors.append(FieldError.forbidden("spec", "Pod running on node without support for resize"))
    if _says_anything(before.get("resources")) or _says_anything(spec.get("resources")):
        errors += _validate_pod_level(spec.get("resources"), before.get("resources"))
    if status.get("nodeAllocatableResourceClaimStatuses"):
        text = "pods with node allocatable resource claims cannot be resized"
        errors.append(FieldError.forbidden("spec", text))
    moved = list(_moved(spec, before))
    if moved:
        return errors + moved, False
    for field in ("initContainers", "containers"):
        for index, (container, known) in enumerate(zip(spec.get(field) or (), before.get(field) or (), strict=True)):
            errors += _validate_kept(_resources(container), _resources(known), f"spec.{field}[{index}].resources")
    for container, known in zip(spec.get("containers") or (), before.get("containers") or (), strict=True):
        if not _differs_by_size_alone(container, known):
            errors.append(FieldError.forbidden("spec", _IMMUTABLE))
    errors += _validate_init_containers(spec.get("initContainers") or (), before.get("initContainers") or ())
    return errors, False


def _is_supported(status: Tree) -> bool:
    """Whether the node tells of resources, as far as one can tell: by the first container that runs."""
    running = (
        one for one in status.get("containerStatuses") or () if (one.get("state") or {}).get("running") is not None
    )
    first = next(running, None)
    return first is None or first.get("resources") is not None


def _says_anything(resources: Tree | None) -> bool:
    return bool(resources and (resources.get("requests") or resources.get("limits")))


def _moved(spec: Tree, before: Tree) -> Iterator[FieldError]:
    for field in _LISTS:
        new, known = spec.get(field) or (), before.get(field) or ()
        if len(new) != len(known):
            yield FieldError.forbidden(f"spec.{field}", f"{field} may not be added or removed on resize")
            continue
        for index, (container, one) in enumerate(zip(new, known, strict=True)):
            if container.get("name") != one.get("name"):
                text = f"{field} may not be renamed or reordered on resize"
                yield FieldError.forbidden(f"spec.{field}[{index}].name", text)


def _resources(container: Tree) -> Tree:
    return container.get("resources") or {}


def _validate_kept(new: Tree, old: Tree, path: str, subject: str = "resource") -> list[FieldError]:
    """Amounts may change, but not vanish."""
    return [
        FieldError.forbidden(f"{path}.{field}", f"{subject} {field} cannot be removed")
        for field in ("requests", "limits")
        if set(old.get(field) or ()) - set(new.get(field) or ())
    ]


def _validate_pod_level(new: Tree | None, old: Tree | None) -> list[FieldError]:
    if old is not None and new is None:
        return [FieldError.forbidden("spec.resources", "pod-level resources cannot be removed")]
    errors = _validate_kept(new or {}, old, "spec.resources", "pod-level resource") if old is not None else []
    if _rest(new) != _rest(old):
        errors.append(FieldError.forbidden("spec", f"{_IMMUTABLE} at pod-level"))
    return errors


def _validate_init_containers(new: Sequence[Tree], old: Sequence[Tree]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, (container, known) in enumerate(zip(new, old, strict=True)):
        path = f"spec.initContainers[{index}]"
        if not _differs_by_size_alone(container, known):
            text = "only cpu and memory resources for init or sidecar containers are mutable"
            errors.append(FieldError.forbidden(path, text))
        if container != known and container.get("restartPolicy") != "Always":
            text = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
            policies = container.get("resizePolicy") or ()
            errors += [
                FieldError.forbidden(path, text)
                for policy in policies
                if policy.get("restartPolicy") == "RestartContainer"
            ]
    return errors


def _differs_by_size_alone(container: Tree, old: Tree) -> bool:
    new, before = ({**one, "resources": _rest(one.get("resources"), claims=False)} for one in (container, old))
    return new == before and not _resources(old).get("claims")


def _rest(resources: Tree | None, *, claims: bool = True) -> dict[str, Any]:
    """What of resources may not be resized."""
    rest: dict[str, Any] = {
        field: {name: Quantity.parse(text) for name, text in amounts.items() if name not in _RESIZABLE}
        for field in ("requests", "limits")
        if (amounts := (resources or {}).get(field))
    }
    rest = {field: amounts for field, amounts in rest.items() if amounts}
    if claims and (resources or {}).get("claims"):
        rest["claims"] = (resources or {})["claims"]
    return rest
