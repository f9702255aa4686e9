"""What the benches of single functions share: how one is timed, and how what was found is told."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Timed:
    """How long something takes, and how long it is meant to take at most, in microseconds."""

    what: str
    took: float
    limit: float

    @property
    def kept(self) -> bool:
        return self.took <= self.limit

    def __str__(self) -> str:
        return f"{self.what:<44} {self.took:9.2f} µs   {'ok' if self.kept else 'MISSED'} (at most {self.limit:g} µs)"


class Figure(Protocol):
    """Shown as its text."""

    @property
    def kept(self) -> bool:
        """Whether it is within its limit."""


def microseconds(call: Callable[[], object], *, calls: int, repeats: int) -> float:
    """What one call takes, in the quickest of `repeats` rounds of `calls`."""
    return min(timeit.repeat(call, number=calls, repeat=repeats)) / calls * 1e6


def report(figures: Iterable[Figure]) -> int:
    """Print the figures as they come; 1 if one misses its limit."""
    missed = False
    for figure in figures:
        print(figure)
        missed = missed or not figure.kept
    return int(missed)
