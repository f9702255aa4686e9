"""What may change in the pod template of a job that exists.

Source: validatePodTemplateUpdate in k8s.io/kubernetes/pkg/apis/batch/validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.meta import IMMUTABLE
from hyperkube_machinery.errors import FieldError

__all__ = ["validate_template_changes"]

Tree = Mapping[str, Any]

_DIRECTIVES = (
    ("spec", ("nodeSelector", "tolerations", "schedulingGates")),
    ("metadata", ("labels", "annotations")),
)


def validate_template_changes(spec: Tree, old: Tree) -> list[FieldError]:
    """Nothing may, unless the job is suspended and has no pods: then where its pods go, and what they get, may."""
    before = old.get("spec") or {}
    template, known = spec.get("template") or {}, before.get("template") or {}
    if not _is_idle(before, old.get("status") or {}):
        if template == known:
            return []
        return [FieldError.invalid("spec.template", as_internal(template, "PodTemplateSpec"), IMMUTABLE)]
    new_spec = template.get("spec") or {}
    allowed = _with_directives(template, known)["spec"]
    for field in ("initContainers", "containers"):
        allowed[field] = _with_resources(allowed.get(field) or [], new_spec.get(field) or [])
    if {"initContainers": [], "containers": [], **new_spec} == allowed:
        return []
    return [FieldError.invalid("spec.template.spec", as_internal(new_spec, "PodSpec"), IMMUTABLE)]


def _is_idle(spec: Tree, status: Tree) -> bool:
    said = any((one.get("type"), one.get("status")) == ("Suspended", "True") for one in status.get("conditions") or ())
    return bool(spec.get("suspend") and (said or not status.get("startTime")) and not status.get("active"))


def _with_directives(template: Tree, old: Tree) -> dict[str, Any]:
    """The old template, with where to place pods taken from the new one."""
    merged = {**old, "spec": dict(old.get("spec") or {}), "metadata": dict(old.get("metadata") or {})}
    for part, fields in _DIRECTIVES:
        for field in fields:
            merged[part].pop(field, None)
            if field in (template.get(part) or {}):
                merged[part][field] = template[part][field]
    wanted = (template.get("spec") or {}).get("affinity")
    affinity = dict(merged["spec"].pop("affinity", None) or {})
    affinity.pop("nodeAffinity", None)
    if wanted is not None and wanted.get("nodeAffinity") is not None:
        affinity["nodeAffinity"] = wanted["nodeAffinity"]
    if affinity or wanted is not None:
        merged["spec"]["affinity"] = affinity
    return merged


def _with_resources(containers: list[Tree], others: list[Tree]) -> list[Tree]:
    if len(containers) != len(others):
        return containers
    return [
        {**container, "resources": other.get("resources") or {}}
        if container.get("name") == other.get("name")
        else container
        for container, other in zip(containers, others, strict=True)
    ]
