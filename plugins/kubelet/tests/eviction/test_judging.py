"""Which thresholds are met, for how long, and what the node says of it."""

from __future__ import annotations

import pytest

from hyperkube_kubelet.eviction.judging import Judgement, Memory, judge, met
from hyperkube_kubelet.eviction.signals import Observation, observe
from hyperkube_kubelet.thresholds import Amount, Signal, Threshold

from .figures import GI, MI, disk, node_figures

HARD = Threshold(signal="memory.available", least=Amount(100))
SOFT = Threshold(signal="memory.available", least=Amount(200), grace_seconds=30.0)
DISK = Threshold(signal="nodefs.available", least=Amount(share=0.1))


def seen(available: int, *, at: float, signal: Signal = "memory.available") -> dict[Signal, Observation]:
    return {signal: Observation(available, 1000, at)}


class Watch:
    """Judges one time after the other."""

    def __init__(self, *thresholds: Threshold, transition_seconds: float = 60.0) -> None:
        self.thresholds = thresholds
        self.transition_seconds = transition_seconds
        self.memory = Memory()

    def at(self, now: float, available: int, *, measured: float | None = None) -> Judgement:
        observations = seen(available, at=now if measured is None else measured)
        found = judge(self.thresholds, observations, self.memory, now=now, transition_seconds=self.transition_seconds)
        self.memory = found.memory
        return found


@pytest.mark.parametrize(
    ("threshold", "available", "is_met"),
    [
        (HARD, 99, True),
        (HARD, 100, False),
        (Threshold(signal="memory.available", least=Amount(share=0.1)), 99, True),
        (Threshold(signal="memory.available", least=Amount(share=0.1)), 100, False),
        (DISK, 1, False),  # nobody measured it
    ],
)
def test_a_threshold_is_met_by_less_than_it(threshold: Threshold, available: int, is_met: bool) -> None:
    assert bool(met([threshold], seen(available, at=1))) == is_met


def test_a_hard_threshold_is_acted_on_at_once() -> None:
    found = Watch(HARD).at(10, 50)
    assert found.crossed == (HARD,)
    assert found.conditions == {"MemoryPressure"}


def test_a_soft_threshold_is_acted_on_after_its_grace_without_a_break() -> None:
    watch = Watch(SOFT)
    assert watch.at(0, 150).crossed == ()
    assert watch.at(20, 150).conditions == {"MemoryPressure"}  # told of from the first moment
    assert watch.at(25, 300).crossed == ()
    assert watch.at(30, 150).crossed == ()  # it begins anew
    assert watch.at(59, 150).crossed == ()
    assert watch.at(60, 150).crossed == (SOFT,)


def test_a_shortage_is_over_once_so_much_more_is_there() -> None:
    threshold = Threshold(signal="memory.available", least=Amount(100), reclaim=Amount(50))
    watch = Watch(threshold, transition_seconds=0)
    assert watch.at(0, 120).crossed == ()
    assert watch.at(1, 99).crossed == (threshold,)
    assert watch.at(2, 149).crossed == (threshold,)
    assert watch.at(3, 150).conditions == frozenset()
    assert watch.at(4, 120).crossed == ()


def test_a_condition_lasts_for_the_transition_period() -> None:
    watch = Watch(HARD, transition_seconds=60)
    watch.at(0, 50)
    assert watch.at(59, 500).conditions == {"MemoryPressure"}
    assert watch.at(60, 500).conditions == frozenset()
    watch.at(100, 50)
    watch.at(120, 50)
    assert watch.at(179, 500).conditions == {"MemoryPressure"}


def test_of_one_measurement_nobody_is_evicted_twice() -> None:
    watch = Watch(HARD)
    assert watch.at(0, 50, measured=7).crossed == (HARD,)
    later = watch.at(10, 50, measured=7)
    assert later.crossed == ()
    assert later.conditions == {"MemoryPressure"}
    assert watch.at(20, 50, measured=8).crossed == (HARD,)


def test_memory_goes_before_all_else() -> None:
    observations = {**seen(50, at=1), **seen(5, at=1, signal="nodefs.available")}
    found = judge([DISK, HARD], observations, Memory(), now=1, transition_seconds=0)
    assert found.crossed == (HARD, DISK)
    assert found.conditions == {"MemoryPressure", "DiskPressure"}


def test_signals_are_what_figures_say() -> None:
    figures = node_figures(
        memory_free=300 * MI,
        nodefs=disk(free=20 * GI, inodes_free=40),
        imagefs=disk(free=30 * GI, inodes_free=50),
        processes=990,
    )
    found = {signal: (one.available, one.capacity) for signal, one in observe(figures).items()}
    assert found == {
        "memory.available": (300 * MI, 8 * GI),
        "nodefs.available": (20 * GI, 100 * GI),
        "nodefs.inodesFree": (40, 1000),
        "imagefs.available": (30 * GI, 100 * GI),
        "imagefs.inodesFree": (50, 1000),
        "containerfs.available": (20 * GI, 100 * GI),
        "containerfs.inodesFree": (40, 1000),
        "pid.available": (10, 1000),
    }
