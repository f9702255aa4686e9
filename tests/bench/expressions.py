"""What expressions cost to evaluate: `python -m tests.bench.expressions`.

Each stands beside the same in Google's own implementation in C++, cel-expr-python, on the same data in the same run.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cel_expr_python import cel  # type: ignore[import-untyped]

from hyperkube_machinery.cel.environment import Environment
from hyperkube_machinery.cel.types import BOOL, INT, STRING, Field, ObjectType, list_of, map_of
from tests.bench.figures import microseconds, report

if TYPE_CHECKING:
    from collections.abc import Iterator

_CALLS = 2000
_REPEATS = 9
_LIMIT = 1_000_000

ITEM = ObjectType("Item", {"name": Field(STRING), "weight": Field(INT)})
SPEC = ObjectType("Spec", {"replicas": Field(INT), "max": Field(INT), "paused": Field(BOOL)})
SELF = ObjectType(
    "Self",
    {
        "spec": Field(SPEC),
        "items": Field(list_of(ITEM)),
        "mode": Field(STRING),
        "labels": Field(map_of(STRING, STRING)),
    },
)
DATA: dict[str, Any] = {
    "self": {
        "spec": {"replicas": 2, "max": 3, "paused": False},
        "items": [{"name": f"a{number}", "weight": number} for number in range(10)],
        "mode": "Blue",
        "labels": {"app": "web", "tier": "front"},
    }
}


RULES = (  # and how much of the other implementation's time they may take
    ("self.spec.replicas <= self.spec.max", 0.5),
    ("self.mode in ['Blue', 'Green', 'Red']", 0.5),
    ("has(self.spec.paused) && !self.spec.paused", 0.5),
    ("self.labels.all(k, k.size() < 64)", 0.8),
    ("self.spec.replicas <= self.spec.max && self.items.all(i, i.name.startsWith('a'))", 1),
    ("self.items.map(i, i.weight).exists(w, w > 8)", 1),
    ("self.items.all(i, self.items.exists_one(j, j.name == i.name))", 3),
    ("self.mode.matches('^[A-Z][a-z]*$')", 1),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """How long one evaluation takes here and there, in microseconds."""

    expression: str
    took: float
    took_there: float
    limit: float

    @property
    def kept(self) -> bool:
        return self.took <= self.limit * self.took_there

    def __str__(self) -> str:
        verdict = f"{'ok' if self.kept else 'MISSED'} (at most {self.limit:g} x)"
        ratio = f"{self.took / self.took_there:5.2f} x cel-expr-python"
        return f"{self.expression:<84} {self.took:7.1f} µs   {ratio}   {verdict}"


def figures() -> Iterator[Figure]:
    environment = Environment(variables={"self": SELF})
    other = cel.NewEnv(variables={"self": cel.Type.DYN})
    for expression, limit in RULES:
        program = environment.program(environment.compile(expression), cost_limit=_LIMIT)
        peer = other.compile(expression)
        assert program.evaluate(DATA).value is True
        assert peer.eval(data=DATA).value() is True
        took = microseconds(partial(program.evaluate, DATA), calls=_CALLS, repeats=_REPEATS)
        took_there = microseconds(partial(peer.eval, data=DATA), calls=_CALLS, repeats=_REPEATS)
        yield Figure(expression, took, took_there, limit)


if __name__ == "__main__":
    sys.exit(report(figures()))
