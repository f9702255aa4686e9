"""Expressions that are evaluated promptly or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from threading import Thread

import pytest

from hyperkube_machinery.cel.environment import Environment, Program
from hyperkube_machinery.cel.errors import CostExceeded
from hyperkube_machinery.cel.kubernetes.environments import base_environment
from hyperkube_machinery.cel.types import INT, STRING, list_of
from hyperkube_machinery.patience import TakesLong, promptly

ENVIRONMENT = Environment(variables={"items": list_of(INT), "text": STRING})
LONG = "items.all(x, items.all(y, x + y >= 0))"


def program(text: str, limit: int | None = None) -> Program:
    return ENVIRONMENT.program(ENVIRONMENT.compile(text), cost_limit=limit)


def ticking() -> Callable[[], float]:
    """A clock on which a second passes between two looks at it."""
    seconds: Iterator[int] = count()
    return lambda: float(next(seconds))


def test_an_evaluation_that_takes_long_is_given_up_and_can_be_begun_anew() -> None:
    long, given = program(LONG), {"items": list(range(100))}
    with promptly(5, ticking()), pytest.raises(TakesLong):
        long.evaluate(given)
    whole = long.evaluate(given)
    assert whole.value is True
    with promptly(1_000_000, ticking()):
        assert long.evaluate(given) == whole


def test_short_evaluations_have_their_patience_together() -> None:
    short = program("size(items) < 100")
    with promptly(10, ticking()):
        for _ in range(10):
            assert short.evaluate({"items": [1]}).value is True
        with pytest.raises(TakesLong):
            short.evaluate({"items": [1]})
    assert short.evaluate({"items": [1]}).value is True


def test_the_patient_and_the_impatient_are_told_alike_what_costs_too_much() -> None:
    costly, given = program(LONG, 3000), {"items": list(range(100))}
    with pytest.raises(CostExceeded) as told:
        costly.evaluate(given)
    with promptly(1_000_000, ticking()), pytest.raises(CostExceeded) as promptly_told:
        costly.evaluate(given)
    assert promptly_told.value.cost == told.value.cost > 3000


def test_what_is_dear_but_quick_is_evaluated_promptly() -> None:
    """As a question to an authorizer is: it is time that counts."""
    dear = program("text.contains(text)")
    with promptly(2, ticking()):
        assert dear.evaluate({"text": "x" * 3000}).cost > 50_000


def test_work_that_has_no_price_takes_time_as_well() -> None:
    environment = base_environment().extend(variables={"items": list_of(INT)})
    compare = environment.program(environment.compile("sets.contains(items, items)"))
    given = {"items": list(range(300))}
    with promptly(1_000_000, ticking()), pytest.raises(TakesLong):
        compare.evaluate(given)
    assert compare.evaluate(given).value is True


def test_long_texts_are_not_compiled_promptly() -> None:
    text = " || ".join(f"text == 'number {number}'" for number in range(30))
    with promptly(1_000_000, ticking()), pytest.raises(TakesLong):
        ENVIRONMENT.compile(text)
    assert ENVIRONMENT.compile(text).variables == {"text"}


def test_another_thread_is_as_patient_as_ever() -> None:
    results: list[object] = []
    long = program(LONG)
    with promptly(-1):
        thread = Thread(target=lambda: results.append(long.evaluate({"items": list(range(100))}).value))
        thread.start()
        thread.join()
    assert results == [True]


def test_threads_that_nest_deeply_at_once_do_not_take_each_others_room() -> None:
    deep = program("(" * 100 + "size(items)" + " + 1)" * 100 + " > 0")
    failed: list[Exception] = []

    def evaluate() -> None:
        try:
            for _ in range(300):
                assert deep.evaluate({"items": [1]}).value is True
        except Exception as exc:
            failed.append(exc)

    threads = [Thread(target=evaluate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
