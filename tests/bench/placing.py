"""How the API server answers while the scheduler places pods on hollow nodes, in one process with it and in its own.

    python -m tests.bench.placing [--nodes N] [--pods N]

`hk up` without kubelet and proxy, and a kubelet that stands for all the nodes, in a process of its own. The pods are
created as fast as four connections take them; meanwhile another asks for a namespace every 10 ms. What counts is how
long that takes at worst, as the 99th percentile, and how long it takes until all pods run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from hyperkube_machinery import kubeconfig
from tests.bench.cluster import HK, Figure, cluster, memory
from tests.bench.figures import report

_PODS = "/api/v1/namespaces/default/pods"
_CONNECTIONS = 4
_PAUSE_SECONDS = 0.01
_PATIENCE_SECONDS = 600.0
_SLOWEST = 20.0
"""Milliseconds, in one process: what makes it worth having."""


class Client:
    """A connection of the administrator's."""

    def __init__(self, config: Path) -> None:
        access = kubeconfig.read(config)
        host, _, port = access.server.removeprefix("https://").rpartition(":")
        self._connection = HTTPSConnection(host, int(port), context=access.ssl_context())

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, path, sent, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def main() -> int:
    """Measure; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=5000)
    given = parser.parse_args()
    figures: list[Figure] = []
    for mode in ("in-process", "process"):
        figures += _measure(mode, given.nodes, given.pods)
    return report(figures)


def _measure(mode: str, nodes: int, pods: int) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="hk-bench-") as name:
        folder = Path(name) / "cluster"
        with cluster(folder, mode, "--without=kubelet", "--without=proxy"), _hollow(Path(name), folder, nodes) as up:
            config = folder / "admin.kubeconfig"
            began = time.perf_counter()
            with _latencies(config) as found:
                threads = [
                    threading.Thread(target=_create, args=(config, range(first, pods, _CONNECTIONS)))
                    for first in range(_CONNECTIONS)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                created = time.perf_counter() - began
                _wait(config, pods)
            took = time.perf_counter() - began
            slowest = sorted(found)[int(len(found) * 0.99)] * 1000
            what = f"{pods} pods on {nodes} nodes, {mode}"
            limit = _SLOWEST if mode == "in-process" else float("inf")
            infinite = float("inf")
            return [
                Figure(f"{what}: GET p99", slowest, limit, "ms"),
                Figure(f"{what}: nodes registered", up, infinite, "s"),
                Figure(f"{what}: created", created, infinite, "s"),
                Figure(f"{what}: all running", took, infinite, "s"),
                Figure(f"{what}: memory of the cluster", memory(folder), infinite, "MB"),
            ]


@contextmanager
def _hollow(folder: Path, home: Path, nodes: int) -> Iterator[float]:
    """A kubelet that stands for all nodes; yields how long they took to be there, in seconds."""
    log = (folder / "hollow.log").open("wb")
    command = [*HK, "kubelet", f"--kubeconfig={home / 'admin.kubeconfig'}", "--container-runtime=hollow"]
    command += [f"--hollow-nodes={nodes}", f"--root-dir={folder / 'hollow'}", "--hostname-override=hollow"]
    command += ["--port=0", "--healthz-port=0"]
    began = time.perf_counter()
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            client = Client(home / "admin.kubeconfig")
            while _ready_nodes(client) < nodes:
                if process.poll() is not None or time.perf_counter() - began > _PATIENCE_SECONDS:
                    raise RuntimeError(
                        f"the hollow nodes are not there:\n{(folder / 'hollow.log').read_text()[-2000:]}"
                    )
                time.sleep(0.5)
            yield time.perf_counter() - began
        finally:
            process.terminate()


def _ready_nodes(client: Client) -> int:
    items = json.loads(client.ask("GET", "/api/v1/nodes?resourceVersion=0")[1])["items"]
    return sum(
        any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", ()))
        for node in items
    )


def _create(config: Path, numbers: range) -> None:
    client = Client(config)
    container = {"name": "c", "image": "hollow", "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
    for number in numbers:
        pod = {"metadata": {"name": f"p-{number}"}, "spec": {"containers": [container]}}
        while (answer := client.ask("POST", _PODS, pod))[0] == 429:
            time.sleep(0.05)
        if answer[0] != 201:
            raise RuntimeError(answer[1].decode())


@contextmanager
def _latencies(config: Path) -> Iterator[list[float]]:
    """How long each of the requests takes that are sent for the length of the block, in seconds."""
    found: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        client = Client(config)
        while not stop.wait(_PAUSE_SECONDS):
            began = time.perf_counter()
            client.ask("GET", "/api/v1/namespaces/default")
            found.append(time.perf_counter() - began)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def _wait(config: Path, pods: int) -> None:
    """Until all pods run; looked at seldom, for a list of thousands is work as well."""
    client = Client(config)
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        answer = client.ask("GET", f"{_PODS}?fieldSelector=status.phase%21%3DRunning&limit=1&resourceVersion=0")[1]
        if not json.loads(answer)["items"]:
            return
        time.sleep(0.25)
    raise RuntimeError(f"the {pods} pods don't all run")


if __name__ == "__main__":
    sys.exit(main())
