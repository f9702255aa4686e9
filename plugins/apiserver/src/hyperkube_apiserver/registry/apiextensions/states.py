"""What the status of a definition says beside its names: its approval, its schemas, and how far its end is.

Source: k8s.io/apiextensions-apiserver/pkg/controller/{apiapproval,nonstructuralschema,finalizer}, pkg/apihelpers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_apiserver.registry.apiextensions.names import APPROVED, PULL, approval_of, is_protected
from hyperkube_apiserver.registry.apiextensions.structural import unsupported, validate_structural
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError, aggregated
from hyperkube_machinery.quoting import quoted

__all__ = [
    "FINALIZER",
    "ending",
    "ends",
    "failing",
    "find_condition",
    "marked",
    "with_approval",
    "with_condition",
    "with_structure",
    "without_instances",
]

FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
"""Keeps a definition until what it defines is gone."""

Tree = dict[str, Any]


def find_condition(conditions: Sequence[Tree], kind: str) -> Tree | None:
    """The condition of a type."""
    return next((one for one in conditions if one.get("type") == kind), None)


def with_condition(
    conditions: Sequence[Tree], kind: str, holds: bool | None, reason: str, message: str, now: str
) -> list[Tree]:
    """`conditions` with one set, to unknown for None; its time is that of the change of its status."""
    status, old = {True: "True", False: "False", None: "Unknown"}[holds], find_condition(conditions, kind)
    since = old["lastTransitionTime"] if old is not None and old.get("status") == status else now
    condition = {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
    if old is None:
        return [*conditions, condition]
    return [condition if one is old else one for one in conditions]


def _told(definition: Tree, kind: str, holds: bool | None, reason: str, message: str, now: str) -> Tree:
    """`definition` with one condition set; itself if that says nothing new."""
    status = definition.get("status") or {}
    conditions = status.get("conditions") or []
    told = with_condition(conditions, kind, holds, reason, message, now)
    return definition if told == conditions else {**definition, "status": {**status, "conditions": told}}


def with_approval(definition: Tree, now: str) -> Tree:
    """`definition` with what is known of its approval, if it is in a group of Kubernetes itself."""
    if not is_protected((definition.get("spec") or {}).get("group") or ""):
        return definition
    text = (meta.metadata(definition).get("annotations") or {}).get(APPROVED) or ""
    needed = f"protected groups must have approval annotation {quoted(APPROVED)}"
    reason, message = {
        "missing": ("MissingAnnotation", f"{needed}, {PULL}"),
        "bypassed": ("UnapprovedAnnotation", f"not approved: {quoted(text)}"),
        "approved": ("ApprovedAnnotation", f"approved in {text}"),
        "invalid": ("InvalidAnnotation", f'{needed} with either a URL or a reason starting with "unapproved", {PULL}'),
    }[state := approval_of(text)]
    return _told(definition, "KubernetesAPIApprovalPolicyConformant", state == "approved", reason, message, now)


def with_structure(definition: Tree, now: str) -> Tree:
    """`definition` with what keeps its schemas from being structural, or without that if nothing does.

    Only one that preserves unknown fields, as no new one may, has been spared being checked for it.
    """
    status, kind = definition.get("status") or {}, "NonStructuralSchema"
    conditions = status.get("conditions") or []
    if not (definition.get("spec") or {}).get("preserveUnknownFields"):
        if find_condition(conditions, kind) is None:
            return definition
        return {**definition, "status": {**status, "conditions": [one for one in conditions if one["type"] != kind]}}
    holds, reason, message = _structure(definition["spec"])
    return _told(definition, kind, holds, reason, message, now)


def _structure(spec: Tree) -> tuple[bool | None, str, str]:
    errors = [FieldError.invalid("spec.preserveUnknownFields", True, "must be false")]
    for index, version in enumerate(spec.get("versions") or ()):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            continue
        if why := unsupported(schema):
            told = f"failed to check validation schema for version {version.get('name') or ''}: {why}"
            return None, "StructuralError", told
        errors += validate_structural(schema, f"spec.versions[{index}].schema.openAPIV3Schema")
    return True, "Violations", aggregated(f"{error.field}: {error.message}" for error in errors)


def ends(definition: Tree) -> bool:
    """Whether a definition is being deleted, and kept for what it defines."""
    return meta.deletion_timestamp(definition) is not None and FINALIZER in meta.finalizers(definition)


def marked(definition: Tree, now: str) -> Tree:
    """A definition whose deletion was asked for."""
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    return _told(definition, "Terminating", True, "InstanceDeletionPending", message, now)


def ending(definition: Tree, now: str) -> Tree:
    """A definition whose instances are being deleted."""
    return _told(
        definition, "Terminating", True, "InstanceDeletionInProgress", "CustomResource deletion is in progress", now
    )


def failing(definition: Tree, reason: str, message: str, now: str) -> Tree:
    """A definition whose instances can't be deleted, or don't go."""
    return _told(definition, "Terminating", True, reason, message, now)


def without_instances(definition: Tree, now: str) -> Tree:
    """A definition that nothing keeps any longer."""
    conditions = (definition.get("status") or {}).get("conditions") or []
    if (find_condition(conditions, "Established") or {}).get("status") == "True":
        told = _told(definition, "Terminating", False, "InstanceDeletionCompleted", "removed all instances", now)
    else:
        told = _told(definition, "Terminating", False, "NeverEstablished", "resource was never established", now)
    left = [name for name in meta.finalizers(definition) if name != FINALIZER]
    return {**told, "metadata": {**told["metadata"], "finalizers": left}}
