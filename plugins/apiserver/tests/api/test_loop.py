"""No callback of the server's holds the event loop longer than its budget, however much there is to tell."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

BUDGET_SECONDS = 0.005
TOLERANCE = 2
"""Neighbours on the machine share its caches, and so cost even processor time."""
PODS = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def pod(number: int) -> bytes:
    """A pod as it is stored, of a usual size."""
    name = f"pod-{number:06}"
    container = {"name": "main", "image": "registry.example/app:1", "terminationMessagePolicy": "File", "resources": {}}
    return json.dumps(
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {
                "name": name,
                "namespace": "default",
                "uid": f"uid-{number}",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": "load", "number": str(number)},
                "annotations": {"note": "x" * 800},
            },
            "spec": {"containers": [container] * 3, "nodeName": f"node-{number % 100}"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.1.2.3"},
        },
        separators=(",", ":"),
    ).encode()


class Loop:
    """How much processor time the event loop's turns take; the longest is kept."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._began = 0.0
        self._handle: asyncio.Handle | None = None

    def _turn(self) -> None:
        now = time.thread_time()
        self.longest = max(self.longest, now - self._began)
        self._began = now
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look on for the length of the block, with the collector of garbage at rest."""
        gc.collect()
        gc.disable()
        self.longest, self._began = 0.0, time.thread_time()
        self._turn()
        try:
            yield
        finally:
            assert self._handle is not None
            self._handle.cancel()
            gc.enable()


async def longest_turn(work: Callable[[], Awaitable[None]]) -> float:
    """Of the best of some runs: what else the machine does is not the server's."""
    loop = Loop()
    turns = []
    for _ in range(3):
        with loop.watched():
            await work()
        turns.append(loop.longest)
    return min(turns) / TOLERANCE


@pytest.fixture
async def full(api: Any) -> Any:
    """An API with thirty thousand pods."""
    for number in range(30_000):
        await api.store.create(f"/registry/pods/default/pod-{number:06}", pod(number))
    await api.api.hub.fresh()
    return api


async def test_long_answers_leave_the_loop_to_others(full: Any) -> None:
    slow: dict[str, float] = {}
    for what, path, accept in (
        ("list", PODS, "application/json"),
        ("selection by label", f"{PODS}?labelSelector=number%3D7", "application/json"),
        ("selection by field", f"{PODS}?fieldSelector=spec.nodeName%3Dnode-7", "application/json"),
        ("page of a selection", f"{PODS}?labelSelector=number%3D29999&limit=5", "application/json"),
        ("table", f"{PODS}?limit=5000", TABLE),
        ("metadata", f"{PODS}?limit=5000", METADATA),
    ):

        async def get(path: str = path, accept: str = accept) -> None:
            answer = await full.answer("GET", path, accept=accept)
            assert answer.status == 200

        seconds = await longest_turn(get)
        if seconds > BUDGET_SECONDS:
            slow[what] = seconds
    assert not slow


async def test_the_first_look_of_a_watch_leaves_the_loop_to_others(full: Any) -> None:
    slow: dict[str, float] = {}
    for accept in ("application/json", TABLE):
        sink = Sink(30_000)

        async def look(accept: str = accept, sink: Sink = sink) -> None:
            sink.frames = 0
            answer = await full.answer("GET", f"{PODS}?watch=1", accept=accept)
            watching = asyncio.create_task(answer.produce(sink))
            await sink.full.wait()
            sink.full.clear()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

        seconds = await longest_turn(look)
        if seconds > BUDGET_SECONDS:
            slow[accept] = seconds
    assert not slow


async def test_a_burst_of_changes_for_many_watchers_leaves_the_loop_to_others(api: Any) -> None:
    sinks = [Sink(50) for _ in range(300)]
    answers = [await api.answer("GET", f"{PODS}?watch=1") for _ in sinks]
    watching = [asyncio.create_task(answer.produce(sink)) for answer, sink in zip(answers, sinks, strict=True)]
    await asyncio.sleep(0)
    numbers = iter(range(1_000_000))

    async def burst() -> None:
        for sink in sinks:
            sink.frames = 0
            sink.full.clear()
        await asyncio.gather(
            *(api.store.create(f"/registry/pods/default/burst-{number}", pod(number)) for number in _some(numbers, 50))
        )
        for sink in sinks:
            await sink.full.wait()

    try:
        assert await longest_turn(burst) < BUDGET_SECONDS
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


async def test_expressions_that_take_long_leave_the_loop_to_others(api: Any, custom: Any) -> None:
    """Rules of custom resources, and policies."""
    rules = [{"rule": f"self.all(x, self.all(y, size(x + y) < {1000 + number}))"} for number in range(5)]
    texts = {"type": "array", "maxItems": 100, "items": {"type": "string", "maxLength": 9}}
    await custom.define("boats", "Boat", custom.version(spec={"names": {**texts, "x-kubernetes-validations": rules}}))
    name, numbers = "size(k + l) < 1000", iter(range(1000))
    policy = {
        "matchConstraints": {
            "resourceRules": [
                {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
            ]
        },
        "validations": [{"expression": f"object.data.all(k, object.data.all(l, {name}))"}],
    }
    registration = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    await api.create(f"{registration}ies", {"metadata": {"name": "slow"}, "spec": policy})
    binding = {"policyName": "slow", "validationActions": ["Deny"]}
    await api.create(f"{registration}ybindings", {"metadata": {"name": "slow"}, "spec": binding})

    async def sail() -> None:
        made = custom.made("Boat", f"b{next(numbers)}", spec={"names": ["argo"] * 100})
        await api.create("/apis/example.com/v1/namespaces/default/boats", made)

    async def write() -> None:
        data = {f"key{number}": "" for number in range(100)}
        await api.create(
            "/api/v1/namespaces/default/configmaps", {"metadata": {"name": f"m{next(numbers)}"}, "data": data}
        )

    assert await longest_turn(sail) < BUDGET_SECONDS
    assert await longest_turn(write) < BUDGET_SECONDS


async def test_a_long_configuration_is_read_aside(api: Any) -> None:
    path = "/api/v1/namespaces/default/configmaps/long"
    data = {f"key{number}": "x" * 60 for number in range(1200)}
    await api.create(path.rpartition("/")[0], {"metadata": {"name": "long"}, "data": data})
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: long}\ndata:\n"
    body = (head + "".join(f"  {key}: {value}\n" for key, value in data.items())).encode()

    async def apply() -> None:
        answer = await api.answer("PATCH", f"{path}?fieldManager=me", body, content_type="application/apply-patch+yaml")
        assert answer.status == 200

    assert await longest_turn(apply) < BUDGET_SECONDS


def _some(numbers: Iterator[int], count: int) -> list[int]:
    return [next(numbers) for _ in range(count)]


class Sink:
    """A client that reads as fast as it is written to; `full` once it has so many frames."""

    buffered = 0
    closed = False

    def __init__(self, expected: int) -> None:
        self.frames = 0
        self.full = asyncio.Event()
        self._expected = expected

    def send(self, data: bytes) -> None:
        raise AssertionError("events are framed")

    def send_framed(self, frame: bytes) -> None:
        self.frames += 1
        if self.frames == self._expected:
            self.full.set()

    async def drain(self) -> None:
        pass

    async def wait_closed(self) -> None:
        await asyncio.Event().wait()
