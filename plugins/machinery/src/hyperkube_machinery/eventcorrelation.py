"""Which events are worth writing, and which are told by changing one that was written before.

    event ─→ aggregated: many alike that differ in their message become one ─→ counted: one that was seen before gets a
    count ─→ filtered: who says too much about one object is not heard for some time

Source: k8s.io/client-go/tools/record/events_cache.go
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.ratelimit import TokenBucket
from hyperkube_machinery.remembering import Latest

__all__ = ["Correlator", "Tree", "Write", "reference_of"]

Tree = dict[str, Any]

_MOST_REMEMBERED = 4096
_ALIKE = 10
"""So many different messages of one reason, and the next are combined."""
_ALIKE_SECONDS = 600.0
_BURST = 25
_PER_SECOND = 1 / 300
_COMBINED = "(combined from similar events): "


def reference_of(obj: Mapping[str, Any]) -> Tree:
    """What an event says of the object that it is about; a reference is copied as it is.

    Source: k8s.io/client-go/tools/reference/ref.go
    """
    about = obj.get("metadata")
    if about is None:
        return dict(obj)
    reference = {"kind": obj.get("kind"), "apiVersion": obj.get("apiVersion")}
    reference |= {name: about.get(name) for name in ("namespace", "name", "uid", "resourceVersion")}
    return {name: value for name, value in reference.items() if value}


@dataclass(slots=True)
class _Alike:
    messages: set[str]
    seen: float


@dataclass(slots=True)
class _Seen:
    """The last that was written of an event."""

    name: str
    first: str
    count: int


@dataclass(frozen=True, slots=True)
class Write:
    """What is to be written."""

    event: Tree  # whole, to create it, also where the one to patch is gone
    patch: Tree | None  # of the event of that name; None where there is none
    key: Hashable = field(repr=False)


class Correlator:
    """Remembers what was written, to a bounded extent."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._alike: Latest[Hashable, _Alike] = Latest(_MOST_REMEMBERED)
        self._seen: Latest[Hashable, _Seen] = Latest(_MOST_REMEMBERED)
        self._allowances: Latest[Hashable, TokenBucket] = Latest(_MOST_REMEMBERED)

    def correlate(self, event: Tree) -> Write | None:
        """What to write for `event` (core/v1, count 1); nothing where its source says too much."""
        event, key = self._aggregate(event)
        write = self._count(event, key)
        return write if self._allowance(event).accept() else None

    def written(self, write: Write, event: Tree) -> None:
        """`event` is what the API server answered."""
        self._remember(write.key, event)

    def _aggregate(self, event: Tree) -> tuple[Tree, Hashable]:
        now = self._clock.monotonic()
        about, source = event["involvedObject"], event["source"]
        group = (
            *(source.get(name) for name in ("component", "host")),
            *(about.get(name) for name in ("kind", "namespace", "name", "uid", "apiVersion")),
            *(event.get(name) for name in ("type", "reason", "reportingComponent", "reportingInstance")),
        )
        alike = self._alike.get(group)
        if alike is None or now - alike.seen > _ALIKE_SECONDS:
            alike = _Alike(set(), now)
        alike.messages.add(event["message"])
        alike.seen = now
        self._alike.put(group, alike)
        if len(alike.messages) < _ALIKE:
            return event, (*group, about.get("fieldPath"), event["message"])
        alike.messages.pop()  # that there are so many is enough
        return {**event, "message": _COMBINED + event["message"]}, group

    def _count(self, event: Tree, key: Hashable) -> Write:
        seen = self._seen.get(key)
        if seen is None:
            self._remember(key, event)
            return Write(event, None, key)
        about = {**event["metadata"], "name": seen.name}
        event = {**event, "metadata": about, "firstTimestamp": seen.first, "count": seen.count + 1}
        seen.count += 1
        patch = {name: event[name] for name in ("count", "lastTimestamp", "message")}
        return Write(event, patch, key)

    def _remember(self, key: Hashable, event: Tree) -> None:
        about = event["metadata"]
        self._seen.put(key, _Seen(about["name"], event["firstTimestamp"], event["count"]))

    def _allowance(self, event: Tree) -> TokenBucket:
        about, source = event["involvedObject"], event["source"]
        who = (
            *(source.get(name) for name in ("component", "host")),
            *(about.get(name) for name in ("kind", "namespace", "name", "uid", "apiVersion")),
        )
        bucket = self._allowances.get(who)
        if bucket is None:
            bucket = TokenBucket(_PER_SECOND, _BURST, self._clock)
            self._allowances.put(who, bucket)
        return bucket
