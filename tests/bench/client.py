"""What following an API server costs its client: `python -m tests.bench.client`.

The server is a handler that knows what to say beforehand, in the same process or in one of its own over HTTPS, so that
the figures are the client's. Events stand beside `orjson.loads` of the same bytes: what reading can't cost less than.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from hyperkube_machinery import tls
from hyperkube_machinery.builtin import CONFIG_MAPS, PODS
from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.garbage import collecting_seldom
from hyperkube_machinery.informers import Informer
from hyperkube_machinery.kubeconfig import Access
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.loop import new_event_loop
from hyperkube_machinery.serving.messages import Answer, BodyWriter, Request, Response, StreamingResponse
from hyperkube_machinery.serving.stream import chunk
from tests.bench.figures import microseconds, report
from tests.bench.schema import pod_spec

PODS_CACHED = 10_000
CHANGES = 10_000
REQUESTS = 3_000
MEMORY = 90.0
"""Megabytes that the cached pods may take."""
SHARE = 8.0
"""What an event may take of its reader, and in-process of its writer: so many times `orjson.loads` of it."""

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured, and the most that it is meant to be (0: no limit)."""

    what: str
    value: float
    unit: str
    limit: float = 0.0

    @property
    def kept(self) -> bool:
        return not self.limit or self.value <= self.limit

    def __str__(self) -> str:
        verdict = "" if not self.limit else f"   {'ok' if self.kept else 'MISSED'} (at most {self.limit:g})"
        return f"{self.what:<58} {self.value:10.1f} {self.unit}{verdict}"


def stored_pod(number: int, version: int) -> Tree:
    """A pod as it runs: of one of 200 replica sets, on one of 500 nodes."""
    owner = number % 200
    moment = "2026-01-02T03:04:05Z"
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": f"web-{owner:03}-{number:05}",
            "namespace": f"team-{number % 20}",
            "uid": f"6b1c2d3e-0000-4000-8000-{number:012}",
            "resourceVersion": str(version),
            "creationTimestamp": moment,
            "labels": {"app": f"web-{owner}", "pod-template-hash": f"5d59d67{owner:03}"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": f"web-{owner}",
                    "uid": f"7c1c2d3e-0000-4000-8000-{owner:012}",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
            "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": {"f:status": {"f:phase": {}}}}]
            * 3,
        },
        "spec": {**pod_spec(), "nodeName": f"node-{number % 500}", "schedulerName": "default-scheduler"},
        "status": {
            "phase": "Running",
            "hostIP": "127.0.0.1",
            "podIP": f"10.244.{number // 250}.{number % 250}",
            "startTime": moment,
            "qosClass": "Burstable",
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": moment, "observedGeneration": version}
                for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
            ],
            "containerStatuses": [
                {"name": name, "ready": True, "restartCount": 0, "state": {"running": {"startedAt": moment}}}
                for name in ("app", "sidecar")
            ],
        },
    }


def lines(kind: str, first: int, count: int) -> list[bytes]:
    """Events, each in its line; after the pods that there are they come round again."""
    return [
        orjson.dumps({"type": kind, "object": stored_pod(number % PODS_CACHED, number + 1)}) + b"\n"
        for number in range(first, first + count)
    ]


class Told:
    """A handler that streams all pods, then so many changes, as fast as they are read."""

    def __init__(self) -> None:
        self.initial = [chunk(line) for line in lines("ADDED", 0, PODS_CACHED)]
        about = {"resourceVersion": str(PODS_CACHED), "annotations": {"k8s.io/initial-events-end": "true"}}
        self.initial.append(chunk(orjson.dumps({"type": "BOOKMARK", "object": {"metadata": about}}) + b"\n"))
        # Two versions of each, by turns: who has one already would not be told.
        self.changes = [
            chunk(line) for turn in (1, 2) for line in lines("MODIFIED", turn * PODS_CACHED, PODS_CACHED // 2)
        ]
        self.one = orjson.dumps(stored_pod(1, 1))

    def __call__(self, request: Request) -> Answer:
        if "watch=true" in request.query:
            return StreamingResponse(self._stream)
        return Response(200, self.one)

    async def _stream(self, writer: BodyWriter) -> None:
        for frame in self.initial:
            writer.send_framed(frame)
            await writer.drain()
        for number in range(CHANGES):
            writer.send_framed(self.changes[number % len(self.changes)])
            if not number % 8:
                await writer.drain()
        await writer.wait_closed()


def resident() -> float:
    """Megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def serve() -> None:
    """The other process: says where it is, and serves until its standard input ends."""
    now = time.time()
    ca = tls.create_ca("bench", now=now)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tls.save(
            tls.issue_serving_certificate(ca, "bench", ["127.0.0.1"], now=now), folder / "tls.crt", folder / "tls.key"
        )
        context = tls.server_context(folder / "tls.crt", folder / "tls.key")
        async with HTTPServer(Told(), ssl_context=context).listening() as server:
            print(orjson.dumps({"port": server.port, "ca": ca.certificate_pem.decode()}).decode(), flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@asynccontextmanager
async def outside() -> AsyncIterator[Client]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.client",
        "serve",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    told = orjson.loads(await process.stdout.readline())
    access = Access(server=f"https://127.0.0.1:{told['port']}", ca_pem=told["ca"].encode())
    try:
        async with connect(access, clock=SystemClock(), user_agent="bench") as client:
            yield client
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def inside() -> AsyncIterator[Client]:
    local = LocalServer("https://local", Told(), lambda certificate, key: b"")
    async with connect(Access(server="https://local"), clock=SystemClock(), user_agent="bench", local=local) as client:
        yield client
    await local.close()


async def following(client: Client, where: str, parse: float) -> list[Figure]:
    """`parse` is what `orjson.loads` of an event takes, in microseconds."""
    informer = Informer(client, SystemClock(), PODS, indexes={"node": lambda pod: [pod["spec"]["nodeName"]]})
    seen = 0
    done = asyncio.Event()

    def count(old: Tree | None, new: Tree | None) -> None:
        nonlocal seen
        seen += 1
        if seen == PODS_CACHED + CHANGES:
            done.set()

    informer.on_change(count)
    gc.collect()
    before, began, used = resident(), time.perf_counter(), time.process_time()
    async with informer.running():
        await informer.wait_synced()
        synced, first = time.perf_counter() - began, seen
        kept = resident() - before
        began, used = time.perf_counter(), time.process_time()
        await done.wait()
        took, worked = time.perf_counter() - began, time.process_time() - used
        changes = seen - first
    return [
        Figure(f"{PODS_CACHED} pods in the cache, {where}", synced * 1e3, "ms"),
        Figure(f"memory of {PODS_CACHED} pods in the cache, {where}", kept, "MB", MEMORY),
        Figure(f"events a second, {where}", changes / took, "/s"),
        Figure(f"processor time of an event, {where}", worked / changes * 1e6, "µs", SHARE * parse),
    ]


async def asking(client: Client, where: str) -> Figure:
    for _ in range(100):
        await client.get(CONFIG_MAPS, "a", "b")
    began = time.perf_counter()
    for _ in range(REQUESTS):
        await client.get(CONFIG_MAPS, "a", "b")
    return Figure(f"one GET after the other, {where}", (time.perf_counter() - began) / REQUESTS * 1e6, "µs")


def parsing() -> Figure:
    some = lines("MODIFIED", 0, 2_000)
    took = microseconds(lambda: orjson.loads(some[0]), calls=500, repeats=9)
    return Figure(f"orjson.loads of an event of {len(some[0])} bytes", took, "µs")


async def measured() -> AsyncIterator[Figure]:
    parse = parsing()
    yield parse
    async with outside() as client:
        https = await asking(client, "over HTTPS")
        yield https
        for figure in await following(client, "over HTTPS", parse.value):
            yield figure
    async with inside() as client:
        asked = await asking(client, "in-process")
        yield replace(asked, limit=https.value / 2)
        for figure in await following(client, "in-process", parse.value):
            yield figure


async def told() -> int:
    with collecting_seldom() as started:
        started()
        return report([figure async for figure in measured()])


def main() -> int:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        if sys.argv[1:] == ["serve"]:
            runner.run(serve())
            return 0
        return runner.run(told())


if __name__ == "__main__":
    sys.exit(main())
