"""How large values may be and what evaluations may cost, as ranges that never overflow.

Sizes are those of `size()`: code points, bytes, items, entries. Source: cel-go's checker/cost.go; the arithmetic stops
at the largest unsigned 64-bit number, which means: nobody knows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["REGEX_FACTOR", "STRING_FACTOR", "UNBOUNDED", "CallEstimate", "Cost", "Size"]

UNBOUNDED = 2**64 - 1
STRING_FACTOR = 0.1
"""What one code point of a string costs to walk over."""
REGEX_FACTOR = 0.25
"""What one code point of a pattern multiplies the cost of matching by."""


@dataclass(frozen=True, slots=True)
class Size:
    """The least and the greatest size a value may have."""

    min: int
    max: int

    @classmethod
    def exactly(cls, size: int) -> Size:
        return cls(size, size)

    @classmethod
    def unknown(cls) -> Size:
        return cls(0, UNBOUNDED)

    def __add__(self, other: Size) -> Size:
        return Size(_add(self.min, other.min), _add(self.max, other.max))

    def __mul__(self, other: Size) -> Size:
        return Size(_multiply(self.min, other.min), _multiply(self.max, other.max))

    def __or__(self, other: Size) -> Size:
        """The range that covers both."""
        return Size(min(self.min, other.min), max(self.max, other.max))

    def times(self, cost: Cost) -> Cost:
        """What it costs to spend `cost` once for each of them."""
        return Cost(_multiply(self.min, cost.min), _multiply(self.max, cost.max))

    def by_factor(self, factor: float) -> Cost:
        """What it costs to spend `factor` for each of them, rounded up."""
        return Cost(_by_factor(self.min, factor), _by_factor(self.max, factor))


@dataclass(frozen=True, slots=True)
class Cost:
    """The least and the greatest an evaluation may cost."""

    min: int
    max: int

    @classmethod
    def exactly(cls, cost: int) -> Cost:
        return cls(cost, cost)

    @classmethod
    def unknown(cls) -> Cost:
        return cls(0, UNBOUNDED)

    def __add__(self, other: Cost) -> Cost:
        return Cost(_add(self.min, other.min), _add(self.max, other.max))

    def __mul__(self, other: Cost) -> Cost:
        return Cost(_multiply(self.min, other.min), _multiply(self.max, other.max))

    def __or__(self, other: Cost) -> Cost:
        """The range that covers both."""
        return Cost(min(self.min, other.min), max(self.max, other.max))

    def by_factor(self, factor: float) -> Cost:
        return Cost(_by_factor(self.min, factor), _by_factor(self.max, factor))


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """What a call may cost without its arguments, and how large its result may be (None: nobody knows)."""

    cost: Cost
    result: Size | None = None


def _add(a: int, b: int) -> int:
    return min(a + b, UNBOUNDED)


def _multiply(a: int, b: int) -> int:
    return min(a * b, UNBOUNDED)


def _by_factor(size: int, factor: float) -> int:
    return min(math.ceil(float(size) * factor), UNBOUNDED)
