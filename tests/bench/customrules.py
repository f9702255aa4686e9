"""What the rules of custom resources cost: `python -m tests.bench.customrules`.

Objects of two definitions are created in one server, by turns: of one with twenty rules, and of one that differs in
nothing else. What evaluating the rules takes of that, and compiling them, is timed beside it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from hyperkube_apiserver.crd.rules import compile_rules
from hyperkube_apiserver.crd.rules.compiling import compiled_rules
from hyperkube_machinery.cel.kubernetes.declared import declared_type
from tests.bench.customresources import Asker, Figure
from tests.bench.figures import microseconds, report
from tests.bench.processes import apiserver

_PAIRS = 400
_CALLS = 200
_REPEATS = 9
_MOST_OF_A_CREATE = 0.3  # that twenty rules may add
_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

Tree = dict[str, Any]

_ON_THE_SPEC = (
    "self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas",
    "self.name.startsWith('web') || self.name.startsWith('job')",
    "self.name.size() <= 20",
    "self.name.matches('^[a-z]+-[0-9]+$')",
    "has(self.image) && self.image.contains(':')",
    "!has(self.schedule) || self.schedule != ''",
    "self.ports.all(port, port.number > 0 && port.number < 65536)",
    "self.ports.exists(port, port.name == 'http')",
    "self.ports.map(port, port.number).isSorted()",
    "self.ports.filter(port, port.name == 'http').size() == 1",
    "self.labels.all(key, key.size() < 30)",
    "'app' in self.labels && self.labels['app'] == self.name",
    "quantity(self.memory).isGreaterThan(quantity('1Mi'))",
    "duration(self.timeout) < duration('1h')",
    "isURL(self.url) && url(self.url).getScheme() == 'https'",
    "self.mode in ['Auto', 'Manual', 'Off']",
    "self.mode != 'Off' || self.replicas == 0",
)
_ON_PORTS = ("self.name != ''", "self.number != 22")
_ON_THE_NAME = ("self.lowerAscii() == self",)


def _text(longest: int) -> Tree:
    return {"type": "string", "maxLength": longest}


def _rules(*expressions: str) -> Tree:
    return {"x-kubernetes-validations": [{"rule": expression} for expression in expressions]}


def schema(*, with_rules: bool) -> Tree:
    """Of a resource with a spec of a dozen fields."""
    on_spec, on_ports, on_name = (_rules(*one) if with_rules else {} for one in _ALL)
    number = {"type": "integer"}
    port = {"type": "object", "properties": {"name": _text(20), "number": number}, **on_ports}
    spec = {
        "type": "object",
        "properties": {
            "name": {**_text(40), **on_name},
            "image": _text(100),
            "schedule": _text(20),
            "memory": _text(20),
            "timeout": _text(20),
            "url": _text(100),
            "mode": _text(10),
            **dict.fromkeys(("replicas", "minReplicas", "maxReplicas"), number),
            "ports": {"type": "array", "maxItems": 10, "items": port},
            "labels": {"type": "object", "maxProperties": 10, "additionalProperties": _text(63)},
        },
        **on_spec,
    }
    return {"type": "object", "properties": {"spec": spec}}


_ALL = (_ON_THE_SPEC, _ON_PORTS, _ON_THE_NAME)


def thing(kind: str, name: str) -> Tree:
    """An object that keeps every rule."""
    return {
        "apiVersion": "example.com/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "name": "web-1",
            "image": "registry.example.com/web:1",
            "memory": "100Mi",
            "timeout": "30s",
            "url": "https://example.com/path",
            "mode": "Auto",
            "replicas": 2,
            "minReplicas": 1,
            "maxReplicas": 3,
            "ports": [{"name": "http", "number": 80}, {"name": "metrics", "number": 9090}],
            "labels": {"app": "web-1", "tier": "front"},
        },
    }


def definition(kind: str, schema: Tree) -> Tree:
    plural = f"{kind.lower()}s"
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": {"plural": plural, "kind": kind},
            "versions": [version],
        },
    }


def evaluating() -> Iterator[Figure]:
    """In this process."""
    ruled = schema(with_rules=True)
    began = time.perf_counter()
    rules = compile_rules(ruled)
    assert rules is not None
    value = thing("Ruled", "a")
    assert rules.validate(value) == []
    yield Figure("compiling and asking twenty rules for the first time", (time.perf_counter() - began) * 1e3, "ms", 200)
    yield Figure(
        "asking them again", microseconds(lambda: rules.validate(value), calls=_CALLS, repeats=_REPEATS), "µs", 400
    )
    spec = ruled["properties"]["spec"]
    declared = declared_type(spec)
    assert declared is not None
    found = microseconds(lambda: compiled_rules(spec, declared), calls=_CALLS, repeats=_REPEATS)
    yield Figure("finding those of an equal schema", found, "µs", 100)


def creating(folder: Path) -> Iterator[Figure]:
    """In a server."""
    tokens = folder / "tokens.csv"
    tokens.write_text('secret,admin,1,"system:masters"\n')
    tokens.chmod(0o600)
    with apiserver(folder / "data", tokens) as server:
        asker = Asker(server.port)
        for kind, with_rules in (("Ruled", True), ("Plain", False)):
            asker.create(_PATH, definition(kind, schema(with_rules=with_rules)))
            while asker.call("GET", f"/apis/example.com/v1/{kind.lower()}s")[0] != 200:
                pass
        took: dict[str, list[float]] = {"Ruled": [], "Plain": []}
        for number in range(_PAIRS):
            for kind, times in took.items():
                began = time.perf_counter()
                asker.create(f"/apis/example.com/v1/{kind.lower()}s", thing(kind, f"thing-{number}"))
                times.append(time.perf_counter() - began)
    # Of the quicker half, as what else the machine does is nobody's here.
    plain, ruled = (statistics.quantiles(took[kind], n=4)[0] * 1e6 for kind in ("Plain", "Ruled"))
    yield Figure("a create without rules", plain, "µs", 10_000)
    yield Figure("what twenty rules add", ruled - plain, "µs", plain * _MOST_OF_A_CREATE)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        return report(chain(evaluating(), creating(Path(folder))))


if __name__ == "__main__":
    sys.exit(main())
