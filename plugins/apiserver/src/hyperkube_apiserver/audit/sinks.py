"""Where events go: at once, in batches, cut short, to several.

A sink is given events and says whether it has kept them; one that has failed has told of it.
Source: k8s.io/apiserver/plugin/pkg/audit/{buffered,truncate,log}, pkg/audit/union.go, pkg/server/options/audit.go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from hyperkube_apiserver.audit.events import Event, as_line
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.ratelimit import TokenBucket

__all__ = ["Batches", "Both", "Buffered", "Failures", "Lenient", "LogSink", "Sink", "Truncated", "Writer"]

Failures = Callable[[str, str, Collection[Event]], None]
"""Told which part failed, why, and at which events."""

_NAME = "buffered"
_LAST_SECONDS = 10.0
"""What is not kept by then is lost when the server ends."""


class Sink(Protocol):
    """Keeps events."""

    async def process(self, events: Sequence[Event]) -> bool:
        """Keep them; whether that succeeded. Waits for nothing where nothing has to be waited for."""

    async def run(self) -> NoReturn:
        """What it does beside, until cancelled; everything it was given is kept then."""


class Writer(Protocol):
    """Takes whole lines."""

    async def write(self, lines: Sequence[bytes]) -> Sequence[OSError | None]:
        """Write lines; what kept each from being written, None for nothing."""

    async def run(self) -> NoReturn:
        """What it does beside, until cancelled."""


class LogSink:
    """Writes each event as a line."""

    def __init__(self, writer: Writer, failed: Failures, *, legacy: bool) -> None:
        self._writer = writer
        self._failed = failed
        self._legacy = legacy

    async def process(self, events: Sequence[Event]) -> bool:
        lines = [(as_line(event).encode() if self._legacy else encode(event)) + b"\n" for event in events]
        failures = await self._writer.write(lines)
        for event, failure in zip(events, failures, strict=True):
            if failure is not None:
                self._failed("log", str(failure), [event])
        return not any(failures)

    async def run(self) -> NoReturn:
        await self._writer.run()


class Lenient:
    """Lets requests go on that could not be told of."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def process(self, events: Sequence[Event]) -> bool:
        await self._sink.process(events)
        return True

    async def run(self) -> NoReturn:
        await self._sink.run()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """How events are gathered."""

    buffer_size: int
    size: int
    wait_seconds: float
    throttle: bool
    qps: float
    burst: int
    at_once: bool  # whether the next batch may be sent while one is


class Buffered:
    """Keeps events later, some at a time; has no one wait, and drops what there is no room for."""

    def __init__(self, sink: Sink, batches: Batches, clock: Clock, failed: Failures) -> None:
        self._sink = sink
        self._batches = batches
        self._clock = clock
        self._failed = failed
        self._waiting: deque[Event] = deque()
        self._more = asyncio.Event()
        self._throttle = TokenBucket(batches.qps, batches.burst, clock) if batches.throttle else None

    async def process(self, events: Sequence[Event]) -> bool:
        room = self._batches.buffer_size - len(self._waiting)
        self._waiting.extend(events[:room])
        if room < len(events):
            self._failed(_NAME, "audit buffer queue blocked", events[max(room, 0) :])
        self._more.set()
        return True

    async def run(self) -> NoReturn:
        beside = asyncio.create_task(self._sink.run())
        sending: set[asyncio.Task[bool]] = set()
        try:
            while True:
                await self._gathered()
                if self._throttle is not None:
                    await self._throttle.wait()
                task = asyncio.create_task(self._sink.process(self._taken()))
                sending.add(task)
                task.add_done_callback(sending.discard)
                if not self._batches.at_once:
                    await asyncio.wait({task})
        finally:
            try:
                await within(self._clock, _LAST_SECONDS, self._finish(sending))
            except TimeoutError:
                self._failed(_NAME, "the server has ended", self._waiting)
            for one in (*sending, beside):
                one.cancel()
            await asyncio.wait({*sending, beside})

    async def _finish(self, sending: set[asyncio.Task[bool]]) -> None:
        """Keep what was told before the end, too."""
        while self._waiting:
            await self._sink.process(self._taken())
        if sending:
            await asyncio.wait(set(sending))

    async def _gathered(self) -> None:
        """Wait until there is a whole batch, or for so long."""
        while not self._waiting:
            self._more.clear()
            await self._more.wait()
        if self._batches.size <= 1:
            return
        timer = asyncio.create_task(self._clock.sleep(self._batches.wait_seconds))
        try:
            while len(self._waiting) < self._batches.size and not timer.done():
                self._more.clear()
                more = asyncio.create_task(self._more.wait())
                await asyncio.wait({more, timer}, return_when=asyncio.FIRST_COMPLETED)
                more.cancel()
        finally:
            timer.cancel()

    def _taken(self) -> list[Event]:
        count = min(self._batches.size, len(self._waiting))
        return [self._waiting.popleft() for _ in range(count)]


class Truncated:
    """Cuts short what is too large: events lose what was sent and answered, batches are split."""

    def __init__(self, sink: Sink, failed: Failures, *, event_bytes: int, batch_bytes: int) -> None:
        self._sink = sink
        self._failed = failed
        self._event_bytes = event_bytes
        self._batch_bytes = batch_bytes

    async def process(self, events: Sequence[Event]) -> bool:
        kept = True
        batch: list[Event] = []
        total = 0
        for given in events:
            event, size = self._shortened(given)
            if size > self._event_bytes:
                self._failed("truncate", "event is too large even after truncating", [event])
                continue
            if batch and total + size > self._batch_bytes:
                kept = await self._sink.process(batch) and kept
                batch, total = [], 0
            batch.append(event)
            total += size
        if batch:
            kept = await self._sink.process(batch) and kept
        return kept

    def _shortened(self, event: Event) -> tuple[Event, int]:
        size = len(encode(event)) + 1
        if size <= self._event_bytes or event["level"] not in ("Request", "RequestResponse"):
            return event, size
        short = {field: value for field, value in event.items() if field not in ("requestObject", "responseObject")}
        short["annotations"] = {**event.get("annotations", {}), "audit.k8s.io/truncated": "true"}
        return short, len(encode(short)) + 1

    async def run(self) -> NoReturn:
        await self._sink.run()


class Both:
    """Keeps events in several places, one after another."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = tuple(sinks)

    async def process(self, events: Sequence[Event]) -> bool:
        kept = [await sink.process(events) for sink in self._sinks]
        return all(kept)

    async def run(self) -> NoReturn:
        async with asyncio.TaskGroup() as group:
            for sink in self._sinks:
                group.create_task(sink.run())
        raise AssertionError("a sink returned")
