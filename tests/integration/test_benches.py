"""The benches measure what there is."""

from __future__ import annotations

from importlib.util import find_spec

from tests.bench import __main__ as benches
from tests.bench import steps


def test_every_bench_that_is_named_is_there() -> None:
    assert [name for name in benches.NAMES if find_spec(f"tests.bench.{name}") is None] == []


def test_every_step_that_is_timed_is_there() -> None:
    gone = [
        f"{owner}.{function}"
        for _, owner, functions in steps.STEPS
        for function in functions
        if not callable(getattr(owner, function, None))
    ]
    assert gone == []
