"""How long a cluster takes to come up and to run its first pods, and what it takes of memory.

    python -m tests.bench.cluster [--runs N]

From a warm cache of compiled modules: `hk up --detach` on an empty folder, in one process and in many; then three pods
of the host's own image. Memory is what the processes have to themselves and their share of the rest (PSS).
"""

from __future__ import annotations

import argparse
import compileall
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from statistics import median
from typing import Any

from hyperkube_machinery import kubeconfig
from tests.bench.figures import report

__all__ = ["HK", "Figure", "cluster", "memory"]

HK = (sys.executable, "-m", "hyperkube_core")
_ROOT = Path(__file__).resolve().parents[2]
_MODES = ("process", "in-process")
_PODS = "/api/v1/namespaces/default/pods"
_PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Figure:
    """What was found, and what it is meant to be at most."""

    what: str
    found: float
    limit: float
    unit: str

    @property
    def kept(self) -> bool:
        return self.found <= self.limit

    def __str__(self) -> str:
        verdict = "ok" if self.kept else "MISSED"
        return f"{self.what:<44} {self.found:9.2f} {self.unit:<2}   {verdict} (at most {self.limit:g} {self.unit})"


@dataclass(frozen=True, slots=True)
class Up:
    """One cluster's coming up."""

    apiserver: float  # seconds from the start of `hk up` until each was so
    node: float
    pods: float  # seconds from the creation of three pods until all were ready
    memory: float  # megabytes, of all its processes


def main() -> int:
    """Measure; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    for folder in (_ROOT / "hyperkube_core", *(_ROOT / "plugins").glob("*/src")):
        compileall.compile_dir(folder, quiet=1)
    figures: list[Figure] = []
    for mode in _MODES:
        found = [_measure(mode) for _ in range(runs)]
        rows = (
            ("API server ready", "apiserver", 0.6, "s"),
            ("node ready", "node", 2.0, "s"),
            ("three pods ready after their creation", "pods", 1.0, "s"),
        )
        for what, field, limit, unit in rows:
            figures.append(Figure(f"{what}, {mode}", median(getattr(up, field) for up in found), limit, unit))
        # Each process has Python to itself: the goal is that of one.
        limit = 180.0 if mode == "in-process" else 400.0
        figures.append(Figure(f"memory with three pods, {mode}", median(up.memory for up in found), limit, "MB"))
    return report(figures)


def _measure(mode: str) -> Up:
    with tempfile.TemporaryDirectory(prefix="hk-bench-") as folder, cluster(Path(folder), mode) as events:
        ready = {event["name"]: event["seconds"] for event in events if event.get("state") == "ready"}
        whole = next(event["seconds"] for event in events if event["event"] == "ready")
        ask = _client(Path(folder) / "admin.kubeconfig")
        began = time.perf_counter()
        for number in range(3):
            ask("POST", _PODS, _pod(f"p-{number}"))
        _until(lambda: sum(map(_is_ready, ask("GET", _PODS)["items"])) == 3)
        pods = time.perf_counter() - began
        return Up(ready["apiserver"], whole, pods, memory(Path(folder)))


@contextmanager
def cluster(folder: Path, mode: str, *flags: str) -> Iterator[list[dict[str, Any]]]:
    """A cluster that is ready, with the events of its coming up."""
    where = f"--data-dir={folder}"
    command = [*HK, "up", "--detach", "--output=json", f"--mode={mode}", where, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    try:
        yield [json.loads(line) for line in done.stdout.splitlines()]
    finally:
        subprocess.run([*HK, "down", where], capture_output=True, check=True)


def _client(config: Path) -> Callable[..., Any]:
    access = kubeconfig.read(config)
    host, _, port = access.server.removeprefix("https://").rpartition(":")
    connection = HTTPSConnection(host, int(port), context=access.ssl_context())

    def ask(method: str, path: str, body: Any = None) -> Any:
        connection.request(
            method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        read = json.loads(answer.read())
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {read['message']}")
        return read

    return ask


def _pod(name: str) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "hk.local/host",
        "command": ["/bin/sh", "-c", "trap 'exit' TERM; sleep 1000 & wait"],
    }
    return {"metadata": {"name": name}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError("it took too long")
        time.sleep(0.01)


def memory(folder: Path) -> float:
    """Of all processes that have the cluster's folder in their command line, in megabytes."""
    kilobytes = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if str(folder).encode() in (entry / "cmdline").read_bytes():
                    lines = (entry / "smaps_rollup").read_text().splitlines()
                    kilobytes += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
            except (OSError, StopIteration):
                continue  # it has ended
    return kilobytes / 1000


if __name__ == "__main__":
    sys.exit(main())
