"""Keys that want work: each is worked at by one at a time, and once however often it was asked for meanwhile.

    add ────────────────────────→ ready ─→ get ─→ worked at ─→ done
    add_after, add_rate_limited ─→ later ─↗           └─ added meanwhile: ready again

Source: k8s.io/client-go/util/workqueue
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import Any, Generic, TypeVar

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.ratelimit import TokenBucket
from hyperkube_machinery.serving.metrics import Registry, Sample, exponential_buckets

__all__ = ["WorkQueue", "WorkQueueMetrics"]

KeyT = TypeVar("KeyT", bound=Hashable)

_FIRST_RETRY_SECONDS = 0.005
_LONGEST_RETRY_SECONDS = 1000.0
_RETRIES_PER_SECOND = 10
_RETRIES_AT_ONCE = 100


class WorkQueue(Generic[KeyT]):
    """For one event loop."""

    def __init__(
        self,
        clock: Clock,
        *,
        name: str = "",
        metrics: WorkQueueMetrics | None = None,
        first_retry_seconds: float = _FIRST_RETRY_SECONDS,
        longest_retry_seconds: float = _LONGEST_RETRY_SECONDS,
    ) -> None:
        """`name` is what its metrics are told by. The first retry of a key waits so long, each other twice as long."""
        self._clock = clock
        self._ready: deque[KeyT] = deque()
        self._wanted: set[KeyT] = set()  # ready, or to be ready once done
        self._working: dict[KeyT, float] = {}  # since when
        self._later: list[tuple[float, int, KeyT]] = []  # a heap; entries that `_due` doesn't know are void
        self._due: dict[KeyT, float] = {}
        self._order = itertools.count()
        self._failures: dict[KeyT, int] = {}
        self._first = first_retry_seconds
        self._longest = longest_retry_seconds
        self._bucket = TokenBucket(_RETRIES_PER_SECOND, _RETRIES_AT_ONCE, clock)
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timekeeper: asyncio.Future[None] | None = None  # the waiter that looks at the clock for all
        self._meter = metrics.of(name, self) if metrics is not None else None

    def __len__(self) -> int:
        """How many keys are ready."""
        return len(self._ready)

    def add(self, key: KeyT) -> None:
        """Have `key` worked at, once more if that is being done."""
        if key in self._wanted:
            return
        self._wanted.add(key)
        if self._meter is not None:
            self._meter.added(key, self._clock.monotonic())
        if key not in self._working:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: KeyT, seconds: float) -> None:
        """Add `key` in so many seconds; if it is to be added sooner already, nothing changes."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._later, (due, next(self._order), key))
        if self._timekeeper is None:
            self._wake()
        elif self._later[0][2] == key:
            _resolve(self._timekeeper)  # it sleeps too long

    def add_rate_limited(self, key: KeyT) -> None:
        """Add `key` after a failure: the later the more there were since `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        if self._meter is not None:
            self._meter.retries.inc()
        own = min(self._first * 2.0 ** min(failures, 64), self._longest)
        self.add_after(key, max(own, self._bucket.reserve()))

    def forget(self, key: KeyT) -> None:
        """Count the failures of `key` from zero again."""
        self._failures.pop(key, None)

    def retries(self, key: KeyT) -> int:
        """How often `key` has failed since `forget`."""
        return self._failures.get(key, 0)

    async def get(self) -> KeyT:
        """The next key, which is the caller's until it says `done`."""
        self._ripen()
        while not self._ready:
            await self._wait()
            self._ripen()
        key = self._ready.popleft()
        self._wanted.discard(key)
        now = self._clock.monotonic()
        self._working[key] = now
        if self._meter is not None:
            self._meter.taken(key, now)
        return key

    def done(self, key: KeyT) -> None:
        """Whoever got `key` has worked at it."""
        began = self._working.pop(key, None)
        if began is None:
            return
        if self._meter is not None:
            self._meter.works.observe(self._clock.monotonic() - began)
        if key in self._wanted:
            self._ready.append(key)
            self._wake()

    def working(self) -> Iterable[float]:
        """Since when each key that is worked at has been, on the monotonic clock."""
        return self._working.values()

    def _ripen(self) -> None:
        """Make ready whose time has come."""
        if not self._later:
            return
        now = self._clock.monotonic()
        while self._later and (self._later[0][0] <= now or self._is_void(self._later[0])):
            entry = heapq.heappop(self._later)
            if not self._is_void(entry):
                del self._due[entry[2]]
                self.add(entry[2])

    def _is_void(self, entry: tuple[float, int, KeyT]) -> bool:
        return self._due.get(entry[2]) != entry[0]

    async def _wait(self) -> None:
        """Until there may be something; one of those who wait looks at the clock."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        timer = None
        if self._later and self._timekeeper is None:
            self._timekeeper = waiter
            timer = loop.create_task(self._clock.sleep(self._later[0][0] - self._clock.monotonic()))
            timer.add_done_callback(lambda _: _resolve(waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            if self._ready:  # it may have been woken for that
                self._wake()
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            if timer is not None:
                timer.cancel()
                self._timekeeper = None
                if self._later:
                    self._wake()  # another one has to look at the clock

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class WorkQueueMetrics:
    """What the queues of one server tell, in upstream's names.

    Source: k8s.io/component-base/metrics/prometheus/workqueue/metrics.go
    """

    def __init__(self, registry: Registry, clock: Clock) -> None:
        labels, bounds = ("name",), exponential_buckets(10e-9, 10, 10)
        self._clock = clock
        self._queues: dict[str, WorkQueue[Any]] = {}
        self.adds = registry.counter("workqueue_adds_total", "Keys that were added to a queue.", labels)
        self.retries = registry.counter("workqueue_retries_total", "Keys that were added after a failure.", labels)
        self.waits = registry.histogram(
            "workqueue_queue_duration_seconds", "How long keys waited, in seconds.", labels, bounds=bounds
        )
        self.works = registry.histogram(
            "workqueue_work_duration_seconds", "How long keys were worked at, in seconds.", labels, bounds=bounds
        )
        for name, text, read in (
            ("depth", "Keys that wait.", lambda queue: float(len(queue))),
            ("unfinished_work_seconds", "How long all that is worked at now has been, in seconds.", self._unfinished),
            ("longest_running_processor_seconds", "The longest of these.", self._longest),
        ):
            registry.collect(f"workqueue_{name}", text, partial(self._read, read), labels)

    def of(self, name: str, queue: WorkQueue[Any]) -> _Meter:
        """What `queue` counts on. A later queue of the same name takes its place."""
        self._queues[name] = queue
        return _Meter(self, name)

    def _read(self, read: Callable[[WorkQueue[Any]], float]) -> Iterable[Sample]:
        return [((name,), read(queue)) for name, queue in self._queues.items()]

    def _unfinished(self, queue: WorkQueue[Any]) -> float:
        now = self._clock.monotonic()
        return sum(now - since for since in queue.working())

    def _longest(self, queue: WorkQueue[Any]) -> float:
        return self._clock.monotonic() - min(queue.working(), default=self._clock.monotonic())


class _Meter:
    """What one queue counts."""

    def __init__(self, metrics: WorkQueueMetrics, name: str) -> None:
        self._adds = metrics.adds.labels(name)
        self._waits = metrics.waits.labels(name)
        self._since: dict[Hashable, float] = {}
        self.retries = metrics.retries.labels(name)
        self.works = metrics.works.labels(name)

    def added(self, key: Hashable, now: float) -> None:
        self._adds.inc()
        self._since[key] = now

    def taken(self, key: Hashable, now: float) -> None:
        self._waits.observe(now - self._since.pop(key, now))
