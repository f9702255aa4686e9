"""Collecting seldom, and as before afterwards."""

from __future__ import annotations

import gc
from contextlib import suppress

from hyperkube_machinery.garbage import collecting_seldom


def test_nothing_is_collected_during_a_start() -> None:
    looks: list[str] = []

    def look(phase: str, info: dict[str, int]) -> None:
        looks.append(phase)

    gc.callbacks.append(look)
    try:
        with collecting_seldom() as started:
            kept = [[number] for number in range(100_000)]
            assert not looks
            started()
            kept += [[number] for number in range(100_000)]
            assert looks
    finally:
        gc.callbacks.remove(look)


def test_a_start_that_waits_for_long_does_not_pile_up_garbage() -> None:
    with collecting_seldom():
        assert gc.isenabled()
        assert gc.get_threshold()[0] > 0


def test_a_start_that_fails_leaves_collecting_as_it_was() -> None:
    before = gc.get_threshold()
    with suppress(OSError), collecting_seldom():
        raise OSError
    assert gc.isenabled()
    assert gc.get_threshold() == before


def test_what_was_there_is_left_alone_for_the_length_of_the_block_only() -> None:
    before = gc.get_threshold(), gc.get_freeze_count()
    with collecting_seldom() as started:
        started()
        assert gc.get_threshold()[0] > before[0][0]
        assert gc.get_freeze_count() > before[1] + 10_000
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before[0], 0)


def test_garbage_of_the_meantime_is_found() -> None:
    class Cycle(list[object]):
        pass

    with collecting_seldom() as started:
        started()
        cycle = Cycle()
        cycle.append(cycle)
        del cycle
        assert gc.collect() > 0
