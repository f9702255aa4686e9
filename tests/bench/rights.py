"""What admission and authorization cost a whole server: `python -m tests.bench.rights [--bindings N] [--rounds N]`.

Two servers are started: one asks Node, RBAC and the plugins that are on anyway, with thousands of bindings of others;
the other lets everybody do everything and asks no plugin. Both are asked the same in turns, for gets and for creations
of pods and config maps, and what counts is the processor time that each takes for a request: it hardly depends on what
else the machine does. The quickest round of each is compared, for noise only adds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from hyperkube_machinery import tls
from tests.bench.load import Answer, Client, Load, ask, connected, request
from tests.bench.processes import Process, apiserver
from tests.bench.targets import TOKEN, run

JOE = "joes-token"
NAMESPACE = "rights"
CONNECTIONS = 4
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_AT_ONCE = 16
_OFF = ("--authorization-mode=AlwaysAllow", "--admission-control=AlwaysAdmit")


@dataclass(frozen=True, slots=True)
class Figure:
    """What a request costs with everything on and off, in microseconds of a processor, and how much more it may."""

    what: str
    on: float
    off: float
    ratio: float
    limit: float

    @property
    def kept(self) -> bool:
        return self.ratio <= self.limit

    def __str__(self) -> str:
        return (
            f"{self.what:<24} on {self.on:7.1f} µs   off {self.off:7.1f} µs   {(self.ratio - 1) * 100:+6.1f} %   "
            f"{'ok' if self.kept else 'MISSED'} (at most {(self.limit - 1) * 100:+.0f} %)"
        )


@dataclass(frozen=True, slots=True)
class Server:
    process: Process
    clients: list[Client]

    async def cost(self, requests: list[bytes], expected: bytes) -> float:
        """Processor time of a request, in microseconds."""
        before = self.process.processor_seconds
        await Load(iter(requests), expected).run(self.clients, duration=120)
        return (self.process.processor_seconds - before) / len(requests) * 1e6


def _binding(name: str, role: str, user: str) -> dict[str, object]:
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": name},
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": group},
        "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
    }


async def _made(clients: list[Client], path: str, objects: Iterator[dict[str, object]]) -> None:
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
    account = request("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", _DEFAULT, token=TOKEN)
    answer: Answer = await ask(clients[0], account)
    assert answer.status == 201, answer
    assert (await ask(clients[0], _creation("configmaps", "read"))).status == 201


_DEFAULT = b'{"metadata":{"name":"default"}}'


def _creation(resource: str, name: str) -> bytes:
    tree: dict[str, object] = {"metadata": {"name": name, "labels": {"app": "web"}}, "data": {"key": "value" * 20}}
    if resource == "pods":
        container = {"name": "c", "image": "registry.example.com/web:1", "ports": [{"containerPort": 80}]}
        spec = {"containers": [container], "automountServiceAccountToken": False, "serviceAccountName": "default"}
        tolerations = [
            {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for why in ("not-ready", "unreachable")
        ]
        # What plugins would add is there already, so that both servers store the same.
        spec |= {"tolerations": tolerations, "priority": 0, "preemptionPolicy": "PreemptLowerPriority"}
        tree = {"metadata": tree["metadata"], "spec": spec}
    return request("POST", f"/api/v1/namespaces/{NAMESPACE}/{resource}", json.dumps(tree).encode(), token=JOE)


async def _figures(on: Server, off: Server, rounds: int) -> list[Figure]:
    numbers = count()
    get = request("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/read", token=JOE)

    def creations(resource: str) -> Callable[[], list[bytes]]:
        return lambda: [_creation(resource, f"n{number}") for number in islice(numbers, 400)]

    cases: list[tuple[str, Callable[[], list[bytes]], bytes, float]] = [
        ("get a config map", lambda: [get] * 1500, b"200", 1.05),
        ("create a config map", creations("configmaps"), b"201", 1.15),
        ("create a pod", creations("pods"), b"201", 1.15),
    ]
    found = []
    for what, requests, expected, limit in cases:
        costs: list[tuple[float, float]] = []
        for number in range(rounds + 1):
            pair = [on, off] if number % 2 else [off, on]
            taken = {id(server): await server.cost(requests(), expected) for server in pair}
            if number:  # the first round is to warm up
                costs.append((taken[id(on)], taken[id(off)]))
        with_all, with_none = (min(column) for column in zip(*costs, strict=True))
        found.append(Figure(what, with_all, with_none, with_all / with_none, limit))
    return found


async def _main(arguments: argparse.Namespace) -> int:
    async with _servers(arguments.bindings) as (on, off):
        missed = 0
        for figure in await _figures(on, off, arguments.rounds):
            print(figure, flush=True)
            missed |= not figure.kept
    return missed


class _servers:
    """Both servers, arranged."""

    def __init__(self, bindings: int) -> None:
        self._bindings = bindings
        self._stack = ExitStack()

    async def __aenter__(self) -> tuple[Server, Server]:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="hk-bench-")))
        tokens = folder / "tokens.csv"
        tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n{JOE},joe,2,"dev,ops"\n')
        self._open = []
        servers = []
        for name, flags in (("on", ()), ("off", _OFF)):
            process = self._stack.enter_context(apiserver(folder / name, tokens, "memory", *flags))
            context = tls.client_context(ca_pem=(folder / name / "pki" / "ca.crt").read_bytes())
            connections = connected(process.port, context, CONNECTIONS)
            self._open.append(connections)
            servers.append(Server(process, await connections.__aenter__()))
        on, off = servers
        await asyncio.gather(_arrange(on, self._bindings), _arrange(off, 0))
        return on, off

    async def __aexit__(self, *exc: object) -> None:
        for connections in self._open:
            await connections.__aexit__(None, None, None)
        self._stack.close()


def main() -> int:
    """Print the figures; 1 if one misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bindings", type=int, default=10_000, help="of others, in the same namespace")
    parser.add_argument("--rounds", type=int, default=20)
    return run(_main, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
