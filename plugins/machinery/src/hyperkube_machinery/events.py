"""Telling users what happened to an object, by events that `kubectl describe` shows.

    recorder = EventRecorder(client, clock, component="deployment-controller")
    async with recorder.running():
        recorder.event(deployment, "Normal", "ScalingReplicaSet", "Scaled up replica set web-1 from 0 to 3")

Who records never waits and never fails: what can't be written is logged and dropped.

Source: k8s.io/client-go/tools/record/event.go (core/v1) and tools/events/event_broadcaster.go (events.k8s.io/v1)
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from random import random
from typing import Any, Literal, NoReturn, TypeAlias

from hyperkube_machinery.builtin import EVENTS, SCHEDULING_EVENTS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.eventcorrelation import Correlator, Tree, reference_of
from hyperkube_machinery.remembering import Latest
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.timestamps import format_micro, format_seconds

__all__ = ["EventRecorder", "EventType", "SeriesRecorder"]

log = logging.getLogger(__name__)

EventType: TypeAlias = Literal["Normal", "Warning"]

_TRIES = 12
_RETRY_SECONDS = 10.0
_MOST_WAITING = 1000

_NOTE_CHARACTERS = 1024
_SERIES_SECONDS = 360.0
"""A series that nothing was added to for so long is over; an event that wasn't repeated in that time begins none."""
_REFRESH_SECONDS = 1800.0
_MOST_SERIES = 8192
_WRITERS = 8

_order = count()
"""Tells apart what is named in the same microsecond."""


class _Outbox:
    """Writes events one after the other; what there is no room for is dropped."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        resource: Resource,
        chance: Callable[[], float],
        *,
        most: int = _MOST_WAITING,
    ) -> None:
        self._client = client
        self._most = most
        self._clock = clock
        self._resource = resource
        self._chance = chance
        self._waiting: deque[Callable[[], Awaitable[None]]] = deque()
        self._filled = asyncio.Event()

    def put(self, work: Callable[[], Awaitable[None]]) -> None:
        if len(self._waiting) >= self._most:
            log.warning("unable to record an event: too many queued events")
            return
        self._waiting.append(work)
        self._filled.set()

    async def empty(self) -> NoReturn:
        """Write what waits, until cancelled; many may do so."""
        while True:
            await self._filled.wait()
            while self._waiting:
                try:
                    await self._waiting.popleft()()
                except Exception:  # a message that can't be encoded, perhaps: no reason to end who recorded it
                    log.exception("unable to write an event")
            self._filled.clear()

    async def write(self, event: Tree, patch: Tree | None) -> Tree | None:
        """Write `event`, or `patch` the one of its name; returns what there is then, None if that can't be done."""
        for tried in range(_TRIES):
            try:
                return await self._attempt(event, patch)
            except APIError as exc:
                if exc.reason == "AlreadyExists" or _ends_namespace(exc):
                    log.info("server rejected event %s (will not retry): %s", event["metadata"]["name"], exc)
                else:
                    log.error("server rejected event %s (will not retry): %s", event["metadata"]["name"], exc)
                return None
            except ClientError as exc:
                log.warning("unable to write event (may retry after sleeping): %s", exc)
            # The first pause is cut by chance, so that not all who lost their server are back at once.
            await self._clock.sleep(_RETRY_SECONDS * (self._chance() if tried == 0 else 1))
        log.error("unable to write event %s (retry limit exceeded)", event["metadata"]["name"])
        return None

    async def _attempt(self, event: Tree, patch: Tree | None) -> Tree:
        about = event["metadata"]
        if patch is not None:
            try:
                return await self._client.patch(
                    self._resource, about["name"], patch, about["namespace"], kind="strategic"
                )
            except APIError as exc:
                if exc.code != 404:
                    raise
        return await self._client.create(self._resource, event)


def _ends_namespace(exc: APIError) -> bool:
    causes = (exc.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


class EventRecorder:
    """Records events of core/v1. Repetitions are counted, similar ones combined, and floods cut off."""

    def __init__(
        self, client: Client, clock: Clock, *, component: str, host: str = "", chance: Callable[[], float] = random
    ) -> None:
        """`component` and `host` say who tells; only node components name a host."""
        self._clock = clock
        self._component = component
        self._host = host
        self._correlator = Correlator(clock)
        self._outbox = _Outbox(client, clock, EVENTS, chance)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[EventRecorder]:
        """Write for the length of the block; what still waits at its end is dropped."""
        async with companions(self._outbox.empty()):
            yield self

    def event(
        self,
        obj: Mapping[str, Any],
        kind: EventType,
        reason: str,
        message: str,
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Tell of `obj`, an object or a reference to one; `reason` is one word, which tools look for."""
        event = self._event(reference_of(obj), kind, reason, message, annotations)
        self._outbox.put(lambda: self._write(event))

    async def _write(self, event: Tree) -> None:
        write = self._correlator.correlate(event)
        if write is None:
            return
        written = await self._outbox.write(write.event, write.patch)
        if written is not None:
            self._correlator.written(write, written)

    def _event(
        self, about: Tree, kind: EventType, reason: str, message: str, annotations: Mapping[str, str] | None
    ) -> Tree:
        now = self._clock.now()
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        moment = format_seconds(now)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": _metadata(about, now, annotations),
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
            "type": kind,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }


@dataclass(slots=True)
class _Series:
    """An event that was written, and how often it was repeated."""

    event: Tree
    seen: float  # on the monotonic clock
    count: int = 1
    last: str = ""

    @property
    def told(self) -> Tree:
        return {"series": {"count": self.count, "lastObservedTime": self.last}}


class SeriesRecorder:
    """Records events of events.k8s.io/v1, where repetitions are a series, of which is told now and then."""

    def __init__(
        self, client: Client, clock: Clock, *, controller: str, instance: str, chance: Callable[[], float] = random
    ) -> None:
        """`controller` and `instance` say who tells: `default-scheduler`, `default-scheduler-HOST`."""
        self._clock = clock
        self._controller = controller
        self._instance = instance
        self._series: Latest[Hashable, _Series] = Latest(_MOST_SERIES)
        self._outbox = _Outbox(client, clock, SCHEDULING_EVENTS, chance, most=_MOST_SERIES)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SeriesRecorder]:
        """Write for the length of the block; what still waits at its end is dropped."""
        async with companions(self._keep_told(), *(self._outbox.empty() for _ in range(_WRITERS))):
            yield self

    def event(
        self,
        obj: Mapping[str, Any],
        kind: EventType,
        reason: str,
        note: str,
        *,
        action: str,
        related: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell what was done (`action`) about `obj`, an object or a reference to one, and `reason`, why in one word."""
        about = reference_of(obj)
        other = reference_of(related) if related is not None else {}
        key = (kind, action, reason, tuple(about.items()), tuple(other.items()))
        known = self._series.get(key)
        if known is None:
            event = self._event(about, other, kind, reason, note, action)
            self._series.put(key, _Series(event, self._clock.monotonic()))
            self._write(event, None)
            return
        known.count += 1
        known.seen = self._clock.monotonic()
        known.last = format_micro(self._clock.now())
        if known.count == 2:
            self._write(known.event, known.told)

    async def _keep_told(self) -> NoReturn:
        refreshed = self._clock.monotonic()
        while True:
            await self._clock.sleep(_SERIES_SECONDS)
            now = self._clock.monotonic()
            refreshing = now - refreshed >= _REFRESH_SECONDS
            for key, series in self._series.items():
                over = now - series.seen >= _SERIES_SECONDS
                if over:
                    self._series.drop(key)
                if series.count > 1 and (over or refreshing):
                    self._write(series.event, series.told)
            if refreshing:
                refreshed = now

    def _write(self, event: Tree, series: Tree | None) -> None:
        async def work() -> None:
            await self._outbox.write({**event, **(series or {})}, series)

        self._outbox.put(work)

    def _event(self, about: Tree, related: Tree, kind: EventType, reason: str, note: str, action: str) -> Tree:
        now = self._clock.now()
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": _metadata(about, now, None),
            "eventTime": format_micro(now),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "action": action,
            "reason": reason,
            "regarding": about,
            "note": note if len(note) <= _NOTE_CHARACTERS else note[: _NOTE_CHARACTERS - 4] + " ...",
            "type": kind,
        }
        if related:
            event["related"] = related
        return event


def _metadata(about: Tree, now: float, annotations: Mapping[str, str] | None) -> Tree:
    """The name ends in the time in nanoseconds, which makes it unique; Source: util.GenerateEventName."""
    metadata: Tree = {
        "name": f"{about.get('name', '')}.{int(now * 1e9) + next(_order) % 1000:x}",
        "namespace": about.get("namespace") or "default",
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return metadata
