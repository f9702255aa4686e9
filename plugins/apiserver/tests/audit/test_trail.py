"""What is told of a request, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.audit.auditor import AuditLog, AuditMetrics
from hyperkube_apiserver.audit.events import Event
from hyperkube_apiserver.audit.policy import read_policy
from hyperkube_apiserver.audit.trail import RequestTrail
from hyperkube_apiserver.requestinfo import parse_query, request_info
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.serving.messages import BodyWriter, Request, Response, StreamingResponse
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


class Kept:
    """A sink that keeps events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def process(self, events: Any) -> bool:
        self.events += events
        return True

    async def run(self) -> Any:
        raise AssertionError


class Connection:
    peer_address = "127.0.0.1"


class World:
    def __init__(self, folder: Path) -> None:
        path = folder / "policy.yaml"
        path.write_text("kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: Metadata}]\n")
        self.clock = VirtualClock()
        self.sink = Kept()
        self.log = AuditLog(read_policy(path), self.sink, AuditMetrics(Registry()), self.clock)

    def trail(self, target: str = "/api/v1/namespaces/default/pods/a", method: str = "GET") -> RequestTrail:
        path, _, query = target.partition("?")
        connection: Any = Connection()
        request = Request(method, path, query, {}, b"", connection)
        info = request_info(method, path, parse_query(query))
        trail = self.log.begin(request, info, "id", Identity("jane"), age_seconds=0.125)
        assert trail is not None
        return trail

    @property
    def last(self) -> Event:
        return self.sink.events[-1]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_slow_request_tells_what_took_how_long(world: World) -> None:
    trail = world.trail()
    trail.spent("authentication", 0.002)
    trail.spent("authorization", 0.1)
    trail.spent("authorization", 0.15)
    await world.clock.advance(1.5)
    await trail.answered(Response(200, b"{}"))
    assert world.last["stage"] == "ResponseComplete"
    assert world.last["annotations"] == {
        "apiserver.latency.k8s.io/authentication": "2ms",
        "apiserver.latency.k8s.io/authorization": "250ms",
        "apiserver.latency.k8s.io/total": "1.625s",
    }


async def test_a_quick_request_and_a_watch_do_not(world: World) -> None:
    trail = world.trail()
    trail.spent("authentication", 0.002)
    await world.clock.advance(0.3)
    await trail.answered(Response(200, b"{}"))
    assert "annotations" not in world.last
    trail = world.trail("/api/v1/pods?watch=1")
    await world.clock.advance(100)
    await trail.answered(Response(200, b"{}"))
    assert [event["stage"] for event in world.sink.events[1:]] == ["ResponseStarted", "ResponseComplete"]
    assert "annotations" not in world.last


async def test_of_a_stream_the_end_is_told_with_how_long_it_took(world: World) -> None:
    async def produce(writer: BodyWriter) -> None:
        await world.clock.advance(2)

    answer = StreamingResponse(produce)
    await world.trail("/api/v1/namespaces/default/pods/a/log?follow=true").answered(answer)
    assert world.last["stage"] == "ResponseStarted"
    assert "annotations" not in world.last
    nobody: Any = None
    await answer.produce(nobody)
    await world.clock.advance(0)
    assert world.last["stage"] == "ResponseComplete"
    assert world.last["annotations"] == {"apiserver.latency.k8s.io/total": "2.125s"}
