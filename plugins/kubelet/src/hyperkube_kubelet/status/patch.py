"""The patch that makes one status of a pod the other, and leaves alone what is not the kubelet's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_kubelet.podspec import Tree, is_terminal
from hyperkube_kubelet.status.conditions import OWNED, SHARED

__all__ = ["status_patch", "to_be_written"]

_MERGE_KEYS = {"conditions": "type", "podIPs": "ip", "hostIPs": "ip"}
"""Lists that a strategic merge patch merges, by this field; all others are replaced as a whole."""

_OTHERS = ("resourceClaimStatuses", "extendedResourceClaimStatus", "nominatedNodeName", "qosClass", "resize")
"""Fields that others set."""


def to_be_written(status: Tree, in_object: Tree, *, alive: bool) -> dict[str, Any]:
    """What the object's status is to be. `alive`: something of the pod may still run, so that it has not ended yet.

    Source: k8s.io/kubernetes/pkg/kubelet/status (mergePodStatus).
    """
    merged = dict(status)
    foreign = [item for item in in_object.get("conditions") or () if item["type"] not in (*OWNED, *SHARED)]
    own = [item for item in status.get("conditions") or () if item["type"] in OWNED]
    shared = {item["type"]: item for item in in_object.get("conditions") or () if item["type"] in SHARED}
    if is_terminal(status) and not is_terminal(in_object) and not alive:  # with the end, and not before
        shared |= {item["type"]: item for item in status.get("conditions") or () if item["type"] in SHARED}
    merged["conditions"] = [*foreign, *shared.values(), *own]
    for field in _OTHERS:
        merged.pop(field, None)
        if field in in_object:
            merged[field] = in_object[field]
    if is_terminal(status) and not is_terminal(in_object) and alive:
        for field in ("phase", "reason", "message"):
            merged.pop(field, None)
            if field in in_object:
                merged[field] = in_object[field]
    if is_terminal(merged):
        merged["conditions"] = [_unready(condition, merged["phase"]) for condition in merged["conditions"]]
    return merged


def _unready(condition: Tree, phase: str) -> Tree:
    if condition["type"] not in ("Ready", "ContainersReady") or condition["status"] != "True":
        return condition
    reason = "PodFailed" if phase == "Failed" else "PodCompleted"
    return {**condition, "status": "False", "reason": reason}


def status_patch(old: Tree, new: Tree) -> dict[str, Any]:
    """A strategic merge patch of the status; empty where nothing differs."""
    patch: dict[str, Any] = {}
    for field in {**old, **new}:
        before, after = old.get(field), new.get(field)
        if _says_the_same(before, after):
            continue
        key = _MERGE_KEYS.get(field)
        patch[field] = _merged(key, before or (), after or ()) if key else _replacing(before, after)
        if key and after:
            patch[f"$setElementOrder/{field}"] = [{key: item[key]} for item in after]
    return patch


def _replacing(before: Any, after: Any) -> Any:
    """What makes `before` the same as `after`: objects are merged, so what is to go has to be named."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    gone = {name: None for name in before if name not in after}
    return {**{name: _replacing(before.get(name), value) for name, value in after.items()}, **gone}


def _merged(key: str, before: Any, after: Any) -> list[dict[str, Any]]:
    """The elements that differ, and those to be deleted."""
    known = {item[key]: item for item in before}
    wanted = {item[key] for item in after}
    changed = []
    for item in after:
        was = known.get(item[key], {})
        if not _says_the_same(was, item):
            gone = {field: None for field in was if field not in item and field not in ("lastProbeTime",)}
            changed.append({**item, **gone})
    return changed + [{key: name, "$patch": "delete"} for name in known if name not in wanted]


def _says_the_same(before: Any, after: Any) -> bool:
    return bool(before == after) or bool(_bare(before) == _bare(after))


def _bare(value: Any) -> Any:
    """A value without what says nothing, which the API server may add or drop."""
    if isinstance(value, Mapping):
        bare = {name: _bare(inner) for name, inner in value.items() if name != "lastProbeTime"}
        return {name: inner for name, inner in bare.items() if inner not in (None, {}, [])}
    if isinstance(value, list | tuple):
        return [_bare(item) for item in value]
    return value
