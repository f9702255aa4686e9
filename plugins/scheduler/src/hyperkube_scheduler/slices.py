"""Long work in slices: a generator that yields wherever the event loop may have its turn, and returns what it found.

A slice is meant to take well under a millisecond; whoever drives the work decides how many to run in one go.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

__all__ = ["Slices", "finish"]

T = TypeVar("T")

Slices: TypeAlias = Generator[None, None, T]


def finish(work: Slices[T]) -> T:
    """Run it in one go."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: T = end.value
            return found
