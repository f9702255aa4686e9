"""What custom resources cost a server: `python -m tests.bench.customresources`.

A thousand definitions are made in a server as users start it, which is then started again over them; how soon one is
served is measured on top of those. What reading and writing an object costs stands beside the same of a ConfigMap.
"""

from __future__ import annotations

import json
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from tests.bench.figures import report
from tests.bench.processes import Process, apiserver

DEFINITIONS = 1_000
GROUPS = 50
_LATE = 20  # definitions whose way until they are served is timed
_CALLS = 300
_FIELDS = 20  # in spec and in status: a definition is some five kilobytes

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """What something came to, and the most that it is meant to."""

    what: str
    found: float
    unit: str
    limit: float

    @property
    def kept(self) -> bool:
        return self.found <= self.limit

    def __str__(self) -> str:
        kept = "ok" if self.kept else "MISSED"
        return f"{self.what:<56} {self.found:9.2f} {self.unit}   {kept} (at most {self.limit:g} {self.unit})"


class Asker:
    """The administrator, on one connection."""

    def __init__(self, port: int) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=60)

    def call(self, method: str, path: str, body: Tree | None = None, kind: str = "application/json") -> tuple[int, Any]:
        headers = {"authorization": "Bearer secret", "content-type": kind}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def create(self, path: str, body: Tree) -> None:
        status, answer = self.call("POST", path, body)
        if status != 201:
            raise RuntimeError(f"POST {path}: {status} {answer!r}")

    def seconds(self, call: Callable[[], object]) -> float:
        """The median of many calls."""
        took = []
        for _ in range(_CALLS):
            began = time.perf_counter()
            call()
            took.append(time.perf_counter() - began)
        return statistics.median(took)


def definition(number: int) -> Tree:
    """One of many, each with a kind of its own."""
    properties = {f"field{index}": {"type": "string", "description": "words " * 10} for index in range(_FIELDS)}
    part = {"type": "object", "properties": properties}
    schema = {"type": "object", "properties": {"spec": part, "status": part}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    group = _group(number)
    names = {"plural": f"things{number}", "kind": f"Thing{number}"}
    return {
        "metadata": {"name": f"things{number}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def _group(number: int) -> str:
    return f"g{number % GROUPS}.example.com"


_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def figures(folder: Path) -> Iterator[Figure]:
    """Measure."""
    tokens = folder / "tokens.csv"
    tokens.write_text('secret,admin,1,"system:masters"\n')
    tokens.chmod(0o600)
    data = folder / "data"
    with apiserver(data, tokens) as server:
        empty_seconds = server.seconds
        yield from _made(server, Asker(server.port))
        yield from _objects(Asker(server.port))
    with apiserver(data, tokens) as server:
        yield Figure(
            f"a start over {DEFINITIONS} definitions, beyond that over none", server.seconds - empty_seconds, "s", 2
        )
        status, _ = Asker(server.port).call("GET", f"/apis/{_group(7)}/v1/things7")
        assert status == 200, status


def _made(server: Process, asker: Asker) -> Iterator[Figure]:
    before, spent = server.memory_megabytes, server.processor_seconds
    sent = sum(len(json.dumps(definition(number))) for number in range(DEFINITIONS)) / 1e6
    for number in range(DEFINITIONS):
        asker.create(_PATH, definition(number))
    _until_served(asker, DEFINITIONS - 1)
    spent = server.processor_seconds - spent  # which others on the machine make no longer
    yield Figure(f"{DEFINITIONS} definitions, until they are served, of a processor", spent, "s", 15)
    yield Figure(f"memory for them ({sent:.0f} MB of definitions)", server.memory_megabytes - before, "MB", 60)
    late = []
    for number in range(DEFINITIONS, DEFINITIONS + _LATE):
        asker.create(_PATH, definition(number))
        began = time.perf_counter()
        _until_served(asker, number)
        late.append(time.perf_counter() - began)
    yield Figure("a definition's way from made to served, the longest", max(late) * 1e3, "ms", 100)


def _until_served(asker: Asker, number: int) -> None:
    while asker.call("GET", f"/apis/{_group(number)}/v1/things{number}")[0] != 200:
        pass


def _objects(asker: Asker) -> Iterator[Figure]:
    things, maps = f"/apis/{_group(1)}/v1/namespaces/default/things1", "/api/v1/namespaces/default/configmaps"
    text = {f"field{index}": "x" * 20 for index in range(_FIELDS)}
    asker.create(things, {"apiVersion": f"{_group(1)}/v1", "kind": "Thing1", "metadata": {"name": "a"}, "spec": text})
    asker.create(maps, {"metadata": {"name": "a"}, "data": text})
    rounds = iter(range(10 * _CALLS))

    def patch(path: str, field: str) -> None:
        status, answer = asker.call(
            "PATCH", f"{path}/a", {field: {"field1": str(next(rounds))}}, "application/merge-patch+json"
        )
        assert status == 200, answer

    built_in = asker.seconds(lambda: asker.call("GET", f"{maps}/a"))
    custom = asker.seconds(lambda: asker.call("GET", f"{things}/a"))
    yield Figure("a get, as a multiple of that of a ConfigMap", custom / built_in, "x", 1.3)
    built_in = asker.seconds(lambda: patch(maps, "data"))
    custom = asker.seconds(lambda: patch(things, "spec"))
    yield Figure("a patch, as a multiple of that of a ConfigMap", custom / built_in, "x", 1.6)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(report(figures(Path(folder))))
