"""Assigning a pod to a node. Source: BindingREST in k8s.io/kubernetes/pkg/registry/core/pod/storage."""

from __future__ import annotations

from typing import Any

from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, FieldError
from hyperkube_machinery.resources import Resource

__all__ = ["bind", "check_binding"]

Tree = dict[str, Any]


def check_binding(binding: Tree, name: str) -> None:
    """Raise for a Binding that can't be meant for the pod `name`."""
    if meta.name(binding) != name:
        raise APIError.bad_request("name in URL does not match name in Binding object")
    target = binding.get("target") or {}
    errors: list[FieldError] = []
    if target.get("kind") not in (None, "", "Node"):
        errors.append(FieldError.not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        errors.append(FieldError.required("target.name"))
    if errors:
        # Upstream returns the bare list of errors here, which becomes a 500 without a reason.
        texts = [f"{error.field}: {error.message}" for error in errors]
        raise APIError.of(500, "", texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")


def bind(pod: Tree, binding: Tree, *, now: str, resource: Resource) -> None:
    """Put the pod on the binding's node, with the binding's annotations and labels. Raises 409 if it can't be."""
    name, spec = meta.name(pod), pod.setdefault("spec", {})
    why = ""
    if meta.deletion_timestamp(pod) is not None:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        subject = f"{resource.resource}/binding"
        message = f'Operation cannot be fulfilled on {subject} "{name}": {why}'
        raise APIError.of(409, "Conflict", message, {"name": name, "kind": subject})
    spec["nodeName"] = binding["target"]["name"]
    status, mine = pod.setdefault("status", {}), meta.ensure_meta(pod)
    status.pop("nominatedNodeName", None)
    for field in ("annotations", "labels"):
        if added := meta.metadata(binding).get(field):
            mine[field] = {**(mine.get(field) or {}), **added}
    _set_scheduled(status, now)


def _set_scheduled(status: Tree, now: str) -> None:
    """The condition PodScheduled becomes True, its transition now unless it was True before."""
    scheduled: Tree = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    conditions = status.setdefault("conditions", [])
    for index, condition in enumerate(conditions):
        if condition.get("type") == "PodScheduled":
            if condition.get("status") == "True":
                scheduled["lastTransitionTime"] = condition.get("lastTransitionTime")
            conditions[index] = scheduled
            return
    conditions.append(scheduled)
