"""Sets of the indexes of a job's pods, as its status writes them: `0,2-5,7`. Computed from values.

Source: k8s.io/kubernetes/pkg/controller/job/{indexed_job_utils,success_policy}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["NO_INDEXES", "Indexes", "first_free"]

Interval = tuple[int, int]  # first and last


@dataclass(frozen=True, slots=True)
class Indexes:
    """Intervals in order, none touching another: of a million indexes mostly few have to be kept."""

    intervals: tuple[Interval, ...] = ()

    @classmethod
    def parse(cls, text: str, completions: int) -> Indexes:
        """Those below `completions`; what can't be read is left out."""
        return cls(tuple(_merged(_intervals(text, completions))))

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Indexes:
        return cls(tuple(_merged((number, number) for number in sorted(numbers))))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.intervals)

    def __contains__(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self.intervals)

    def __or__(self, other: Indexes) -> Indexes:
        return Indexes(tuple(_merged(sorted((*self.intervals, *other.intervals)))))

    def in_common(self, other: Indexes) -> int:
        """How many are in both."""
        return sum(
            max(0, min(last, its_last) - max(first, its_first) + 1)
            for first, last in self.intervals
            for its_first, its_last in other.intervals
        )

    def __str__(self) -> str:
        return ",".join(_shown(interval) for interval in self.intervals)


NO_INDEXES = Indexes()


def _intervals(text: str, completions: int) -> Iterator[Interval]:
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            continue
        if int(first) >= completions:
            return
        yield int(first), min(int(last or first), completions - 1)


def _merged(ordered: Iterable[Interval]) -> Iterator[Interval]:
    current: Interval | None = None
    for first, last in ordered:
        if current is None or first > current[1] + 1:
            if current is not None:
                yield current
            current = (first, last)
        else:
            current = (current[0], max(current[1], last))
    if current is not None:
        yield current


def _shown(interval: Interval) -> str:
    first, last = interval
    if first == last:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def first_free(taken: Indexes, completions: int, count: int) -> list[int]:
    """The lowest `count` indexes below `completions` that are not taken."""
    free: list[int] = []
    candidate = 0
    for first, last in (*taken.intervals, (completions, completions)):
        free += range(candidate, min(first, completions, candidate + count - len(free)))
        candidate = max(candidate, last + 1)
    return free
