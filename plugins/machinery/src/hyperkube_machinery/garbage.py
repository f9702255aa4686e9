"""How often Python looks for garbage that reference counts don't free."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["collecting_seldom"]

_STARTING = (1_000_000, 10, 10)
"""A start makes less than that and keeps most of it: nothing is looked at, unless it waits for others for long."""

# New containers before the youngest are looked at, and how many such looks make one at the next older. By Python's own
# 700 and 10 every fifth request paid for a look, and the trees of requests that waited were taken for old: creations
# by 64 clients were a third slower, with pauses twice as long. Beyond these, closed connections pile up, and a look at
# the middle generation, of 50,000 containers by these, holds the event loop for longer than others can bear.
_THRESHOLDS = (10_000, 5, 200)


@contextmanager
def collecting_seldom() -> Iterator[Callable[[], None]]:
    """For the length of the block; hardly at all until what it yields is called, when all that a start makes is there.

    What lives by then (modules, tables, roles) is not looked at in the rest of the block either. It may be called
    again, when there is more of that kind.
    """
    before = gc.get_threshold()
    gc.set_threshold(*_STARTING)

    def started() -> None:
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)

    try:
        yield started
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
