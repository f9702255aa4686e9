"""What it costs to count, time and name every request: `python -m tests.bench.operations`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.operations.desk import Desk
from hyperkube_apiserver.operations.instruments import DURATION_BOUNDS, Instruments
from hyperkube_apiserver.requestinfo import parse_query, request_info
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.serving.exposition import exposition
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.serving.metrics import Registry
from tests.bench.figures import Timed, microseconds, report

SERIES = 500
_CALLS = 5_000
_REPEATS = 15

_NOBODY: Any = None


def _figures() -> Iterator[Timed]:
    registry = Registry()
    counter = registry.counter("requests_total", "What came.", ("verb",))
    kept = counter.labels("GET")
    seconds = registry.histogram("seconds", "How long.", ("verb",), bounds=DURATION_BOUNDS)
    observed = seconds.labels("GET")
    yield Timed("count", microseconds(kept.inc, calls=_CALLS, repeats=_REPEATS), 1)
    yield Timed("observe", microseconds(lambda: observed.observe(0.0004), calls=_CALLS, repeats=_REPEATS), 1)
    yield Timed("find by labels", microseconds(lambda: counter.labels("GET"), calls=_CALLS, repeats=_REPEATS), 1)
    yield Timed("all that is told of a read", _request(), 6)
    for number in range(SERIES):
        seconds.labels(str(number)).observe(1)
    yield Timed(f"a scrape of {SERIES} histograms", _scrape(registry), 40_000)


def _request() -> float:
    """A read's way past the front desk, without reading its path and query."""
    desk = Desk(Instruments(), SystemClock(), knows=lambda info: True, deprecated=lambda info: False)
    headers = {"user-agent": "kubectl/v1.33.0", "accept": "application/json"}
    request = Request("GET", "/api/v1/namespaces/default/pods/web", "", headers, b"", _NOBODY)
    identity = Identity("admin", "", ("system:masters",))
    response = Response(200, (b"x" * 30, b"x" * 1500))

    def visit() -> None:
        visit = desk.receive(request)
        began = desk.authenticated(identity, visit)
        desk.admit(visit, identity)
        desk.authorized(visit, began, allowed=True)
        visit.leave()
        desk.dismiss(visit, response)

    def read() -> None:
        query = parse_query(request.query)
        request_info(request.method, request.path, query)

    whole = microseconds(visit, calls=_CALLS, repeats=_REPEATS)
    return whole - microseconds(read, calls=_CALLS, repeats=_REPEATS)


def _scrape(registry: Registry) -> float:
    async def scrape() -> None:
        async for _ in exposition(registry):
            pass

    return microseconds(lambda: asyncio.run(scrape()), calls=1, repeats=5)


if __name__ == "__main__":
    sys.exit(report(_figures()))
