"""What an API server does a second, and what it takes: `python -m tests.bench.apiserver [--server URL] [--quick]`.

Our own is started as a process and asked over TLS by this one; with `--server` any other that runs is asked the same.
Each figure stands beside a bare responder (`bare`) that answers the same bytes in the same run, creations beside a bare
loop over a SQLite file with the same settings which commits as many rows at once as there are clients, and beside what
the real API server would do here (`peer`). Only ratios of one run count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice, repeat
from pathlib import Path
from statistics import median

from hyperkube_machinery import tls
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.serving.stream import chunk
from hyperkube_machinery.storage.backends import FILE_NAME
from hyperkube_machinery.storage.sqlite import SQLiteStore
from tests.bench.load import Answer, Delays, Load, ask, connected, request, told
from tests.bench.peer import Peer
from tests.bench.processes import Process, bare, printed
from tests.bench.storage import bare_creates
from tests.bench.targets import Target, add_arguments, foreign, ours, run, write_tokens
from tests.bench.workload import Place, creations

STORED = 11_000
MANY = 100_000
WATCHERS = 1_000
PAGE = 500
_PROBE_SECONDS = 0.01
_SATURATED = 0.9  # of a core: a client that takes more may be what is measured

_READY_BASELINE = "import asyncio, ssl, sqlite3, typer, pluggy, cryptography.x509; print('ready', flush=True)"
_HEAD = f"{'':<42} {'here':>9}      {'bare':>9} {'ratio':>6} {'real':>9} {'times':>6}   goal"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, beside those that it is compared with; `rate` says whether more is better."""

    what: str
    value: float
    unit: str
    bare: float | None = None
    real: float | None = None  # what the real API server would do here
    least: float | None = None  # how many times as good as the real one it is meant to be
    limit: float | None = None  # for a value that is meant to be no larger
    rate: bool = False
    notes: dict[str, float] = field(default_factory=dict)  # with their units in the names

    @property
    def ratio(self) -> float | None:
        return self.value / self.bare if self.bare else None

    @property
    def times(self) -> float | None:
        """How many times as good as the real one."""
        if not self.real:
            return None
        return self.value / self.real if self.rate else self.real / self.value

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        better = self.least is None or self.times is None or self.times >= self.least
        return better and (self.limit is None or self.value <= self.limit)

    def __str__(self) -> str:
        goals = [f"≥ {self.least:g} x"] if self.least is not None else []
        goals += [f"≤ {self.limit:g}"] if self.limit is not None else []
        notes = "   ".join(f"{name} {value:,.4g}" for name, value in self.notes.items())
        compared = f"{_number(self.bare, 9)} {_number(self.ratio, 6)} {_number(self.real, 9)} {_number(self.times, 6)}"
        missed = "" if self.met else "MISSED "
        return (
            f"{self.what:<42} {_number(self.value, 9)} {self.unit:<4} {compared}   {' '.join(goals):<8} {missed}{notes}"
        )


def _number(value: float | None, width: int) -> str:
    if value is None:
        return " " * width
    return f"{value:>{width},.3g}" if abs(value) < 1000 else f"{value:>{width},.0f}"


@dataclass(frozen=True, slots=True)
class Times:
    """How long each measurement takes, in seconds, how often what is short is repeated, and what takes long."""

    load: float
    rounds: int
    changes: int
    many: bool  # whether to start with 100,000 objects


FULL = Times(load=2.0, rounds=3, changes=6, many=True)
QUICK = Times(load=0.5, rounds=1, changes=2, many=False)


class Bench:
    """Measures in `folder`, which is its own."""

    def __init__(self, folder: Path, times: Times) -> None:
        self._folder = folder
        self._times = times
        self._tokens = write_tokens(folder / "tokens.csv")
        now = time.time()
        ca = tls.create_ca("bench", now=now)
        tls.save(ca, folder / "ca.crt", folder / "ca.key")
        tls.save(tls.issue_serving_certificate(ca, "bench", ["127.0.0.1"], now=now), folder / "s.crt", folder / "s.key")
        self._bare_context = tls.client_context(ca_pem=(folder / "ca.crt").read_bytes())

    async def figures(self) -> AsyncIterator[Figure]:
        """Those of our own server, in the order they are taken."""
        yield self._starting()
        data = self._folder / "data"
        with ours(data, self._tokens) as target:
            assert target.process is not None
            yield Figure("memory, idle", target.process.memory_megabytes, "MB", limit=60)
            async for figure in self.answers(target):
                yield figure
            yield Figure("memory after all of that", target.process.memory_megabytes, "MB")
        with ours(data, self._tokens) as target:
            assert target.process is not None
            yield Figure(f"start with {STORED:,} pods", target.process.seconds, "s")
        with ours(self._folder / "memory", self._tokens, "memory") as target:
            place = await self._prepared(target)
            rate, notes = await self._load(target, creations(place, "m"), b"201", 64)
            yield Figure("create a pod in memory, 64 connections", rate, "/s", rate=True, notes=notes)
        if self._times.many:
            yield await self._starting_with_many()

    async def answers(self, target: Target) -> AsyncIterator[Figure]:
        """What `target` answers, whatever server it is."""
        place = await self._prepared(target)
        peer = Peer(await self._bare_rate(target, place))
        yield Figure("bare responder, by that where the real one ran", peer.scale, "x")
        for connections in (8, 64):
            rate, notes = await self._load(target, creations(place, f"c{connections}"), b"201", connections)
            yield Figure(
                *(f"create a pod, {connections} connections", rate, "/s"),
                bare_creates(self._folder, 2_000, connections),
                peer.creates(connections),
                3,
                rate=True,
                notes=notes,
            )
        await self._fill(target, place)
        if target.process is not None:
            yield Figure(f"memory with {STORED:,} pods", target.process.memory_megabytes, "MB", limit=150)
        one = place.ask("GET", f"{place.pods}/fill-{0:06}")
        for connections in (16, 128):
            what = f"GET a pod, {connections} connections"
            yield await self._reading(what, target, one, connections, peer.gets(connections), 5)
        page = place.ask("GET", f"{place.pods}?limit={PAGE}")
        yield await self._reading(f"LIST {PAGE} pods, 4 connections", target, page, 4, peer.lists(4), 8)
        yield await self._whole_list(target, place, peer)
        yield await self._fan_out(target, place, peer)

    def _starting(self) -> Figure:
        took, baseline = [], []
        for number in range(self._times.rounds):
            with printed(_READY_BASELINE) as script:
                baseline.append(script.seconds)
            with ours(self._folder / f"start-{number}", self._tokens) as target:
                assert target.process is not None
                took.append(target.process.seconds)
        return Figure("exec to ready, empty data directory", median(took), "s", median(baseline), limit=0.6)

    async def _prepared(self, target: Target) -> Place:
        place = Place(f"bench-{time.time_ns():x}", target.token)
        async with connected(target.port, target.context, 1, target.host) as (client,):
            for asked in place.preparations():
                answer = await ask(client, asked)
                if answer.status not in (201, 409):
                    raise RuntimeError(f"unexpected answer: {answer}")
        return place

    async def _bare_rate(self, target: Target, place: Place) -> float:
        """Answers a second of the bare responder, at 16 connections, with a pod."""
        async with connected(target.port, target.context, 1, target.host) as (client,):
            await ask(client, next(creations(place, "bare")))
            asked = place.ask("GET", f"{place.pods}/bare-{0:06}")
            self._keep(await ask(client, asked))
        with bare(self._folder) as responder:
            rate, _ = await self._load(self._responder(responder), repeat(asked), b"200", 16)
        return rate

    def _keep(self, answer: Answer) -> None:
        """For the bare responder."""
        (self._folder / "answer").write_bytes(answer.head + b"\r\n\r\n" + answer.body)

    def _responder(self, process: Process) -> Target:
        return Target("127.0.0.1", process.port, self._bare_context, "", process)

    async def _fill(self, target: Target, place: Place) -> None:
        """Make the pods as many as they are meant to be."""
        async with connected(target.port, target.context, 32, target.host) as clients:
            listing = json.loads((await ask(clients[0], place.ask("GET", f"{place.pods}?limit=1"))).body)
            there = len(listing["items"]) + listing["metadata"].get("remainingItemCount", 0)
            load = Load(islice(creations(place, "fill"), max(STORED - there, 1)), b"201")
            await load.run(clients, duration=120)

    async def _reading(
        self, what: str, target: Target, asked: bytes, connections: int, real: float, least: float
    ) -> Figure:
        async with connected(target.port, target.context, 1, target.host) as (client,):
            self._keep(await ask(client, asked))
        with bare(self._folder) as responder:
            bare_rate, _ = await self._load(self._responder(responder), repeat(asked), b"200", connections)
        rate, notes = await self._load(target, repeat(asked), b"200", connections)
        return Figure(what, rate, "/s", bare_rate, real, least, rate=True, notes=notes)

    async def _load(
        self, target: Target, asked: Iterator[bytes], expected: bytes, connections: int
    ) -> tuple[float, dict[str, float]]:
        """Answers a second, and what else was seen meanwhile."""
        load = Load(asked, expected)
        async with connected(target.port, target.context, connections, target.host) as clients:
            before, mine = target.processor_seconds, time.process_time()
            async with probed(target) as lags:
                took = await load.run(clients, duration=self._times.load)
            processor, mine = target.processor_seconds - before, (time.process_time() - mine) / took
        answers = len(load.seconds)
        notes = {"p99 ms": load.p99 * 1e3, "worst lag ms": max(lags, default=0.0) * 1e3}
        if processor:
            notes["processor µs"] = processor / answers * 1e6
        if mine > _SATURATED:
            notes["CLIENT SATURATED, cores"] = mine
        return answers / took, notes

    async def _whole_list(self, target: Target, place: Place, peer: Peer) -> Figure:
        asked = place.ask("GET", place.pods)
        took, baseline = [], []
        async with connected(target.port, target.context, 1, target.host) as (client,):
            for _ in range(self._times.rounds + 1):
                began = time.perf_counter()
                answer = await ask(client, asked)
                took.append(time.perf_counter() - began)
        self._keep(answer)
        with bare(self._folder) as responder:
            async with connected(responder.port, self._bare_context, 1) as (client,):
                for _ in range(self._times.rounds + 1):
                    began = time.perf_counter()
                    await ask(client, asked)
                    baseline.append(time.perf_counter() - began)
        return Figure(
            *(f"LIST {STORED:,} pods once", min(took), "s", min(baseline), peer.whole_list, 8),
            notes={"MB": len(answer.body) / 1e6},
        )

    async def _fan_out(self, target: Target, place: Place, peer: Peer) -> Figure:
        """From a change until the watchers were told of it."""
        seen, event, lags = await fan_out(target, place, WATCHERS, self._times.changes)
        (self._folder / "event").write_bytes(chunk(event))
        plain, watch = place.ask("GET", "/change"), place.ask("GET", "/watch")
        with bare(self._folder) as responder:
            async with (
                connected(responder.port, self._bare_context, WATCHERS) as clients,
                connected(responder.port, self._bare_context, 1) as (writer,),
            ):
                baseline, _ = await told(clients, watch, writer, repeat(plain, self._times.changes))
        return Figure(
            *(f"a change reaches {WATCHERS:,} watchers, p99", seen.p99, "ms", baseline.p99, peer.fan_out),
            limit=100,
            notes={"first ms": seen.first, "median ms": seen.median, "last ms": seen.last, "worst lag ms": lags},
        )

    async def _starting_with_many(self) -> Figure:
        """From exec to ready over a store that holds very many objects."""
        data = self._folder / "many"
        with ours(data, self._tokens) as target:
            place = await self._prepared(target)
            async with connected(target.port, target.context, 1, target.host) as (client,):
                path = f"{place.path}/configmaps"
                await ask(client, place.ask("POST", path, {"metadata": {"name": "one"}, "data": {"key": "x" * 500}}))
        await multiply(data, f"/registry/configmaps/{place.namespace}/", MANY)
        with ours(data, self._tokens) as target:
            assert target.process is not None
            notes = {"MB": target.process.memory_megabytes}
            return Figure(f"start with {MANY:,} config maps", target.process.seconds, "s", limit=5, notes=notes)


async def multiply(data: Path, prefix: str, count: int) -> None:
    """Store `count` objects like the one under `prefix`, past the API, which is not what is measured."""
    async with SQLiteStore.open(data / FILE_NAME, clock=SystemClock()) as store:
        (entry,) = (await store.range(prefix)).entries
        for start in range(0, count, 1000):
            names = [f"one-{number:06}" for number in range(start, min(start + 1000, count))]
            await asyncio.gather(
                *(
                    store.create(f"{prefix}{name}", entry.value.replace(b'"one"', f'"{name}"'.encode()))
                    for name in names
                )
            )


async def fan_out(target: Target, place: Place, watchers: int, changes: int) -> tuple[Delays, bytes, float]:
    """When watchers heard of changes, the bytes of one event, and the worst lag meanwhile in milliseconds."""
    where = f"{place.path}/configmaps"
    watch = place.ask("GET", f"{where}?watch=1&resourceVersion=0")
    tag = f"{time.time_ns():x}"

    def change(number: int) -> bytes:
        return place.ask("POST", where, {"metadata": {"name": f"change-{tag}-{number}"}, "data": {"key": "x" * 1200}})

    async with (
        connected(target.port, target.context, watchers, target.host) as clients,
        connected(target.port, target.context, 1, target.host) as (writer,),
        probed(target) as lags,
    ):
        seen, event = await told(clients, watch, writer, map(change, range(changes)))
    return seen, event, max(lags) * 1e3


@asynccontextmanager
async def probed(target: Target) -> AsyncIterator[list[float]]:
    """Ask for something trivial now and then, on a connection of its own: the seconds that each answer took.

    The longest is what a callback that holds the server's loop costs its other clients; lag of this process is in it.
    """
    waited: list[float] = []

    async def probe() -> None:
        async with connected(target.port, target.context, 1, target.host) as (client,):
            while True:
                began = time.perf_counter()
                await ask(client, request("GET", "/version", token=target.token))
                waited.append(time.perf_counter() - began)
                await asyncio.sleep(_PROBE_SECONDS)

    task = asyncio.create_task(probe())
    try:
        yield waited
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _main(arguments: argparse.Namespace) -> int:
    figures = []
    if not arguments.json:
        print(_HEAD)
    with tempfile.TemporaryDirectory(prefix="hk-bench-", dir=arguments.directory) as folder:
        bench = Bench(Path(folder), QUICK if arguments.quick else FULL)
        async for figure in bench.answers(foreign(arguments)) if arguments.server else bench.figures():
            figures.append(figure)
            if not arguments.json:
                print(figure, flush=True)
    if arguments.json:
        told = [{**asdict(one), "ratio": one.ratio, "times": one.times, "met": one.met} for one in figures]
        print(json.dumps(told, indent=2))
    return int(not all(figure.met for figure in figures))


def main() -> int:
    """Print the figures; 1 if one misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="shorter, and less exact")
    add_arguments(parser)
    return run(_main, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
