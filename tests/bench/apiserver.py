"""What the API server does a second, and what it takes: `python -m tests.bench.apiserver [--json] [--quick]`.

The real server is started as a process, and asked over TLS by this one. Each figure stands beside a bare responder
(`bare`) that answers the same bytes in the same run; creations beside a bare loop over a SQLite file with the same
settings, which commits as many rows at once as there are clients. Only ratios of one run count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from itertools import count, islice, repeat
from pathlib import Path
from statistics import median

from hyperkube_machinery import tls
from hyperkube_machinery.serving.loop import new_event_loop
from hyperkube_machinery.serving.stream import chunk
from tests.bench.load import Load, ask, connected, request, told
from tests.bench.processes import Process, apiserver, bare, printed
from tests.bench.storage import bare_creates

TOKEN = "0123456789abcdef"
PODS = "/api/v1/namespaces/default/pods"
STORED = 11_000
WATCHERS = 1_000
PAGE = 500
_PROBE_SECONDS = 0.01

_READY_BASELINE = "import asyncio, ssl, sqlite3, typer, pluggy, cryptography.x509; print('ready', flush=True)"


def pod(name: str) -> bytes:
    """A pod as deployments make them: about 1.5 KB once it is stored."""
    tree = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": "web", "pod-template-hash": "5d59d67564", "tier": "front"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9102"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "web-5d59d67564",
                    "uid": "2f2e0c59-9a4b-4b6c-a1f8-3a0c6a3c9a11",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "containers": [
                {
                    "name": "web",
                    "image": "registry.example.com/team/web:1.27.3",
                    "env": [{"name": "MODE", "value": "production"}, {"name": "LEVEL", "value": "info"}],
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "resources": {
                        "requests": {"cpu": "100m", "memory": "128Mi"},
                        "limits": {"cpu": "500m", "memory": "256Mi"},
                    },
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5},
                    "volumeMounts": [{"name": "config", "mountPath": "/etc/web", "readOnly": True}],
                }
            ],
            "volumes": [{"name": "config", "configMap": {"name": "web"}}],
        },
    }
    return json.dumps(tree).encode()


def _creations(prefix: str) -> Iterator[bytes]:
    """Creations of pods with names of one length, so that one request is the pattern of all."""
    pattern = request("POST", PODS, pod(f"{prefix}-000000"), token=TOKEN)
    return (pattern.replace(b"-000000", b"-%06d" % number) for number in count())


# What is measured


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, beside that of what it is compared with; `rate` says whether more is better."""

    what: str
    value: float
    unit: str
    bare: float | None = None
    goal: float | None = None
    rate: bool = False
    notes: dict[str, float] = field(default_factory=dict)  # with their units in the names

    @property
    def ratio(self) -> float | None:
        return self.value / self.bare if self.bare else None

    @property
    def met(self) -> bool:
        """Whether the goal for a quiet machine of two cores is met."""
        return self.goal is None or (self.value >= self.goal if self.rate else self.value <= self.goal)

    def __str__(self) -> str:
        bare = f"{self.bare:>9,.5g}" if self.bare else " " * 9
        ratio = f"{self.ratio:>7.2f}" if self.ratio else " " * 7
        goal = f"{'≥' if self.rate else '≤'} {self.goal:,g}" if self.goal is not None else ""
        notes = "   ".join(f"{name} {value:,.4g}" for name, value in self.notes.items())
        return f"{self.what:<44} {self.value:>9,.5g} {self.unit:<4} {bare} {ratio}   {goal:<8} {notes}"


@dataclass(frozen=True, slots=True)
class Times:
    """How long each measurement takes, in seconds, and how often what is short is repeated."""

    load: float
    rounds: int
    changes: int


FULL = Times(load=2.0, rounds=3, changes=6)
QUICK = Times(load=0.5, rounds=1, changes=2)


class Bench:
    """Measures in `folder`, which is its own."""

    def __init__(self, folder: Path, times: Times) -> None:
        self._folder = folder
        self._times = times
        self._tokens = folder / "tokens.csv"
        self._tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n')
        now = time.time()
        ca = tls.create_ca("bench", now=now)
        tls.save(ca, folder / "ca.crt", folder / "ca.key")
        tls.save(tls.issue_serving_certificate(ca, "bench", ["127.0.0.1"], now=now), folder / "s.crt", folder / "s.key")
        self._bare_context = tls.client_context(ca_pem=(folder / "ca.crt").read_bytes())

    async def figures(self) -> AsyncIterator[Figure]:
        """All of them, in the order they are taken."""
        yield self._starting()
        data = self._folder / "data"
        with apiserver(data, self._tokens) as server:
            context = _context(data)
            yield Figure("memory, idle", server.memory_megabytes, "MB", goal=55)
            for connections, goal in ((8, 2500), (64, 3000)):
                yield await self._creating(server, context, connections, goal)
            await self._fill(server, context)
            yield Figure("memory with 11,000 pods", server.memory_megabytes, "MB", goal=150)
            name = f"fill-{0:06}"
            one = request("GET", f"{PODS}/{name}", token=TOKEN)
            for connections, goal in ((16, 8000), (128, 8000)):
                yield await self._reading("GET a pod", server, context, one, connections, goal)
            page = request("GET", f"{PODS}?limit={PAGE}", token=TOKEN)
            yield await self._reading(f"LIST {PAGE} pods", server, context, page, 4, None)
            yield await self._whole_list(server, context)
            yield await self._fan_out(server, context)
        with apiserver(data, self._tokens) as server:
            yield Figure("start with 11,000 pods", server.seconds, "s")
        yield await self._creating_in_memory()

    def _starting(self) -> Figure:
        took, baseline = [], []
        for number in range(self._times.rounds):
            with printed(_READY_BASELINE) as script:
                baseline.append(script.seconds)
            with apiserver(self._folder / f"start-{number}", self._tokens) as server:
                took.append(server.seconds)
        return Figure("exec to ready, empty data directory", median(took), "s", median(baseline), goal=0.5)

    async def _creating(self, server: Process, context: ssl.SSLContext, connections: int, goal: float) -> Figure:
        bare_rate = bare_creates(self._folder, 2_000, connections)
        rate, notes = await self._load(server, context, _creations(f"c{connections}"), b"201", connections)
        return Figure(f"create a pod, {connections} connections", rate, "/s", bare_rate, goal, rate=True, notes=notes)

    async def _creating_in_memory(self) -> Figure:
        """What the disk and SQLite take is missing here."""
        with apiserver(self._folder / "memory", self._tokens, "memory") as server:
            context = _context(self._folder / "memory")
            rate, notes = await self._load(server, context, _creations("m"), b"201", 64)
        return Figure("create a pod in memory, 64 connections", rate, "/s", rate=True, notes=notes)

    async def _fill(self, server: Process, context: ssl.SSLContext) -> None:
        """Make the pods as many as they are meant to be."""
        async with connected(server.port, context, 32) as clients:
            listing = json.loads((await ask(clients[0], request("GET", f"{PODS}?limit=1", token=TOKEN))).body)
            there = len(listing["items"]) + listing["metadata"].get("remainingItemCount", 0)
            load = Load(islice(_creations("fill"), max(STORED - there, 1)), b"201")
            await load.run(clients, duration=30)

    async def _reading(
        self, what: str, server: Process, context: ssl.SSLContext, asked: bytes, connections: int, goal: float | None
    ) -> Figure:
        async with connected(server.port, context, 1) as clients:
            answer = await ask(clients[0], asked)
        (self._folder / "answer").write_bytes(answer.head + b"\r\n\r\n" + answer.body)
        with bare(self._folder) as responder:
            bare_rate, _ = await self._load(responder, self._bare_context, repeat(asked), b"200", connections)
        rate, notes = await self._load(server, context, repeat(asked), b"200", connections)
        return Figure(f"{what}, {connections} connections", rate, "/s", bare_rate, goal, rate=True, notes=notes)

    async def _load(
        self, server: Process, context: ssl.SSLContext, asked: Iterator[bytes], expected: bytes, connections: int
    ) -> tuple[float, dict[str, float]]:
        """Answers a second, and what else was seen meanwhile."""
        load = Load(asked, expected)
        async with connected(server.port, context, connections) as clients:
            before = server.processor_seconds
            async with probed(server, context) as lags:
                took = await load.run(clients, duration=self._times.load)
            processor = server.processor_seconds - before
        answers = len(load.seconds)
        return answers / took, {
            "p99 ms": load.p99 * 1e3,
            "processor µs": processor / answers * 1e6,
            "worst lag ms": max(lags, default=0.0) * 1e3,
        }

    async def _whole_list(self, server: Process, context: ssl.SSLContext) -> Figure:
        asked = request("GET", PODS, token=TOKEN)
        took, baseline = [], []
        async with connected(server.port, context, 1) as (client,):
            for _ in range(self._times.rounds + 1):
                began = time.perf_counter()
                answer = await ask(client, asked)
                took.append(time.perf_counter() - began)
        (self._folder / "answer").write_bytes(answer.head + b"\r\n\r\n" + answer.body)
        with bare(self._folder) as responder:
            async with connected(responder.port, self._bare_context, 1) as (client,):
                for _ in range(self._times.rounds + 1):
                    began = time.perf_counter()
                    await ask(client, asked)
                    baseline.append(time.perf_counter() - began)
        return Figure(
            "LIST 11,000 pods once", min(took), "s", min(baseline), 0.15, notes={"MB": len(answer.body) / 1e6}
        )

    async def _fan_out(self, server: Process, context: ssl.SSLContext) -> Figure:
        """From a change until the watchers were told of it."""
        where = "/api/v1/namespaces/default/configmaps"
        watch = request("GET", f"{where}?watch=1&resourceVersion=0", token=TOKEN)
        body = {"metadata": {"name": "change"}, "data": {"key": "x" * 1200}}

        def change(number: int) -> bytes:
            name = f"change-{number}"
            return request("POST", where, json.dumps({**body, "metadata": {"name": name}}).encode(), token=TOKEN)

        async with (
            connected(server.port, context, WATCHERS) as clients,
            connected(server.port, context, 1) as (writer,),
            probed(server, context) as lags,
        ):
            seen, event = await told(clients, watch, writer, map(change, range(self._times.changes)))
        (self._folder / "event").write_bytes(chunk(event))
        plain = request("GET", "/change", token=TOKEN)
        watch = request("GET", "/watch", token=TOKEN)
        with bare(self._folder) as responder:
            async with (
                connected(responder.port, self._bare_context, WATCHERS) as clients,
                connected(responder.port, self._bare_context, 1) as (writer,),
            ):
                baseline, _ = await told(clients, watch, writer, repeat(plain, self._times.changes))
        notes = {
            "first ms": seen.first,
            "median ms": seen.median,
            "last ms": seen.last,
            "worst lag ms": max(lags) * 1e3,
        }
        return Figure("a change reaches 1,000 watchers, p99", seen.p99, "ms", baseline.p99, 60, notes=notes)


@asynccontextmanager
async def probed(server: Process, context: ssl.SSLContext) -> AsyncIterator[list[float]]:
    """Ask for something trivial now and then, on a connection of its own: the seconds that each answer took.

    The longest is what a callback that holds the server's loop costs its other clients; lag of this process is in it.
    """
    waited: list[float] = []

    async def probe() -> None:
        async with connected(server.port, context, 1) as (client,):
            while True:
                began = time.perf_counter()
                await ask(client, request("GET", "/version", token=TOKEN))
                waited.append(time.perf_counter() - began)
                await asyncio.sleep(_PROBE_SECONDS)

    task = asyncio.create_task(probe())
    try:
        yield waited
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _context(data: Path) -> ssl.SSLContext:
    return tls.client_context(ca_pem=(data / "pki" / "ca.crt").read_bytes())


async def _main(arguments: argparse.Namespace) -> int:
    figures = []
    if not arguments.json:
        print(f"{'':<44} {'hk':>9}      {'bare':>9} {'ratio':>7}   goal")
    with tempfile.TemporaryDirectory(prefix="hk-bench-", dir=arguments.directory) as folder:
        async for figure in Bench(Path(folder), QUICK if arguments.quick else FULL).figures():
            figures.append(figure)
            if not arguments.json:
                print(figure, flush=True)
    if arguments.json:
        print(
            json.dumps([{**asdict(figure), "ratio": figure.ratio, "met": figure.met} for figure in figures], indent=2)
        )
    return int(not all(figure.met for figure in figures))


def main() -> int:
    """Print the figures; 1 if one misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="shorter, and less exact")
    parser.add_argument("--directory", type=Path, help="where the data directories are made: on the disk that counts")
    arguments = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # of this process, and of those that it starts
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(_main(arguments))


if __name__ == "__main__":
    sys.exit(main())
