"""What policies and webhooks cost a write: `python -m tests.bench.policies`.

A config map is created over and over in a server as users start it: with no policy, with one, with twenty that look at
it, with a hundred policies and a hundred webhooks that are about something else. Figures are of the server's processor
time, which what else the machine does changes little.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.customresources import Asker
from tests.bench.figures import report
from tests.bench.processes import Process, apiserver

POLICIES = 20
OTHERS = 100
_ROUNDS = 5
_CALLS = 200

Tree = dict[str, Any]

_REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
_MAPS = "/api/v1/namespaces/default/configmaps"


@dataclass(frozen=True, slots=True)
class Figure:
    """What a write takes, beside what it takes where nothing looks at it, and how much more it is meant to."""

    what: str
    took: float  # microseconds of the server's processor
    plain: float
    limit: float  # of what is added, in microseconds

    @property
    def kept(self) -> bool:
        return self.took - self.plain <= self.limit

    def __str__(self) -> str:
        added = self.took - self.plain
        kept = "ok" if self.kept else "MISSED"
        return f"{self.what:<52} {self.took:8.0f} µs   {added:+7.0f} µs   {kept} (at most {self.limit:g} µs)"


def _rule(resource: str) -> Tree:
    return {"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": [resource]}


def policy(number: int, resource: str) -> Tree:
    """One of many, each with expressions of its own."""
    most = 1000 + number
    spec = {
        "matchConstraints": {"resourceRules": [_rule(resource)]},
        "variables": [{"name": "data", "expression": "has(object.data) ? object.data : {}"}],
        "validations": [
            {"expression": f"size(variables.data) < {most}", "message": "too much"},
            {"expression": f"object.metadata.name != 'forbidden-{number}'"},
            {"expression": "!has(object.metadata.labels) || object.metadata.labels.all(key, key.size() < 100)"},
        ],
    }
    return {"metadata": {"name": f"{resource}-{number}"}, "spec": spec}


def binding(number: int, resource: str) -> Tree:
    name = f"{resource}-{number}"
    return {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}


def webhook(number: int) -> Tree:
    """One that nobody ever calls."""
    hook = {
        "name": f"hook{number}.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [_rule("secrets")],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {"metadata": {"name": f"hook-{number}"}, "webhooks": [hook]}


def _put_into_force(asker: Asker, numbers: range, resource: str) -> None:
    for number in numbers:
        asker.create(f"{_REGISTRATION}/validatingadmissionpolicies", policy(number, resource))
        asker.create(f"{_REGISTRATION}/validatingadmissionpolicybindings", binding(number, resource))


class _Writer:
    def __init__(self, server: Process, asker: Asker) -> None:
        self._server = server
        self._asker = asker
        self._number = 0

    def microseconds(self) -> float:
        """What a creation takes of the server's processor: the median of some rounds."""
        return statistics.median(self._round() for _ in range(_ROUNDS)) * 1e6

    def _round(self) -> float:
        began = self._server.processor_seconds
        for _ in range(_CALLS):
            self._number += 1
            body = {"metadata": {"name": f"map-{self._number}", "labels": {"a": "b"}}, "data": {"key": "value"}}
            self._asker.create(_MAPS, body)
        return (self._server.processor_seconds - began) / _CALLS


def figures(server: Process) -> Iterator[Figure]:
    """Each step adds to what is there."""
    asker = Asker(server.port)
    writer = _Writer(server, asker)
    writer.microseconds()  # what is imported and compiled for the first one is no write's
    plain = writer.microseconds()
    yield Figure("create a config map, no policies", plain, plain, 0)
    for number in range(OTHERS):
        asker.create(f"{_REGISTRATION}/validatingwebhookconfigurations", webhook(number))
    _put_into_force(asker, range(OTHERS), "secrets")
    yield Figure(f"{OTHERS} webhooks and {OTHERS} policies about others", writer.microseconds(), plain, 60)
    _put_into_force(asker, range(1), "configmaps")
    yield Figure("one policy of three expressions", writer.microseconds(), plain, 400)
    _put_into_force(asker, range(1, POLICIES), "configmaps")
    yield Figure(f"{POLICIES} such policies", writer.microseconds(), plain, 2500)


def main() -> int:
    """Run it; 1 if a write takes longer than it is meant to."""
    with tempfile.TemporaryDirectory(prefix="hk-bench-") as name:
        folder = Path(name)
        tokens = folder / "tokens.csv"
        tokens.write_text('secret,admin,1,"system:masters"\n')
        tokens.chmod(0o600)
        with apiserver(folder / "data", tokens, "memory") as server:
            return report(figures(server))


if __name__ == "__main__":
    sys.exit(main())
