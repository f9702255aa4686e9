"""What an object and a watcher cost as there are more of them: `python -m tests.bench.curves [--server URL] [--quick]`.

A line a number of objects, then a line a number of watchers. A cost that stays flat may wave, as machines do; one that
is half as high again at the end as in the middle of the line grows with the number, and is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from statistics import median

from tests.bench.apiserver import fan_out
from tests.bench.load import Load, ask, connected
from tests.bench.targets import Target, add_arguments, foreign, ours, run, write_tokens
from tests.bench.workload import Place, creations

OBJECTS = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
WATCHERS = (125, 250, 500, 1_000, 2_000)
_QUICK = 3  # numbers of each
_MOST_GROWTH = 1.5
_CHANGES = 4
_READS = 2_000

Row = dict[str, float]  # a cost by its name and unit, at one number


@dataclass(frozen=True, slots=True)
class Curve:
    """Costs by number; `flat` are those that must not grow."""

    of: str
    rows: Sequence[tuple[int, Row]]
    flat: Sequence[str]

    def growth(self, cost: str) -> float:
        """The cost of one at the last number, by its median over all."""
        found = [row[cost] for _, row in self.rows if cost in row]
        return found[-1] / median(found) if found and median(found) > 0 else 1.0

    @property
    def kept(self) -> bool:
        return all(self.growth(cost) <= _MOST_GROWTH for cost in self.flat)

    def __str__(self) -> str:
        names = list(self.rows[-1][1])
        lines = [f"{self.of:<12}" + "".join(f"{name:>26}" for name in names)]
        for number, row in self.rows:
            lines.append(
                f"{number:<12,}" + "".join(f"{row[name]:>26,.4g}" if name in row else " " * 26 for name in names)
            )
        lines.append(f"{'growth':<12}" + "".join(f"{self.growth(name):>26.2f}" for name in names))
        return "\n".join(lines) + ("" if self.kept else f"\nMISSED: at most {_MOST_GROWTH} x")


async def objects(target: Target, place: Place, numbers: Sequence[int]) -> Curve:
    """Pods: to make one, to read one, to hold one, and to list one among all."""
    rows: list[tuple[int, Row]] = []
    pods, there = creations(place, "curve"), 0
    held = _memory(target)
    async with connected(target.port, target.context, 16, target.host) as clients:
        for number in numbers:
            made = Load(islice(pods, number - there), b"201")
            took = await made.run(clients, duration=600)
            row: Row = {"create µs": took / (number - there) * 1e6}
            read = Load(repeat(place.ask("GET", f"{place.pods}/curve-{number - 1:06}"), _READS), b"200")
            row["get µs"] = await read.run(clients, duration=600) / _READS * 1e6
            listed = []
            for _ in range(3):
                began = time.perf_counter()
                await ask(clients[0], place.ask("GET", place.pods))
                listed.append(time.perf_counter() - began)
            row["list one of all µs"] = min(listed) / number * 1e6
            if target.process is not None:
                row["held, KB"] = (_memory(target) - held) * 1e3 / number
            rows.append((number, row))
            there = number
    return Curve("pods", rows, ("create µs", "get µs", "list one of all µs"))


async def watchers(target: Target, place: Place, numbers: Sequence[int]) -> Curve:
    """Watchers of one resource: to tell one of a change, and to hold one."""
    rows: list[tuple[int, Row]] = []
    held = _memory(target)
    for number in numbers:
        before = target.processor_seconds
        seen, _, _ = await fan_out(target, place, number, _CHANGES)
        row: Row = {"told, last µs": seen.last * 1e3 / number, "told, median µs": seen.median * 1e3 / number}
        if target.process is not None:
            row["processor µs, with connecting"] = (target.processor_seconds - before) / number * 1e6
            row["kept afterwards, KB"] = max(_memory(target) - held, 0) * 1e3 / number
        rows.append((number, row))
    return Curve("watchers", rows, ("told, last µs", "told, median µs"))


def _memory(target: Target) -> float:
    return target.process.memory_megabytes if target.process is not None else 0.0


async def curves(target: Target, *, quick: bool) -> AsyncIterator[Curve]:
    """Both, one after the other."""
    place = Place(f"bench-{time.time_ns():x}", target.token)
    async with connected(target.port, target.context, 1, target.host) as (client,):
        for asked in place.preparations():
            await ask(client, asked)
    last = _QUICK if quick else None
    yield await watchers(target, place, WATCHERS[:last])
    yield await objects(target, place, OBJECTS[:last])


async def _main(arguments: argparse.Namespace) -> int:
    kept = True
    with ExitStack() as block:
        if arguments.server:
            target = foreign(arguments)
        else:
            folder = Path(block.enter_context(tempfile.TemporaryDirectory(prefix="hk-bench-", dir=arguments.directory)))
            target = block.enter_context(ours(folder / "data", write_tokens(folder / "tokens.csv")))
        async for curve in curves(target, quick=arguments.quick):
            print(f"{curve}\n", flush=True)
            kept = kept and curve.kept
    return int(not kept)


def main() -> int:
    """Print the curves; 1 if a cost grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smaller numbers only")
    add_arguments(parser)
    return run(_main, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
