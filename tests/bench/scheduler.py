"""What placing a pod costs, alone and with an API server: `python -m tests.bench.scheduler [--nodes N] [--pods N]`.

First the decision alone, over 5,000 nodes, for pods of several kinds; upstream's own gate is 270 pods a second there,
all included. Then an API server and a scheduler, in processes of their own and in one process, with nodes that somebody
only says are there: the time until all pods are bound, what that costs each process, and how long a read of the API
server takes meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS
from hyperkube_machinery.client import Client, connect
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.selectors import LabelSelector, label_selector
from hyperkube_scheduler.algorithm import Algorithm
from hyperkube_scheduler.cache import Cache
from hyperkube_scheduler.configuration import Configuration
from hyperkube_scheduler.framework.interface import Cycle
from hyperkube_scheduler.nodeinfo import NodeFacts
from hyperkube_scheduler.podinfo import PodInfo, read_pod
from hyperkube_scheduler.preemption import Candidate
from hyperkube_scheduler.profiles import Surroundings, build_pipelines
from tests.bench.figures import Timed, report

Tree = dict[str, Any]

SPACE = "bench"
LABELS = {"app": "web"}
ZONE, HOSTNAME = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
DECISION_NODES, DECISION_PODS = 5000, 2000
DECISION_LIMIT = 2000.0
"""Microseconds a pod: 500 pods a second."""
AT_ONCE = 16
READ_SECONDS = 0.05
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"

_SELECTOR = {"matchLabels": LABELS}
KINDS: dict[str, Tree] = {
    "requests alone": {},
    "of a replica set": {},
    "spread over zones, at all costs": {
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": _SELECTOR}
        ]
    },
    "one a node": {
        "affinity": {"podAntiAffinity": {REQUIRED: [{"topologyKey": HOSTNAME, "labelSelector": _SELECTOR}]}}
    },
    "rather near each other": {
        "affinity": {
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 10, "podAffinityTerm": {"topologyKey": ZONE, "labelSelector": _SELECTOR}}
                ]
            }
        }
    },
}


def node(index: int) -> Tree:
    amounts = {"cpu": "32", "memory": "64Gi", "pods": "110"}
    name = f"node-{index}"
    return {
        "metadata": {"name": name, "labels": {HOSTNAME: name, ZONE: f"zone-{index % 3}"}},
        "status": {"capacity": amounts, "allocatable": amounts},
    }


def pod(index: int, **spec: Any) -> Tree:
    requests = {"cpu": "100m", "memory": "64Mi"}
    container = {"name": "app", "image": "nowhere/app:1", "resources": {"requests": requests}}
    return {
        "metadata": {"name": f"pod-{index}", "namespace": SPACE, "labels": LABELS},
        "spec": {"schedulerName": "default-scheduler", "containers": [container], **spec},
    }


# The decision alone


class _Nobody:
    def begin(self, preemptor: PodInfo, candidate: Candidate) -> None:
        raise AssertionError("there is room for all")

    def is_running(self, preemptor: PodInfo) -> bool:
        return False


async def _no_binding(pod: PodInfo, node: str) -> object:
    return None


def decisions() -> Iterator[Timed]:
    for kind, spec in KINDS.items():
        selector = label_selector(_SELECTOR) if kind == "of a replica set" else LabelSelector()
        took, longest = _decide(selector, spec)
        yield Timed(f"a pod, {kind}", took, DECISION_LIMIT)
        yield Timed("  in one go, the longest", longest, 5000)


def _decide(selector: LabelSelector, spec: Tree) -> tuple[float, float]:
    """Microseconds of the processor for a pod, and the longest time without a pause."""
    around = Surroundings(lambda pod: selector, _Nobody(), dict, list, _no_binding, time.time, Random(1))
    pipeline = build_pipelines(Configuration().profiles, around)["default-scheduler"]
    cache, algorithm = Cache(), Algorithm(0, Random(1))
    for index in range(DECISION_NODES):
        cache.set_node(NodeFacts(node(index)))
    trees = [pod(index, **spec) for index in range(DECISION_PODS)]
    for index, tree in enumerate(trees):
        tree["metadata"]["uid"] = f"uid-{index}"
    pods = [read_pod(tree) for tree in trees]
    longest = 0.0
    gc.collect()
    began = time.process_time()
    for one in pods:
        work = algorithm.choose(pipeline, Cycle(one, cache), {})
        while True:
            slice_began = time.process_time()
            try:
                next(work)
            except StopIteration as end:
                choice = end.value
                break
            finally:
                longest = max(longest, time.process_time() - slice_began)
        cache.assume(one, choice.node)
    return (time.process_time() - began) / len(pods) * 1e6, longest * 1e6


# With an API server


@dataclass(slots=True)
class Process:
    """A process that is measured."""

    name: str
    pid: int
    began: float = 0.0

    def seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@asynccontextmanager
async def _started(name: str, *args: str, says: str) -> AsyncIterator[Process]:
    """A server once its log says so."""
    command = [sys.executable, "-m", "hyperkube_core", *args]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        while says not in (line := (await process.stderr.readline()).decode()):
            if not line:
                raise RuntimeError(f"{name} ended instead of getting ready: {''.join(said)}")
            said.append(line)
        drain = asyncio.create_task(_drain(process.stderr))
        yield Process(name, process.pid)
        drain.cancel()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.readline():
        pass


@asynccontextmanager
async def in_processes(folder: Path) -> AsyncIterator[list[Process]]:
    config = folder / "admin.kubeconfig"
    flags = (f"--data-dir={folder}", "--secure-port=0", "--storage-backend=memory")
    own = (f"--kubeconfig={config}", "--secure-port=0", "--leader-elect=false")
    async with (
        _started("API server", "apiserver", *flags, says="serving Kubernetes") as server,
        _started("scheduler", "scheduler", *own, says="scheduling for") as scheduler,
    ):
        yield [server, scheduler]


@asynccontextmanager
async def in_one(folder: Path) -> AsyncIterator[list[Process]]:
    config = folder / "admin.kubeconfig"
    flags = (f"--data-dir={folder}", "--secure-port=0", "--storage-backend=memory")
    own = (f"--kubeconfig={config}", "--secure-port=0", "--leader-elect=false")
    async with _started("both", "run", "apiserver", *flags, "scheduler", *own, says="scheduling for") as both:
        yield [both]


async def _each(count: int, work: Any) -> None:
    """Do `work` for each number, some at a time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(index: int) -> None:
        async with free:
            await work(index)

    await asyncio.gather(*(one(index) for index in range(count)))


async def place(processes: list[Process], client: Client, nodes: int, pods: int) -> None:
    """Create nodes and pods, and print what became of it."""

    async def add_node(index: int) -> None:
        await client.create(NODES, node(index))
        await client.patch(NODES, f"node-{index}", {"spec": {"taints": None}})

    await client.create(NAMESPACES, {"metadata": {"name": SPACE}})
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await client.create(SERVICE_ACCOUNTS, account, SPACE)
    await _each(nodes, add_node)
    reads: list[float] = []
    reading = asyncio.create_task(_read(client, reads))
    bound = asyncio.create_task(_all_bound(client, pods))
    for process in processes:
        process.began = process.seconds()
    began = time.perf_counter()
    await _each(pods, lambda index: client.create(PODS, pod(index), SPACE))
    created = time.perf_counter() - began
    await bound
    took = time.perf_counter() - began
    reading.cancel()
    reads.sort()
    rate, middle, late = pods / took, reads[len(reads) // 2] * 1e3, reads[int(len(reads) * 0.99)] * 1e3
    print(f"  {pods} pods on {nodes} nodes: created in {created:.1f} s, bound after {took:.1f} s: {rate:.0f} a second")
    for process in processes:
        used = process.seconds() - process.began
        print(f"  {process.name}: {used:.1f} s of a processor, {process.megabytes():.0f} MB")
    print(f"  a read meanwhile: median {middle:.1f} ms, p99 {late:.1f} ms")


async def _read(client: Client, reads: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await client.get(NAMESPACES, SPACE)
        reads.append(time.perf_counter() - began)
        await asyncio.sleep(READ_SECONDS)


async def _all_bound(client: Client, pods: int) -> None:
    """Follow the pods until so many have a node."""
    placed: set[str] = set()
    async for event in client.watch(PODS, SPACE, fields="spec.nodeName!=", initial_events=True):
        if event.type in ("ADDED", "MODIFIED"):
            placed.add(event.object["metadata"]["name"])
            if len(placed) == pods:
                return


async def with_an_api_server(nodes: int, pods: int) -> None:
    for title, start in (("in processes of their own", in_processes), ("in one process", in_one)):
        print(title, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            async with start(Path(folder)) as processes:
                access = kubeconfig.read(Path(folder, "admin.kubeconfig"))
                async with connect(access, clock=SystemClock(), user_agent="hk-bench") as client:
                    await place(processes, client, nodes, pods)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=5000)
    arguments = parser.parse_args()
    missed = report(decisions())
    asyncio.run(with_an_api_server(arguments.nodes, arguments.pods))
    return missed


if __name__ == "__main__":
    sys.exit(main())
