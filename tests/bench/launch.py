"""How fast hk starts, as ratios to scripts that do what any launcher of this kind has to.

    python tests/bench/launch.py [--runs N] [--json]

Everything is measured in one run, interleaved, so that a busy machine is busy for all. hk keeps no cache of its own;
Python's of compiled modules is warm, except in the rows that say cold.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from hyperkube_core.testing import Site

PLUGIN = """
from hyperkube_core import Coroutine, Server, hookimpl

@hookimpl
def hyperkube_servers():
    return [Server(name={name!r}, summary="Server {name}.", long="Server {name}, which does nothing but be there.",
                   run=Coroutine("{module}_server:serve"), options="{module}_server:Options")]
"""

SERVER = """
from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hyperkube_core import Context, flag


@dataclass(frozen=True, slots=True)
class Options:
    secure_port: int = flag(6443, help="The port.", minimum=0, maximum=65535)
    request_timeout: float = flag(60.0, kind="duration", help="When a request is given up.")
    bind_address: str = flag("127.0.0.1", help="The address.")


async def serve(context: Context[Any]) -> None:
    context.ready.set()
    print("ready", flush=True)
    await asyncio.Event().wait()
"""

READY_BASELINE = """
import asyncio
import typer, pluggy
from importlib.metadata import entry_points
found = list(entry_points(group="hyperkube.servers"))

async def main():
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

HELP_BASELINE = """
import typer, pluggy, rich.console
from importlib.metadata import entry_points
found = list(entry_points(group="hyperkube.servers"))
for number in range(20):
    print("line", number)
"""


@dataclass(slots=True)
class Subject:
    """Something whose time is taken."""

    name: str
    take: Callable[[], float]
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.seconds)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A ratio, and what it may be at most; 0 for no such bound."""

    name: str
    subject: Subject
    baseline: Subject
    limit: float

    @property
    def ratio(self) -> float:
        return self.subject.median / self.baseline.median

    @property
    def best_ratio(self) -> float:
        return min(self.subject.seconds) / min(self.baseline.seconds)


def until_ready(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Seconds from exec to the line `ready`."""
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        took = time.perf_counter() - began
        process.kill()
        if line != b"ready\n":
            raise SystemExit(f"{' '.join(command)} did not become ready: {process.stderr.read().decode()}")
    return took


def until_end(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Seconds from exec to the end."""
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    took = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.decode()}")
    return took


def site_of(folder: Path, plugins: int) -> dict[str, str]:
    """The environment of a Python that has so many distributions with a server each."""
    site = Site(folder)
    for number in range(plugins):
        name, module = f"server{number}", f"bench_{number}"
        source = PLUGIN.format(name=name, module=module)
        site.install(name, source, distribution=f"bench-{number}", files={f"{module}_server.py": SERVER})
    environment = site.environment()
    del environment["PYTHONDONTWRITEBYTECODE"]
    return environment


def cold(folder: Path, take: Callable[[], float]) -> Callable[[], float]:
    """`take`, with the compiled modules of the plugins thrown away each time."""

    def taken() -> float:
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        return take()

    return taken


def comparisons(folder: Path) -> list[Comparison]:
    python = sys.executable
    program = Path(python).with_name("hk")
    hk = [python, str(program)] if program.exists() else [python, "-m", "hyperkube_core"]
    scripts = {"ready": folder / "ready.py", "help": folder / "help.py"}
    scripts["ready"].write_text(READY_BASELINE)
    scripts["help"].write_text(HELP_BASELINE)
    few, many = site_of(folder / "few", 3), site_of(folder / "many", 50)

    def subject(
        name: str, take: Callable[..., float], command: Sequence[str], environment: Mapping[str, str]
    ) -> Subject:
        return Subject(name, lambda: take(command, environment))

    ready_baseline = subject("script to ready", until_ready, [python, str(scripts["ready"])], few)
    help_baseline = subject("script that prints", until_end, [python, str(scripts["help"])], few)
    ready = subject("hk server0", until_ready, [*hk, "server0", "--secure-port=0"], few)
    ready_many = subject("hk server0, 50 plugins", until_ready, [*hk, "server0", "--secure-port=0"], many)
    helped = subject("hk --help", until_end, [*hk, "--help"], few)
    helped_many = subject("hk --help, 50 plugins", until_end, [*hk, "--help"], many)
    ready_cold = Subject("hk server0, cold", cold(folder / "few", ready.take))
    helped_cold = Subject("hk --help, cold", cold(folder / "few", helped.take))
    return [
        Comparison("exec to ready / script", ready, ready_baseline, 1.15),
        Comparison("exec to ready / script, plugins not compiled", ready_cold, ready_baseline, 1.15),
        Comparison("--help / script", helped, help_baseline, 1.2),
        Comparison("--help / script, plugins not compiled", helped_cold, help_baseline, 1.2),
        Comparison("exec to ready, 50 plugins / 3", ready_many, ready, 1.5),
        Comparison("--help, 50 plugins / 3", helped_many, helped, 1.5),
    ]


def measure(runs: int) -> list[Comparison]:
    """Take every time `runs` times, one after another, after one round that does not count."""
    with tempfile.TemporaryDirectory() as name:
        compared = comparisons(Path(name))
        subjects = list({id(one): one for item in compared for one in (item.baseline, item.subject)}.values())
        for one in subjects:
            one.take()
        for _ in range(runs):
            for one in subjects:
                one.seconds.append(one.take())
        return compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    compared = measure(arguments.runs)
    rows = [
        {
            "what": item.name,
            "median_ms": round(item.subject.median * 1000, 1),
            "baseline_ms": round(item.baseline.median * 1000, 1),
            "ratio": round(item.ratio, 3),
            "ratio_of_minima": round(item.best_ratio, 3),
            "limit": item.limit,
            "met": item.ratio <= item.limit,
        }
        for item in compared
    ]
    if arguments.json:
        print(json.dumps({"runs": arguments.runs, "python": sys.version.split()[0], "rows": rows}, indent=2))
    else:
        titles = ("what", "median_ms", "baseline_ms", "ratio", "ratio_of_minima", "limit", "met")
        width = max(len(str(row["what"])) for row in rows)
        print(f"{'what':<{width}}  " + "  ".join(f"{title:>15}" for title in titles[1:]))
        for row in rows:
            print(f"{row['what']:<{width}}  " + "  ".join(f"{row[title]!s:>15}" for title in titles[1:]))
    sys.exit(0 if all(row["met"] for row in rows) else 1)


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    main()
