"""Which patch a new status is, and when it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import pytest

from hyperkube_kubelet.status.conditions import with_transitions
from hyperkube_kubelet.status.patch import status_patch, to_be_written
from hyperkube_kubelet.status.writer import StatusWriter
from hyperkube_machinery.client import Unreachable
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.testing.clock import VirtualClock

from ..builders import pod

pytestmark = pytest.mark.anyio

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "t1"}
FOREIGN = {"type": "example.com/gate", "status": "True"}
MARKED = {"meta_deletionTimestamp": "2026-01-01T00:00:00Z"}


def test_nothing_new_is_no_patch() -> None:
    old = {
        "phase": "Running",
        "conditions": [READY],
        "podIPs": [{"ip": "1"}],
        "containerStatuses": [{"name": "a", "lastState": {}}],
    }
    new = {**deepcopy(old), "containerStatuses": [{"name": "a"}]}
    assert status_patch(old, new) == {}


def test_only_what_differs_is_sent() -> None:
    old = {"phase": "Pending", "conditions": [READY, FOREIGN], "reason": "Why", "startTime": "t"}
    new = {"phase": "Running", "conditions": [{**READY, "status": "False"}, FOREIGN], "startTime": "t"}
    assert status_patch(old, new) == {
        "phase": "Running",
        "conditions": [{**READY, "status": "False"}],
        "$setElementOrder/conditions": [{"type": "Ready"}, {"type": "example.com/gate"}],
        "reason": None,
    }


def test_elements_that_are_gone_are_deleted() -> None:
    patch = status_patch({"podIPs": [{"ip": "1"}, {"ip": "2"}]}, {"podIPs": [{"ip": "2"}]})
    assert patch["podIPs"] == [{"ip": "1", "$patch": "delete"}]


def test_fields_of_conditions_that_are_gone_are_taken_away() -> None:
    old, new = [{**READY, "reason": "A", "message": "b"}], [READY]
    [changed] = status_patch({"conditions": old}, {"conditions": new})["conditions"]
    assert (changed["reason"], changed["message"]) == (None, None)


def test_conditions_of_others_stay_as_the_object_has_them() -> None:
    stale = {**FOREIGN, "status": "False"}
    written = to_be_written({"phase": "Running", "conditions": [stale, READY]}, {"conditions": [FOREIGN]}, alive=True)
    assert written["conditions"] == [FOREIGN, READY]


def test_a_pod_has_not_ended_while_something_of_it_may_run() -> None:
    ended = {"phase": "Failed", "reason": "DeadlineExceeded", "conditions": [READY]}
    before = {"phase": "Running"}
    assert to_be_written(ended, before, alive=True)["phase"] == "Running"
    assert "reason" not in to_be_written(ended, before, alive=True)
    written = to_be_written(ended, before, alive=False)
    assert (written["phase"], written["reason"]) == ("Failed", "DeadlineExceeded")
    assert written["conditions"] == [{**READY, "status": "False", "reason": "PodFailed"}]


def test_times_change_with_what_they_are_of() -> None:
    new = [{"type": "Ready", "status": "False"}, {"type": "ContainersReady", "status": "True"}]
    found = with_transitions(new, [READY, {**READY, "type": "ContainersReady"}], "t2")
    assert [one["lastTransitionTime"] for one in found] == ["t2", "t1"]


class Server:
    """Of an API server what the writer needs: one pod."""

    def __init__(self, made: dict[str, Any]) -> None:
        made["metadata"]["resourceVersion"] = "1"
        self.pod: dict[str, Any] | None = made
        self.patches = 0
        self.deleted: list[str] = []
        self.failures: list[Exception] = []

    async def patch(self, resource: Any, name: str, patch: dict[str, Any], namespace: str, **_: Any) -> dict[str, Any]:
        self.patches += 1
        if self.failures:
            raise self.failures.pop(0)
        assert self.pod is not None
        assert patch["metadata"]["uid"] == self.pod["metadata"]["uid"]
        self.pod = deepcopy(self.pod)
        self.pod["status"] = merged(self.pod["status"], patch["status"])
        self.pod["metadata"]["resourceVersion"] = str(int(self.pod["metadata"]["resourceVersion"]) + 1)
        return self.pod

    async def delete(self, resource: Any, name: str, namespace: str, **given: Any) -> None:
        assert given == {"grace_seconds": 0, "uid": "uid-1"}
        self.deleted.append(name)


def merged(status: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """What the tests need of a strategic merge patch: fields replaced, and conditions by their type."""
    found = {**status, **{key: value for key, value in patch.items() if not key.startswith("$")}}
    if "conditions" in patch:
        by_type = {one["type"]: one for one in status.get("conditions") or ()}
        by_type.update({one["type"]: one for one in patch["conditions"]})
        found["conditions"] = list(by_type.values())
    return {key: value for key, value in found.items() if value is not None}


class Desk:
    """A writer that writes to a server, which is told of what it has written when the test says so."""

    def __init__(self, **of_pod: Any) -> None:
        self.clock = VirtualClock(now=1_700_000_000.0)
        self.pod = pod(**of_pod)
        self.server = Server(deepcopy(self.pod))
        self.known: dict[str, Any] | None = self.server.pod
        self.writer = StatusWriter(self.server, self.clock, lambda uid: self.known)  # type: ignore[arg-type]

    def set(self, phase: str = "Running", *, alive: bool = True, finished: bool = False) -> None:
        status = {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}
        self.writer.set(self.pod, status, alive=alive, finished=finished)

    async def settle(self) -> None:
        await self.clock.advance(0)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    task = asyncio.create_task(desk.writer.run())
    yield desk
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_status_is_written_with_its_times(desk: Desk) -> None:
    desk.set()
    await desk.settle()
    assert desk.server.pod is not None
    status = desk.server.pod["status"]
    assert (status["phase"], status["startTime"]) == ("Running", "2023-11-14T22:13:20Z")
    assert status["conditions"][0]["lastTransitionTime"] == "2023-11-14T22:13:20Z"


async def test_the_same_status_is_not_written_again(desk: Desk) -> None:
    for _ in range(3):
        desk.set()
        await desk.settle()
        desk.writer.check("uid-1")
        await desk.settle()
    assert desk.server.patches == 1


async def test_what_was_written_counts_before_it_is_heard_of(desk: Desk) -> None:
    desk.set("Running")
    await desk.settle()
    desk.set("Pending")  # as the object still says, as far as is known
    await desk.settle()
    assert desk.server.pod is not None
    assert desk.server.pod["status"]["phase"] == "Pending"


async def test_a_failed_write_is_done_again(desk: Desk) -> None:
    desk.server.failures = [Unreachable("no"), APIError.internal("no")]
    desk.set()
    await desk.clock.advance(60)
    assert desk.server.patches == 3
    assert desk.server.pod is not None
    assert desk.server.pod["status"]["phase"] == "Running"


async def test_it_is_done_again_soon_however_long_the_server_was_away(desk: Desk) -> None:
    desk.server.failures = [Unreachable("no")] * 30
    desk.set()
    await desk.clock.advance(300)
    assert desk.server.patches == 31


async def test_a_pod_that_is_gone_is_written_no_more(desk: Desk) -> None:
    desk.server.failures = [APIError.of(404, "NotFound", "gone")]
    desk.set()
    await desk.clock.advance(60)
    assert desk.server.patches == 1


async def test_somebody_elses_change_is_set_right(desk: Desk) -> None:
    desk.set()
    await desk.settle()
    assert desk.server.pod is not None
    desk.server.pod = deepcopy(desk.server.pod)
    desk.server.pod["status"]["phase"] = "Unknown"
    desk.server.pod["metadata"]["resourceVersion"] = "9"
    desk.known = desk.server.pod
    desk.writer.check("uid-1")
    await desk.settle()
    assert desk.server.pod["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("marks", "finished", "deleted"), [(MARKED, True, ["web"]), (MARKED, False, []), ({}, True, [])]
)
async def test_a_pod_is_deleted_once_it_is_to_be_and_nothing_of_it_is_left(
    marks: dict[str, str], finished: bool, deleted: list[str]
) -> None:
    desk = Desk(**marks)
    task = asyncio.create_task(desk.writer.run())
    desk.set("Failed", alive=False, finished=finished)
    await desk.settle()
    assert desk.server.deleted == deleted
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_mirror_is_never_deleted_for_what_it_shows() -> None:
    desk = Desk(meta_annotations={"kubernetes.io/config.mirror": "1"}, **MARKED)
    task = asyncio.create_task(desk.writer.run())
    desk.set("Failed", alive=False, finished=True)
    await desk.settle()
    assert (desk.server.patches, desk.server.deleted) == (1, [])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_times_and_the_start_stay(desk: Desk) -> None:
    desk.set()
    await desk.clock.advance(100)
    desk.set("Succeeded", alive=False)
    await desk.settle()
    status = desk.writer.status("uid-1")
    assert status is not None
    assert status["startTime"] == "2023-11-14T22:13:20Z"
    assert status["conditions"][0]["lastTransitionTime"] == "2023-11-14T22:13:20Z"


def test_what_an_object_of_the_status_lacks_by_now_is_taken_out() -> None:
    old = {"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}}
    new = {"resources": {"limits": {"cpu": "2"}}}
    assert status_patch(old, new) == {"resources": {"limits": {"cpu": "2", "memory": None}, "requests": None}}
    assert status_patch({}, new) == new
    assert status_patch(old, {}) == {"resources": None}
