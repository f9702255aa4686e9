"""What is worth an event of a node, seen in its status before and after. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/nodestatus/setters.go, pkg/kubelet/events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

__all__ = ["Happening", "happenings"]

Tree = Mapping[str, Any]


class Happening(NamedTuple):
    """An event to be."""

    kind: Literal["Normal", "Warning"]
    reason: str
    message: str


_PRESSURES = {
    "MemoryPressure": ("NodeHasSufficientMemory", "NodeHasInsufficientMemory"),
    "DiskPressure": ("NodeHasNoDiskPressure", "NodeHasDiskPressure"),
    "PIDPressure": ("NodeHasSufficientPID", "NodeHasInsufficientPID"),
}


def happenings(name: str, before: Tree, after: Tree) -> Iterator[Happening]:
    """From one status to the next; a new node's is empty before."""
    old, new = (
        {one["type"]: one.get("status") for one in status.get("conditions") or ()} for status in (before, after)
    )
    for kind, (without, with_it) in _PRESSURES.items():
        if kind in new and new[kind] != old.get(kind):
            yield _status(name, with_it if new[kind] == "True" else without)
    if "Ready" in old and "Ready" in new and old["Ready"] != new["Ready"]:
        yield _status(name, "NodeReady" if new["Ready"] == "True" else "NodeNotReady")
    boots = [(status.get("nodeInfo") or {}).get("bootID") for status in (before, after)]
    if all(boots) and boots[0] != boots[1]:
        yield Happening("Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {boots[1]}")


def _status(name: str, reason: str) -> Happening:
    return Happening("Normal", reason, f"Node {name} status is now: {reason}")
