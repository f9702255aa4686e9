"""What admission and authorization cost a whole server: `python -m tests.bench.rights [--error PERCENT]`.

Two servers are started: one asks Node, RBAC and the plugins that are on anyway, with thousands of bindings of others;
the other lets everybody do everything and asks no plugin. Both are asked the same in many short rounds, one, the other,
the other, the one: what the machine does beside hits both alike, and so does what grows while it is measured. What
counts is the processor time that a request takes of its server, which hardly depends on who else wants the processor,
and of all blocks of four rounds the median of their ratios. How far that is to be believed stands beside it, as the
double of its standard error: there are as many blocks as it takes to make that small, or as one has time for.
`--noise` turns everything off in both servers: whatever is shown then is not there.

Plugins add to a pod, which is stored, sent and watched too. So there are three rows of pods: one that has all of that
already; one that has nothing of it, beside its own outcome sent to the other server, so that both store the same; and
the same pod sent to both, of which one has more to store.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from math import sqrt
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from hyperkube_machinery import tls
from tests.bench.load import Client, Load, ask, connected, request
from tests.bench.processes import Process, apiserver
from tests.bench.targets import TOKEN, run
from tests.bench.workload import pod

JOE = "joes-token"
NAMESPACE = "rights"
CONNECTIONS = 4
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_OFF = ("--authorization-mode=AlwaysAllow", "--admission-control=AlwaysAdmit")
_NAME = "rights-000000"
_GETS, _CREATIONS = 100, 25
"""In one round, which takes some milliseconds: few are disturbed that way, and those much."""
_LEAST_BLOCKS = 20

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a round of requests took, of each request, in microseconds."""

    processor: float
    elapsed: float


@dataclass(frozen=True, slots=True)
class Block:
    """Four rounds, two of each server, so that what drifts meanwhile is in both."""

    on: Sequence[Cost]
    off: Sequence[Cost]

    def ratio(self, of: Callable[[Cost], float]) -> float:
        return sum(map(of, self.on)) / sum(map(of, self.off))


@dataclass(frozen=True, slots=True)
class Figure:
    """What a request costs more with everything on than off, and how much more it may; 0 for as much as it does."""

    what: str
    blocks: Sequence[Block]
    limit: float

    @property
    def ratio(self) -> float:
        return median(block.ratio(_processor) for block in self.blocks)

    @property
    def error(self) -> float:
        """Twice the standard error of the ratio, by the middle half of the blocks: the others are disturbed."""
        lower, _, upper = quantiles((block.ratio(_processor) for block in self.blocks), n=4)
        return 2 * 1.253 * (upper - lower) / 1.349 / sqrt(len(self.blocks))

    @property
    def kept(self) -> bool:
        return not self.limit or self.ratio <= self.limit

    def __str__(self) -> str:
        on = median(cost.processor for block in self.blocks for cost in block.on)
        off = median(cost.processor for block in self.blocks for cost in block.off)
        waited = median(block.ratio(_elapsed) for block in self.blocks)
        verdict = f"{'ok' if self.kept else 'MISSED'} (at most {_percent(self.limit)})" if self.limit else ""
        return (
            f"{self.what:<44} on {on:6.1f} µs   off {off:6.1f} µs   "
            f"{_percent(self.ratio):>7} ± {self.error * 100:.1f}   by time waited {_percent(waited):>7}   "
            f"{len(self.blocks):3} blocks   {verdict}"
        )


def _processor(cost: Cost) -> float:
    return cost.processor


def _elapsed(cost: Cost) -> float:
    return cost.elapsed


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"


@dataclass(frozen=True, slots=True)
class Server:
    process: Process
    clients: list[Client]

    async def cost(self, requests: Sequence[bytes], expected: bytes) -> Cost:
        before = self.process.processor_seconds
        took = await Load(iter(requests), expected).run(self.clients, duration=120)
        used = self.process.processor_seconds - before
        return Cost(used / len(requests) * 1e6, took / len(requests) * 1e6)

    async def answer(self, asked: bytes) -> Tree:
        """The object that is answered to the creation of one."""
        answer = await ask(self.clients[0], asked)
        if answer.status != 201:
            raise RuntimeError(f"unexpected answer: {answer}")
        tree: Tree = json.loads(answer.body)
        return tree


def _binding(name: str, role: str, user: str) -> Tree:
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": name},
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": group},
        "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
    }


async def _made(clients: list[Client], path: str, objects: Iterator[Tree]) -> None:
    requests = (request("POST", path, json.dumps(one).encode(), token=TOKEN) for one in objects)
    await Load(requests, b"201").run(clients, duration=300)


async def _arrange(server: Server, bindings: int) -> None:
    clients = server.clients
    await _made(clients, "/api/v1/namespaces", iter([{"metadata": {"name": NAMESPACE}}]))
    rules = [{"verbs": ["*"], "apiGroups": ["", "example.com"], "resources": ["pods", "configmaps", "things"]}]
    await _made(clients, f"{_RBAC}/clusterroles", iter([{"metadata": {"name": "worker"}, "rules": rules}]))
    where = f"{_RBAC}/namespaces/{NAMESPACE}/rolebindings"
    await _made(clients, where, iter([_binding("joe", "worker", "joe")]))
    await _made(clients, where, (_binding(f"b{number}", "worker", f"user-{number}") for number in range(bindings)))
    await _made(clients, f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", iter([{"metadata": {"name": "default"}}]))
    await server.answer(_creation("configmaps", {**_CONFIG_MAP, "metadata": {"name": "read"}}))


_CONFIG_MAP: Tree = {"metadata": {"name": _NAME, "labels": {"app": "web"}}, "data": {"key": "value" * 20}}
_BARE_POD: Tree = json.loads(pod(_NAME))


def _creation(resource: str, tree: Tree, query: str = "") -> bytes:
    return request("POST", f"/api/v1/namespaces/{NAMESPACE}/{resource}{query}", json.dumps(tree).encode(), token=JOE)


async def _completed(on: Server, tree: Tree) -> Tree:
    """What the plugins make of a pod, as a client would have to send it to have the same without them."""
    made = await on.answer(_creation("pods", tree, "?dryRun=All"))
    return {"metadata": {**tree["metadata"], **_lasting(made["metadata"])}, "spec": made["spec"]}


def _lasting(metadata: Tree) -> Tree:
    return {name: value for name, value in metadata.items() if name in ("labels", "annotations", "ownerReferences")}


async def _check_same(on: Server, off: Server, sent: tuple[bytes, bytes]) -> None:
    """Raise RuntimeError unless both servers store the same."""
    made = [await server.answer(one) for server, one in zip((on, off), sent, strict=True)]
    for one in made:
        for changing in ("uid", "creationTimestamp", "resourceVersion", "managedFields"):
            one["metadata"].pop(changing, None)
    if made[0] != made[1]:
        raise RuntimeError(f"what is compared is not the same: {made}")


@dataclass(frozen=True, slots=True)
class Case:
    """What both servers are asked; creations are patterns, in which the name stands for others."""

    what: str
    limit: float
    asked: tuple[bytes, bytes]  # of the one that has everything on, and of the other
    expected: bytes = b"201"

    def requests(self, numbers: Iterator[int]) -> tuple[list[bytes], list[bytes]]:
        """One round of either."""
        one, other = self.asked
        if self.expected == b"200":
            return [one] * _GETS, [other] * _GETS
        names = [b"rights-%06d" % next(numbers) for _ in range(_CREATIONS)]
        old = _NAME.encode()
        return [one.replace(old, name) for name in names], [other.replace(old, name) for name in names]


async def _cases(on: Server, off: Server) -> AsyncIterator[Case]:
    read = request("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/read", token=JOE)
    yield Case("get a config map", 1.05, (read, read), b"200")
    creation = _creation("configmaps", _CONFIG_MAP)
    yield Case("create a config map", 1.15, (creation, creation))
    bare, complete = _creation("pods", _BARE_POD), _creation("pods", await _completed(on, _BARE_POD))
    yield Case("create a pod, complete as it comes", 1.15, (complete, complete))
    yield Case("create a pod, complete for the other only", 1.15, (bare, complete))
    yield Case("create a pod, of which the other stores less", 0, (bare, bare))


async def _measured(case: Case, on: Server, off: Server, *, error: float, seconds: float) -> Figure:
    numbers = count(1)
    found: list[Block] = []
    until = time.perf_counter() + seconds
    for number in count():
        costs: dict[int, list[Cost]] = {id(on): [], id(off): []}
        for pair in ((on, off), (off, on)) if number % 2 else ((off, on), (on, off)):
            mine, others = case.requests(numbers)
            for server in pair:
                cost = await server.cost(mine if server is on else others, case.expected)
                costs[id(server)].append(cost)
        if number:  # the first block is to warm up
            found.append(Block(costs[id(on)], costs[id(off)]))
        figure = Figure(case.what, found, case.limit)
        if number >= _LEAST_BLOCKS and (figure.error <= error or time.perf_counter() > until):
            return figure
    raise AssertionError("it counts for ever")


async def _main(arguments: argparse.Namespace) -> int:
    missed = 0
    async with _servers(arguments.bindings, _OFF if arguments.noise else ()) as (on, off):
        async for case in _cases(on, off):
            if case.expected == b"201" and (case.limit or arguments.noise):
                await _check_same(on, off, case.asked)
            figure = await _measured(case, on, off, error=arguments.error / 100, seconds=arguments.seconds)
            print(figure, flush=True)
            missed |= not figure.kept
            await _emptied(on, off)
    return missed


async def _emptied(*servers: Server) -> None:
    """Delete what was made, for the next case may use its names."""
    for server in servers:
        for resource in ("pods", "configmaps"):
            path = f"/api/v1/namespaces/{NAMESPACE}/{resource}?gracePeriodSeconds=0&labelSelector=app=web"
            await ask(server.clients[0], request("DELETE", path, token=TOKEN))


@asynccontextmanager
async def _servers(bindings: int, flags: Sequence[str]) -> AsyncIterator[tuple[Server, Server]]:
    """Both servers, arranged, for the length of the block; `flags` are for the one that has everything on."""
    async with AsyncExitStack() as block:
        folder = Path(block.enter_context(tempfile.TemporaryDirectory(prefix="hk-bench-")))
        tokens = folder / "tokens.csv"
        tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n{JOE},joe,2,"dev,ops"\n')
        servers = []
        for name, given in (("on", flags), ("off", _OFF)):
            process = block.enter_context(apiserver(folder / name, tokens, "memory", *given))
            context = tls.client_context(ca_pem=(folder / name / "pki" / "ca.crt").read_bytes())
            clients = await block.enter_async_context(connected(process.port, context, CONNECTIONS))
            servers.append(Server(process, clients))
        on, off = servers
        await asyncio.gather(_arrange(on, 0 if flags else bindings), _arrange(off, 0))
        yield on, off


def main() -> int:
    """Print the figures; 1 if one misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bindings", type=int, default=10_000, help="of others, in the same namespace")
    parser.add_argument("--error", type=float, default=1.5, help="of the ratios, in percent, to be content with")
    parser.add_argument("--seconds", type=float, default=60, help="that one row may take, whatever its error is")
    parser.add_argument("--noise", action="store_true", help="compare two servers that are alike")
    return run(_main, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
