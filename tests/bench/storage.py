"""What the embedded store costs: `python -m tests.bench.storage [--quick] [--directory DIR]`.

Each figure stands beside a bare loop over a SQLite file with the same tables and settings, in the same run and on the
same disk: the most that any store on SQLite could do. `creates, N writers` are durable creations through asyncio, each
writer waiting for its answer; the bare loop commits N rows at once and waits for nobody.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.storage.interface import Revision, Store
from hyperkube_machinery.storage.schema import connect_reader, open_file
from hyperkube_machinery.storage.sqlite import SQLiteStore

VALUE = random.Random(1).randbytes(1500)


@dataclass(frozen=True, slots=True)
class Figure:
    """What was done a second, by the store and by the bare loop, and the part of the latter that is meant at least."""

    what: str
    store: float
    bare: float
    floor: float

    @property
    def ratio(self) -> float:
        return self.store / self.bare

    @property
    def kept(self) -> bool:
        return self.ratio >= self.floor

    def __str__(self) -> str:
        return (
            f"{self.what:<46} {self.store:>10,.0f}/s   bare {self.bare:>10,.0f}/s   {self.ratio:5.2f}   "
            f"{'ok' if self.kept else 'MISSED'} (at least {self.floor:g})"
        )


class Stopwatch:
    seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began


def make_keys(count: int, seed: int = 2) -> list[str]:
    chance = random.Random(seed)
    return [f"/registry/pods/ns-{chance.randrange(50)}/app-{chance.randrange(10**12):x}" for _ in range(count)]


# The bare loop


def bare_creates(folder: Path, count: int, batch: int) -> float:
    """Rows a second that are committed `batch` at a time, with the same guard and the same tables."""
    keys = make_keys(count)
    watch = Stopwatch()
    with closing(open_file(folder / f"bare-{batch}.db")) as connection, watch.running():
        for start in range(0, count, batch):
            connection.execute("BEGIN IMMEDIATE")
            for revision, key in enumerate(keys[start : start + batch], start + 2):
                connection.execute("SELECT position FROM live WHERE key = ?", (key,)).fetchall()
                connection.execute(
                    "INSERT INTO log VALUES (?, ?, 0, ?, 1, 0, ?)", (revision << 24, key, revision, VALUE)
                )
                connection.execute("INSERT INTO live VALUES (?, ?)", (key, revision << 24))
            connection.execute("COMMIT")
            if start // 2000 != (start + batch) // 2000:
                connection.execute("PRAGMA wal_checkpoint").fetchall()
    return count / watch.seconds


def bare_reads(path: Path, keys: list[str]) -> tuple[float, float]:
    """Single rows a second, and rows of one range a second."""
    one, many = Stopwatch(), Stopwatch()
    columns = "SELECT log.* FROM live CROSS JOIN log USING (position)"
    with closing(connect_reader(path)) as connection:
        with one.running():
            for key in keys:
                connection.execute(f"{columns} WHERE live.key = ?", (key,)).fetchall()
        with many.running():
            rows = connection.execute(
                f"{columns} WHERE live.key >= ? AND live.key < ? ORDER BY live.key LIMIT 10000",
                ("/registry/pods/", "/registry/pods0"),
            ).fetchall()
    return len(keys) / one.seconds, len(rows) / many.seconds


# The store


async def creates(store: Store, keys: list[str], writers: int) -> tuple[float, list[float]]:
    """Creations a second, and how long each took, sorted."""
    left = iter(keys)
    took: list[float] = []

    async def write() -> None:
        for key in left:
            began = time.perf_counter()
            await store.create(key, VALUE)
            took.append(time.perf_counter() - began)

    watch = Stopwatch()
    with watch.running():
        await asyncio.gather(*(write() for _ in range(writers)))
    return len(keys) / watch.seconds, sorted(took)


async def busy(stopped: asyncio.Event) -> None:
    """Keep the event loop as busy as requests would, in pieces of 50 µs."""
    while not stopped.is_set():
        until = time.perf_counter() + 5e-5
        while time.perf_counter() < until:
            pass
        await asyncio.sleep(0)


async def follow(store: Store, upto: int) -> None:
    async with aclosing(store.watch("/registry/", after=Revision(1))) as watch:
        async for batch in watch:
            if batch.revision >= upto:
                return


async def measure_creates(folder: Path, scale: int) -> list[Figure]:
    figures = []
    for writers, count, floor in ((1, 500, 0.2), (8, 4000, 0.3), (64, 12000, 0.4)):
        async with SQLiteStore.open(folder / f"{writers}.db", clock=SystemClock()) as store:
            rate, _ = await creates(store, make_keys(count // scale), writers)
        figures.append(
            Figure(f"creates, {writers} writers", rate, bare_creates(folder, count // scale, writers), floor)
        )
    return figures


async def measure_fairness(folder: Path, scale: int) -> None:
    """A busy loop frees Python's lock for moments only: writes must get through all the same."""
    async with SQLiteStore.open(folder / "busy.db", clock=SystemClock()) as store:
        stopped = asyncio.Event()
        load = [asyncio.create_task(busy(stopped)) for _ in range(4)]
        rate, took = await creates(store, make_keys(6000 // scale), 64)
        stopped.set()
        await asyncio.gather(*load)
    print(
        f"{'creates, 64 writers, loop busy otherwise':<46} {rate:>10,.0f}/s   "
        f"half within {took[len(took) // 2] * 1e3:.1f} ms, 99 % within {took[len(took) * 99 // 100] * 1e3:.1f} ms"
    )


async def measure_watches(folder: Path, scale: int) -> list[Figure]:
    """Creations while watched, beside creations that nobody watches."""
    count = 8000 // scale
    rates = []
    for watchers in (0, 1, 50):
        async with SQLiteStore.open(folder / f"watched-{watchers}.db", clock=SystemClock()) as store:
            following = [asyncio.create_task(follow(store, count + 1)) for _ in range(watchers)]
            await asyncio.sleep(0)
            rate, _ = await creates(store, make_keys(count), 64)
            await asyncio.gather(*following)
        rates.append(rate)
    return [
        Figure("creates, 64 writers, 1 watcher (bare: none)", rates[1], rates[0], 0.7),
        Figure("creates, 64 writers, 50 watchers (bare: none)", rates[2], rates[0], 0.1),
    ]


async def measure_reads(folder: Path, scale: int) -> list[Figure]:
    path = folder / "read.db"
    keys = make_keys(100_000 // scale)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with SQLiteStore.open(path, clock=SystemClock()) as store:
        await creates(store, keys, 256)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        newest = await store.revision()
        one, many, past = Stopwatch(), Stopwatch(), Stopwatch()
        wanted = random.Random(3).sample(keys, 2000)
        with one.running():
            for key in wanted:
                await store.get(key)
        with many.running():
            page = await store.range("/registry/pods/", limit=10_000)
        with past.running():
            await store.range("/registry/pods/", limit=10_000, revision=Revision(newest - 1000))
        idle = await longest_lag(asyncio.sleep(0.2))
        lag = await longest_lag(store.range("/registry/pods/", limit=10_000))
        replay = Stopwatch()
        with replay.running():
            await follow(store, newest)
        bare_one, bare_many = bare_reads(path, wanted)
    opening = Stopwatch()
    with opening.running():
        async with SQLiteStore.open(path, clock=SystemClock()):
            pass
    print(f"{len(keys):,} entries: memory grew by {grown / 1024:.0f} MB while they were written")
    print(f"{len(keys):,} entries: opened and closed in {opening.seconds * 1e3:.1f} ms")
    print(f"a range of 10,000 entries holds the loop for {lag * 1e3:.1f} ms at most, no work {idle * 1e3:.1f} ms")
    return [
        Figure("gets", len(wanted) / one.seconds, bare_one, 0.4),
        Figure("entries of a range of 10,000", len(page.entries) / many.seconds, bare_many, 0.3),
        Figure("the same, 1,000 revisions ago", len(page.entries) / past.seconds, bare_many, 0.1),
        Figure("changes replayed to a watch (bare: range)", len(keys) / replay.seconds, bare_many, 0.1),
    ]


async def longest_lag(work: Coroutine[None, None, object]) -> float:
    """The longest turn of the event loop while `work` is done, in seconds."""
    task = asyncio.ensure_future(work)
    longest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest


async def measure(folder: Path, scale: int) -> list[Figure]:
    figures = await measure_creates(folder, scale)
    await measure_fairness(folder, scale)
    figures += await measure_watches(folder, scale)
    figures += await measure_reads(folder, scale)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--directory", type=Path, help="where the files are made: the disk that is measured")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        figures = _runner()(measure(Path(folder), 10 if arguments.quick else 1))
    print(*figures, sep="\n")
    print(f"SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}")
    sys.exit(0 if all(figure.kept for figure in figures) else 1)


def _runner() -> Callable[[Coroutine[None, None, list[Figure]]], list[Figure]]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


if __name__ == "__main__":
    main()
