"""Events: what is written, combined, counted and dropped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hyperkube_machinery.client import Client, Unreachable
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.eventcorrelation import reference_of
from hyperkube_machinery.events import EventRecorder, SeriesRecorder
from hyperkube_machinery.testing.api import Asked, MemoryAPI
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "5", "labels": {"x": "y"}},
}
ABOUT = {"kind": "Pod", "apiVersion": "v1", "namespace": "n", "name": "a", "uid": "u", "resourceVersion": "5"}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def api() -> MemoryAPI:
    return MemoryAPI()


@pytest.fixture
async def client(api: MemoryAPI, clock: VirtualClock) -> AsyncIterator[Client]:
    async with api.client(clock) as client:
        yield client


@pytest.fixture
async def recorder(client: Client, clock: VirtualClock) -> AsyncIterator[EventRecorder]:
    async with EventRecorder(
        client, clock, component="kubelet", host="node-1", chance=lambda: 0.5
    ).running() as recorder:
        yield recorder


def events(api: MemoryAPI) -> list[dict[str, Any]]:
    return [*api.objects.values()]


def told(api: MemoryAPI) -> list[tuple[str, int]]:
    return [(event["message"], event["count"]) for event in events(api)]


def test_an_event_says_which_object_it_is_about() -> None:
    assert reference_of(POD) == ABOUT
    assert reference_of({"kind": "Node", "name": "x", "fieldPath": "y"}) == {
        "kind": "Node",
        "name": "x",
        "fieldPath": "y",
    }


async def test_what_cannot_be_written_ends_neither_the_recorder_nor_the_events_after_it(
    api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock
) -> None:
    recorder.event(POD, "Warning", "FailedMount", "no file \udcff")  # as a name on disk that is no UTF-8 is read
    recorder.event(POD, "Normal", "Started", "Started container")
    await clock.advance(0)
    assert told(api) == [("Started container", 1)]


async def test_an_event_is_written_as_the_api_has_them(
    api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock
) -> None:
    recorder.event(POD, "Normal", "Started", "Started container", annotations={"k": "v"})
    assert events(api) == []
    await clock.advance(0)
    (event,) = events(api)
    about = event.pop("metadata")
    assert (about["namespace"], about["annotations"]) == ("n", {"k": "v"})
    prefix, _, moment = about["name"].partition(".")
    assert (prefix, int(moment, 16) // 10**9) == ("a", int(clock.now()))
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": ABOUT,
        "reason": "Started",
        "message": "Started container",
        "source": {"component": "kubelet", "host": "node-1"},
        "firstTimestamp": "2026-09-21T14:13:20Z",
        "lastTimestamp": "2026-09-21T14:13:20Z",
        "count": 1,
        "type": "Normal",
        "eventTime": None,
        "reportingComponent": "kubelet",
        "reportingInstance": "node-1",
    }


async def test_events_of_what_is_in_no_namespace_are_in_default(
    api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock
) -> None:
    recorder.event({"kind": "Node", "name": "x", "uid": "x"}, "Normal", "Starting", "")
    await clock.advance(0)
    assert events(api)[0]["metadata"]["namespace"] == "default"


async def test_repetitions_are_counted(api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock) -> None:
    for _ in range(3):
        recorder.event(POD, "Warning", "BackOff", "Back-off restarting")
        await clock.advance(10)
    (event,) = events(api)
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (
        3,
        "2026-09-21T14:13:20Z",
        "2026-09-21T14:13:40Z",
    )
    assert [asked.method for asked in api.asked] == ["POST", "PATCH", "PATCH"]
    assert api.asked[-1].headers["content-type"] == "application/strategic-merge-patch+json"


async def test_a_repetition_of_an_event_that_is_gone_is_written_anew(
    api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock
) -> None:
    recorder.event(POD, "Normal", "R", "m")
    await clock.advance(0)
    api.objects.clear()
    recorder.event(POD, "Normal", "R", "m")
    await clock.advance(0)
    assert told(api) == [("m", 2)]
    assert [asked.method for asked in api.asked] == ["POST", "PATCH", "POST"]


async def test_many_alike_become_one(api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock) -> None:
    for number in range(12):
        recorder.event(POD, "Normal", "Pulled", f"image {number}")
    await clock.advance(0)
    assert told(api) == [
        *((f"image {number}", 1) for number in range(9)),
        ("(combined from similar events): image 11", 3),
    ]


async def test_what_was_combined_is_told_apart_again_after_ten_quiet_minutes(
    api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock
) -> None:
    for number in range(10):
        recorder.event(POD, "Normal", "Pulled", f"image {number}")
    await clock.advance(601)
    recorder.event(POD, "Normal", "Pulled", "another")
    await clock.advance(0)
    assert told(api)[-1] == ("another", 1)


async def test_who_says_too_much_about_one_object_is_not_heard(
    api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock
) -> None:
    for _ in range(40):
        recorder.event(POD, "Warning", "BackOff", "m")
    other = {**POD, "metadata": {**POD["metadata"], "uid": "v"}}  # type: ignore[dict-item]
    recorder.event(other, "Warning", "BackOff", "m")
    await clock.advance(0)
    assert told(api) == [("m", 25), ("m", 1)]
    await clock.advance(301)  # one more every five minutes
    for _ in range(3):
        recorder.event(POD, "Warning", "BackOff", "m")
    await clock.advance(0)
    assert len(api.asked) == 27


async def test_what_the_server_does_not_take_is_dropped(
    api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse(APIError.of(403, "Forbidden", "no"))
    recorder.event(POD, "Normal", "R", "one")
    recorder.event(POD, "Normal", "R", "two")
    await clock.advance(0)
    assert told(api) == [("two", 1)]
    assert "will not retry" in caplog.text


async def test_a_server_that_is_gone_is_waited_for(
    api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock
) -> None:
    api.refuse(Unreachable("connection refused"), times=3)
    recorder.event(POD, "Normal", "R", "one")
    recorder.event(POD, "Normal", "R", "two")
    await clock.advance(24)  # half of ten seconds, for chance says so, and ten twice
    assert events(api) == []
    await clock.advance(2)
    assert told(api) == [("one", 1), ("two", 1)]


async def test_a_server_that_stays_gone_is_given_up(
    api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse(Unreachable("connection refused"), times=12)
    recorder.event(POD, "Normal", "R", "one")
    recorder.event(POD, "Normal", "R", "two")
    await clock.advance(130)
    assert told(api) == [("two", 1)]
    assert "retry limit exceeded" in caplog.text


async def test_what_there_is_no_room_for_is_dropped(
    api: MemoryAPI, recorder: EventRecorder, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1001):
        recorder.event({"kind": "Node", "name": f"{number}"}, "Normal", "R", "m")
    assert "too many queued events" in caplog.text
    await clock.advance(0)
    while len(api.asked) < 1000:
        await clock.advance(0)
    assert len(events(api)) == 1000


@pytest.fixture
async def series(client: Client, clock: VirtualClock) -> AsyncIterator[SeriesRecorder]:
    async with SeriesRecorder(
        client, clock, controller="default-scheduler", instance="default-scheduler-h"
    ).running() as one:
        yield one


async def test_the_newer_events_are_written_as_their_api_has_them(
    api: MemoryAPI, series: SeriesRecorder, clock: VirtualClock
) -> None:
    series.event(POD, "Normal", "Scheduled", "x" * 2000, action="Binding", related={"kind": "Node", "name": "w"})
    await clock.advance(0)
    (event,) = events(api)
    assert api.asked[0].path == "/apis/events.k8s.io/v1/namespaces/n/events"
    assert event.pop("metadata")["namespace"] == "n"
    assert len(event["note"]) == 1024
    assert event.pop("note").endswith("x ...")
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "eventTime": "2026-09-21T14:13:20.000000Z",
        "reportingController": "default-scheduler",
        "reportingInstance": "default-scheduler-h",
        "action": "Binding",
        "reason": "Scheduled",
        "regarding": ABOUT,
        "related": {"kind": "Node", "name": "w"},
        "type": "Normal",
    }


async def test_repetitions_are_a_series_that_is_told_of_now_and_then(
    api: MemoryAPI, series: SeriesRecorder, clock: VirtualClock
) -> None:
    def again() -> None:
        series.event(POD, "Warning", "FailedScheduling", "0/1 nodes are available", action="Scheduling")

    def count() -> Any:
        (event,) = events(api)
        return event.get("series", {}).get("count")

    for expected in (None, 2, 2, 2):
        again()
        await clock.advance(1)
        assert count() == expected
    for _ in range(40):
        await clock.advance(60)
        again()
    assert count() > 30  # of half an hour
    await clock.advance(800)
    assert count() == 44  # the series is over
    before = len(api.asked)
    again()
    await clock.advance(1)
    assert [asked.method for asked in api.asked[before:]] == ["POST"]


async def test_events_that_differ_in_anything_are_no_series(
    api: MemoryAPI, series: SeriesRecorder, clock: VirtualClock
) -> None:
    for reason, action, uid in (("R", "A", "1"), ("S", "A", "1"), ("R", "B", "1"), ("R", "A", "2")):
        series.event({"kind": "Pod", "name": "p", "uid": uid}, "Normal", reason, "n", action=action)
    await clock.advance(1)
    assert len(events(api)) == 4


async def test_one_slow_answer_holds_up_no_other_event(
    api: MemoryAPI, series: SeriesRecorder, clock: VirtualClock
) -> None:
    def is_slow(asked: Asked) -> bool:
        return bool(asked.body["regarding"]["name"] == "slow")

    api.refuse(Unreachable("gone"), is_slow)
    for name in ("slow", "a", "b"):
        series.event({"kind": "Pod", "name": name}, "Normal", "R", "n", action="A")
    await clock.advance(0.01)
    assert [event["regarding"]["name"] for event in events(api)] == ["a", "b"]
