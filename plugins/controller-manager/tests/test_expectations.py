from __future__ import annotations

import threading

import pytest

from hyperkube_controller_manager.expectations import Expectations
from hyperkube_controller_manager.pacing import Pacing, aside
from hyperkube_controller_manager.retries import Retries


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here sleeps")


def test_an_owner_waits_for_all_it_asked_for() -> None:
    expectations = Expectations(Clock())
    assert expectations.satisfied("a")
    expectations.expect("a", creations=2, deletions=["x", "y"])
    expectations.created("a", 2)
    expectations.deleted("a", "x")
    assert not expectations.satisfied("a")
    assert expectations.satisfied("b")
    expectations.deleted("a", "y")
    assert expectations.satisfied("a")


def test_one_deletion_seen_twice_is_one() -> None:
    expectations = Expectations(Clock())
    expectations.expect("a", deletions=["x", "y"])
    expectations.deleted("a", "x")  # its timestamp
    expectations.deleted("a", "x")  # its end
    assert not expectations.satisfied("a")


def test_what_was_not_asked_for_is_not_counted() -> None:
    expectations = Expectations(Clock())
    expectations.created("a")
    expectations.expect("a", creations=1)
    assert not expectations.satisfied("a")


def test_nobody_waits_for_ever() -> None:
    clock = Clock()
    expectations = Expectations(clock)
    expectations.expect("a", creations=1)
    clock.time = 300.0
    assert not expectations.satisfied("a")
    clock.time = 300.1
    assert expectations.satisfied("a")


def test_an_owner_of_the_same_name_starts_afresh() -> None:
    expectations = Expectations(Clock())
    expectations.expect("a", creations=1)
    expectations.forget("a")
    assert expectations.satisfied("a")


def test_retries_come_ever_slower_and_start_afresh_after_a_long_rest() -> None:
    clock = Clock()
    retries = Retries(clock, first=1.0, longest=4.0)
    waits = []
    for _ in range(5):
        assert retries.next("a") == 0.0
        waits.append(retries.next("a"))
        clock.time += waits[-1]
    assert waits == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert retries.next("b") == 0.0
    clock.time += 8.1
    assert retries.next("a") == 0.0
    assert retries.next("a") == 1.0


def test_an_owner_rests_after_a_look_that_took_long() -> None:
    clock = Clock()
    pacing = Pacing(clock)
    assert pacing.wait("a") == 0.0
    with pacing.look("a"):
        clock.time += 0.25
    assert pacing.wait("a") == 1.0
    assert pacing.wait("b") == 0.0
    clock.time += 0.75
    assert pacing.wait("a") == 0.25
    with pacing.look("a"):
        clock.time += 0.001
    assert pacing.wait("a") == 0.0


@pytest.mark.anyio
async def test_what_takes_long_is_computed_aside() -> None:
    assert await aside(10, threading.get_ident) == threading.get_ident()
    assert await aside(10_000, threading.get_ident) != threading.get_ident()
