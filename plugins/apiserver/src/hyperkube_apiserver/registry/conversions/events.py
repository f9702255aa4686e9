"""Events of events.k8s.io, which are stored as core's. Source: k8s.io/kubernetes/pkg/apis/events/v1."""

from __future__ import annotations

from typing import Any

__all__ = ["EventV1"]

Tree = dict[str, Any]

_TO_CORE = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_FROM_CORE = {core: name for name, core in _TO_CORE.items()}


class EventV1:
    """The same under other names."""

    def default(self, tree: Tree) -> None:
        """There are no defaults."""

    def to_stored(self, tree: Tree) -> Tree:
        return {_TO_CORE.get(name, name): value for name, value in tree.items()}

    def from_stored(self, tree: Tree) -> Tree:
        return {_FROM_CORE.get(name, name): value for name, value in tree.items()}
