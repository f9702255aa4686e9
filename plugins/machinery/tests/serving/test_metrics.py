"""Instruments, and the text that scrapers read."""

from __future__ import annotations

import gzip
import math
import timeit

import pytest

from hyperkube_machinery.serving.exposition import OPENMETRICS_TYPE, TEXT_TYPE, exposed, exposition
from hyperkube_machinery.serving.messages import Request, Response
from hyperkube_machinery.serving.metrics import Registry, exponential_buckets
from hyperkube_machinery.serving.process import measure_lag, register_process
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


async def text(registry: Registry, *, openmetrics: bool = False) -> str:
    return b"".join([piece async for piece in exposition(registry, openmetrics=openmetrics)]).decode()


async def scrape(registry: Registry, **headers: str) -> Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await exposed(registry, Request("GET", "/metrics", "", sent, b"", None))  # type: ignore[arg-type]


def body(response: Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


async def test_a_counter_is_told_with_its_labels() -> None:
    registry = Registry()
    requests = registry.counter("requests_total", "What came.\nAll of it.", ("verb", "path"))
    requests.labels("GET", 'a"b\\c\nd').inc()
    requests.labels("GET", 'a"b\\c\nd').inc(2.5)
    assert await text(registry) == (
        "# HELP requests_total What came.\\nAll of it.\n# TYPE requests_total counter\n"
        'requests_total{verb="GET",path="a\\"b\\\\c\\nd"} 3.5\n'
    )


async def test_a_histogram_sums_its_buckets_up_and_a_bound_is_part_of_its_bucket() -> None:
    registry = Registry()
    seconds = registry.histogram("seconds", "How long.", ("verb",), bounds=(0.5, 1, 2.5)).labels("GET")
    for value in (0.1, 0.5, 1.0, 2.0, 9.0):
        seconds.observe(value)
    assert await text(registry) == (
        "# HELP seconds How long.\n# TYPE seconds histogram\n"
        'seconds_bucket{verb="GET",le="0.5"} 2\nseconds_bucket{verb="GET",le="1"} 3\n'
        'seconds_bucket{verb="GET",le="2.5"} 4\nseconds_bucket{verb="GET",le="+Inf"} 5\n'
        'seconds_sum{verb="GET"} 12.6\nseconds_count{verb="GET"} 5\n'
    )


async def test_openmetrics_has_its_own_names_numbers_and_end() -> None:
    registry = Registry()
    registry.counter("attempts", "Tries.").labels().inc()
    registry.counter("requests_total", "What came.").labels().inc(2)
    registry.histogram("seconds", "How long.", bounds=(1, 2.5)).labels().observe(1)
    registry.gauge("open", "Now.").labels().set(math.inf)
    assert (await text(registry, openmetrics=True)).splitlines() == [
        "# HELP attempts Tries.",
        "# TYPE attempts counter",
        "attempts_total 1.0",
        "# HELP open Now.",
        "# TYPE open gauge",
        "open +Inf",
        "# HELP requests What came.",
        "# TYPE requests counter",
        "requests_total 2.0",
        "# HELP seconds How long.",
        "# TYPE seconds histogram",
        'seconds_bucket{le="1.0"} 1',
        'seconds_bucket{le="2.5"} 1',
        'seconds_bucket{le="+Inf"} 1',
        "seconds_sum 1.0",
        "seconds_count 1",
        "# EOF",
    ]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT_TYPE),
        ("*/*", TEXT_TYPE),
        ("application/json", TEXT_TYPE),
        ("application/openmetrics-text", OPENMETRICS_TYPE),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", OPENMETRICS_TYPE),
        ("application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.5", TEXT_TYPE),
        ("application/openmetrics-text;version=7.0.0", TEXT_TYPE),
        ("application/openmetrics-text;q=0", TEXT_TYPE),
        ("application/openmetrics-text;q=x", TEXT_TYPE),
    ],
)
async def test_the_form_is_the_one_that_is_liked_best(accept: str, expected: str) -> None:
    assert (await scrape(Registry(), accept=accept)).content_type == expected


async def test_a_long_answer_is_compressed_for_who_takes_it() -> None:
    registry = Registry()
    for number in range(100):
        registry.gauge(f"gauge_{number}", "One of many.").labels().set(number)
    plain = await scrape(registry)
    packed = await scrape(registry, accept_encoding="deflate, gzip;q=1.0")
    assert ("Content-Encoding", "gzip") in packed.headers
    assert gzip.decompress(body(packed)) == body(plain)
    for refusal in ("", "br", "gzip;q=0"):
        assert not (await scrape(registry, accept_encoding=refusal)).headers


async def test_what_is_collected_is_read_anew_for_each_scrape() -> None:
    registry = Registry()
    stored = [1.0]
    registry.collect("stored", "Now.", lambda: [((str(i),), value) for i, value in enumerate(stored)], ("number",))
    assert 'stored{number="0"} 1\n' in await text(registry)
    stored[:] = [2, 3]
    assert (await text(registry)).endswith('stored{number="0"} 2\nstored{number="1"} 3\n')


async def test_what_was_never_used_is_not_told() -> None:
    registry = Registry()
    registry.counter("requests_total", "What came.", ("verb",))
    registry.histogram("seconds", "How long.", ("verb",), bounds=(1,)).labels("GET")
    assert await text(registry) == ""


async def test_what_has_no_labels_is_told_from_the_start() -> None:
    registry = Registry()
    registry.counter("requests_total", "What came.")
    registry.histogram("seconds", "How long.", bounds=(1,))
    told = await text(registry)
    assert "\nrequests_total 0\n" in told
    assert told.endswith('seconds_bucket{le="1"} 0\nseconds_bucket{le="+Inf"} 0\nseconds_sum 0\nseconds_count 0\n')


def test_one_name_is_one_family() -> None:
    registry = Registry()
    registry.counter("requests_total", "What came.")
    with pytest.raises(ValueError, match="already"):
        registry.gauge("requests_total", "What is there.")
    with pytest.raises(ValueError, match="ascend"):
        registry.histogram("seconds", "How long.", bounds=(2, 1))


def test_a_label_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        Registry().counter("requests_total", "What came.", ("verb", "path")).labels("GET")


def test_buckets_grow_by_their_factor() -> None:
    assert exponential_buckets(1024, 2, 3) == [1024, 2048, 4096]


def test_counting_takes_less_than_a_microsecond() -> None:
    registry = Registry()
    counter = registry.counter("requests_total", "What came.").labels()
    histogram = registry.histogram("seconds", "How long.", bounds=range(1, 24)).labels()
    for count in (counter.inc, lambda: histogram.observe(3.5)):
        assert min(timeit.repeat(count, number=1000, repeat=50)) < 1000 * 1e-6


async def test_the_process_tells_of_itself() -> None:
    registry = Registry()
    register_process(registry)
    told = dict(line.split() for line in (await text(registry)).splitlines() if not line.startswith("#"))
    assert float(told["process_cpu_seconds_total"]) > 0
    if "process_open_fds" in told:  # on Linux
        assert float(told["process_resident_memory_bytes"]) > 1 << 20
        assert 0 < float(told["process_open_fds"]) <= float(told["process_max_fds"])
        assert float(told["process_start_time_seconds"]) > 1.6e9


async def test_a_loop_that_was_held_is_told_by_its_lag() -> None:
    class HeldClock(VirtualClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds + 0.03)  # the loop comes to it that much later

    import asyncio

    clock = HeldClock()
    lag = Registry().histogram("lag", "How late.", bounds=(0.01, 0.02, 0.05)).labels()
    task = asyncio.create_task(measure_lag(clock, lag))
    await clock.advance(1)
    task.cancel()
    assert lag.counts == [0, 0, 7, 0]
