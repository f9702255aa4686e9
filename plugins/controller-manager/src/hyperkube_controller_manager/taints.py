"""Taints of nodes and what tolerates them.

Source: k8s.io/component-helpers/scheduling/corev1, k8s.io/kubernetes/pkg/util/taints and pkg/controller/tainteviction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "NOT_READY",
    "NO_EXECUTE",
    "NO_SCHEDULE",
    "OUT_OF_SERVICE",
    "UNREACHABLE",
    "has_taint",
    "no_execute",
    "scheduling_taints",
    "seconds_tolerated",
    "swapped",
    "taints_of",
    "tolerates",
]

Tree = Mapping[str, Any]

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

NO_SCHEDULE = "NoSchedule"
NO_EXECUTE = "NoExecute"

_OF_CONDITIONS = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_OURS = {*_OF_CONDITIONS.values(), _UNSCHEDULABLE}


def taints_of(node: Tree) -> list[Tree]:
    return (node.get("spec") or {}).get("taints") or []


def has_taint(node: Tree, key: str, effect: str = "") -> bool:
    """Whether `node` has a taint of that key, and of that effect if one is given."""
    return any(taint.get("key") == key and effect in ("", taint.get("effect")) for taint in taints_of(node))


def no_execute(node: Tree) -> list[Tree]:
    """The taints that pods have to leave the node for."""
    return [taint for taint in taints_of(node) if taint.get("effect") == NO_EXECUTE]


def scheduling_taints(node: Tree) -> tuple[list[str], list[str]]:
    """Keys of the NoSchedule taints that the node's conditions call for and it lacks, and of those it has in excess."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    keys = (_OF_CONDITIONS.get((condition.get("type", ""), condition.get("status", ""))) for condition in conditions)
    wanted = dict.fromkeys(key for key in keys if key)
    if (node.get("spec") or {}).get("unschedulable"):
        wanted[_UNSCHEDULABLE] = None
    ours = [t["key"] for t in taints_of(node) if t.get("effect") == NO_SCHEDULE and t.get("key") in _OURS]
    return [key for key in wanted if key not in ours], [key for key in ours if key not in wanted]


def swapped(node: Tree, effect: str, *, add: Iterable[str], remove: Iterable[str], now: str) -> list[Tree] | None:
    """The node's taints once those keys of `effect` are added and removed; None where that changes nothing.

    `now` is when they are added.
    """
    before = taints_of(node)
    removed, present = set(remove), {taint.get("key") for taint in before if taint.get("effect") == effect}
    after = [taint for taint in before if taint.get("effect") != effect or taint.get("key") not in removed]
    after += [{"key": key, "effect": effect, "timeAdded": now} for key in add if key not in present]
    return None if after == before else after


def tolerates(toleration: Tree, taint: Tree) -> bool:
    """Whether a pod with `toleration` stands `taint`."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    match toleration.get("operator") or "Equal":
        case "Equal":
            # A toleration without a key must be one that Exists, for validation; it equals nothing here.
            same_key = (toleration.get("key") or "") == (taint.get("key") or "")
            return same_key and (toleration.get("value") or "") == (taint.get("value") or "")
        case "Exists":
            return True
    return False


def seconds_tolerated(taints: Sequence[Tree], tolerations: Sequence[Tree]) -> float | None:
    """How long a pod may stay on a node with these taints: None for ever, 0 not at all."""
    used: list[Tree] = []
    for taint in taints:
        found = next((toleration for toleration in tolerations if tolerates(toleration, taint)), None)
        if found is None:
            return 0.0
        used.append(found)
    limits = [float(one["tolerationSeconds"]) for one in used if one.get("tolerationSeconds") is not None]
    return max(min(limits), 0.0) if limits else None
