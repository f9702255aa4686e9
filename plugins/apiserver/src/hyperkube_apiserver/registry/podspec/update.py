"""What may change in a pod that exists. Source: ValidatePodUpdate and its helpers in core validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.differences import difference
from hyperkube_apiserver.registry.fields import invalid_each
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.podspec.annotations import MIRROR, validate_pod_annotations
from hyperkube_apiserver.registry.podspec.apparmor import APP_ARMOR_PREFIX
from hyperkube_apiserver.registry.podspec.scheduling import validate_tolerations
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import in_range

__all__ = ["validate_annotation_changes", "validate_ephemeral_changes", "validate_spec_changes"]

Tree = Mapping[str, Any]

_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def validate_annotation_changes(obj: Tree, old: Tree) -> list[FieldError]:
    path = "metadata.annotations"
    new, before = meta.annotations_of(obj), meta.annotations_of(old)
    errors: list[FieldError] = []
    for key in {**before, **new}:
        if new.get(key) == before.get(key):
            continue
        verb = "remove or update" if key in before else "add"
        if key.startswith(APP_ARMOR_PREFIX):
            errors.append(FieldError.forbidden(f"{path}[{key}]", f"may not {verb} AppArmor annotations"))
        if key == MIRROR:
            errors.append(FieldError.forbidden(f"{path}[{key}]", f"may not {verb} mirror pod annotation"))
    return errors + validate_pod_annotations(new, obj.get("spec") or {}, path)


def validate_spec_changes(spec: Tree, old: Tree) -> list[FieldError]:
    """`spec` may differ from `old` in images, deadlines, gates and tolerations, each in its own way."""
    errors: list[FieldError] = []
    for field in ("containers", "initContainers"):
        new, before = spec.get(field) or (), old.get(field) or ()
        if len(new) != len(before):
            text = "pod updates may not add or remove containers"
            return [*errors, FieldError.forbidden(f"spec.{field}", text)]
        errors += _validate_images(new, f"spec.{field}")
    wrong, stop = _validate_deadline(spec.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    errors += wrong
    if stop:
        return errors
    errors += _validate_added_tolerations(spec.get("tolerations") or [], old.get("tolerations") or [])
    errors += _validate_deleted_gates(spec.get("schedulingGates") or [], old.get("schedulingGates") or [])
    if spec == old:
        return errors
    allowed = dict(spec)
    for field in ("containers", "initContainers"):
        if allowed.get(field):
            pairs = zip(allowed[field], old.get(field) or (), strict=True)
            allowed[field] = [_with(container, "image", before) for container, before in pairs]
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        allowed = _with(allowed, field, old)
    if (old.get("terminationGracePeriodSeconds") or 0) < 0 and spec.get("terminationGracePeriodSeconds") == 1:
        allowed = _with(allowed, "terminationGracePeriodSeconds", old)
    if old.get("schedulingGates"):
        errors += _validate_gated_changes(spec, old)
        allowed = _with(_with_node_affinity(allowed, old), "nodeSelector", old)
    if allowed != old:
        changed = difference(old, allowed, "PodSpec")
        text = f"pod updates may not change fields other than {_UPDATABLE}\n{changed}"
        errors.append(FieldError.forbidden("spec", text))
    return errors


def _with(tree: Tree, field: str, other: Tree) -> dict[str, Any]:
    """`tree` with `field` as `other` has it."""
    changed = {name: value for name, value in tree.items() if name != field}
    return {**changed, field: other[field]} if field in other else changed


def _validate_images(containers: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, container in enumerate(containers):
        image = container.get("image") or ""
        if not image:
            errors.append(FieldError.required(f"{path}[{index}].image"))
        if image != image.strip():
            text = "must not have leading or trailing whitespace"
            errors.append(FieldError.invalid(f"{path}[{index}].image", image, text))
    return errors


def _validate_deadline(new: int | None, old: int | None) -> tuple[list[FieldError], bool]:
    """The errors, and whether upstream looks no further."""
    path = "spec.activeDeadlineSeconds"
    if new is None:
        text = "must not update from a positive integer to nil value"
        return ([FieldError.invalid(path, None, text)] if old is not None else []), False
    if wrong := in_range(new, 0, 2**31 - 1):
        return invalid_each(path, new, wrong), True
    if old is not None and old < new:
        return [FieldError.invalid(path, new, "must be less than or equal to previous value")], True
    return [], False


def _validate_added_tolerations(new: Sequence[Tree], old: Sequence[Tree]) -> list[FieldError]:
    path = "spec.tolerations"
    for before in old:
        if not any(_with(before, "tolerationSeconds", one) == dict(one) for one in new):
            text = "existing toleration can not be modified except its tolerationSeconds"
            return [FieldError.forbidden(path, text)]
    return validate_tolerations(new, path)


def _validate_deleted_gates(new: Sequence[Tree], old: Sequence[Tree]) -> list[FieldError]:
    known = {gate.get("name") for gate in old}
    return [
        FieldError.forbidden(
            f"spec.schedulingGates[{index}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for index, gate in enumerate(new)
        if gate.get("name") not in known
    ]


def _validate_gated_changes(spec: Tree, old: Tree) -> list[FieldError]:
    """A gated pod may become choosier about nodes, never less."""
    errors: list[FieldError] = []
    selector, before = spec.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if any(selector.get(key) != value for key, value in before.items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.append(FieldError.invalid("spec.nodeSelector", selector or None, text))
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    terms, earlier = _node_terms(spec), _node_terms(old)
    if earlier and len(terms) != len(earlier):
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        shown = [as_internal(term, "NodeSelectorTerm") for term in terms]
        return [*errors, FieldError.invalid(path, shown or None, text)]
    for index, (term, prior) in enumerate(zip(terms, earlier, strict=False)):
        for field in ("matchExpressions", "matchFields"):
            had, has = prior.get(field) or [], term.get(field) or []
            if (not had and has and not any(prior.values())) or has[: len(had)] != had:
                text = "only additions are allowed (no mutations or deletions)"
                errors.append(FieldError.invalid(f"{path}[{index}]", as_internal(term, "NodeSelectorTerm"), text))
                break
    return errors


def _node_terms(spec: Tree) -> list[Tree]:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return list((affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ())


def _with_node_affinity(spec: Tree, old: Tree) -> dict[str, Any]:
    affinity = _with(spec.get("affinity") or {}, "nodeAffinity", old.get("affinity") or {})
    if affinity or "affinity" in old:
        return {**spec, "affinity": affinity}
    return _with(spec, "affinity", {})


def validate_ephemeral_changes(obj: Tree, old: Tree) -> list[FieldError]:
    """Ephemeral containers are only ever added."""
    path = "spec.ephemeralContainers"
    current = {one.get("name"): one for one in (obj.get("spec") or {}).get("ephemeralContainers") or ()}
    errors: list[FieldError] = []
    for before in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = before.get("name")
        if name not in current:
            text = f'existing ephemeral containers "{name}" may not be removed\n'
            errors.append(FieldError.forbidden(path, text))
        elif current[name] != before:
            changed = difference(before, current[name], "EphemeralContainer")
            text = f'existing ephemeral containers "{name}" may not be changed\n{changed}'
            errors.append(FieldError.forbidden(path, text))
    return errors
