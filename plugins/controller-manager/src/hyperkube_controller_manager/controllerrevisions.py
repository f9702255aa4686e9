"""ControllerRevisions that hold what the template of a daemon set or a stateful set was.

Source: k8s.io/kubernetes/pkg/controller/history, pkg/controller/daemon/update.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_controller_manager.templates import alike, controller_reference
from hyperkube_machinery.builtin import CONTROLLER_REVISIONS
from hyperkube_machinery.meta import annotations_of, labels_of, name, namespace
from hyperkube_machinery.resources import Resource

__all__ = ["HELD_HASH", "REVISION_HASH", "held_template", "holds", "new_revision"]

Tree = Mapping[str, Any]

REVISION_HASH = "controller-revision-hash"
"""The label of pods that says which revision they are of, and of daemon sets' revisions that says the same."""
HELD_HASH = "controller.kubernetes.io/hash"
"""The label of stateful sets' revisions."""

_LONGEST_PREFIX = 223


def held_template(revision: Tree) -> dict[str, Any]:
    """The template that the revision holds."""
    held = ((revision.get("data") or {}).get("spec") or {}).get("template") or {}
    return {key: value for key, value in held.items() if key != "$patch"}


def holds(revision: Tree, owner: Tree) -> bool:
    """Whether the revision holds the owner's present template."""
    return alike(held_template(revision), owner["spec"]["template"])


def new_revision(owner: Tree, kind: Resource, code: str, number: int, *, label: str) -> dict[str, Any]:
    """A revision of the owner's present template, whose hash is `code` and stands in `label`."""
    template = owner["spec"]["template"]
    meta = {
        "name": f"{name(owner)[:_LONGEST_PREFIX]}-{code}",
        "namespace": namespace(owner),
        "labels": {**labels_of(template), label: code},
        "annotations": dict(annotations_of(owner)),
        "ownerReferences": [controller_reference(owner, kind.api_version, kind.kind)],
    }
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": meta,
        "data": _in_order(
            {"spec": {"template": {**template, "$patch": "replace"}}}
        ),  # `kubectl rollout undo` applies it
        "revision": number,
    }


def _in_order(value: Any) -> Any:
    """The value with the keys of all maps in order, as upstream's controllers write it: they compare the bytes."""
    if isinstance(value, Mapping):
        return {key: _in_order(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    return value
