"""How often Python looks for garbage that reference counts don't free."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["collecting_seldom"]

# New containers before the youngest are looked at, and how many such looks make one at the next older. By Python's own
# 700 and 10 every fifth request paid for a look, and the trees of requests that waited were taken for old: creations
# by 64 clients were a third slower, with pauses twice as long. Beyond these, closed connections pile up.
_THRESHOLDS = (10_000, 20, 50)


@contextmanager
def collecting_seldom() -> Iterator[Callable[[], None]]:
    """For the length of the block; not at all until what it yields is called, when all that a start makes is there.

    What lives by then (modules, tables, roles) is not looked at in the rest of the block either.
    """
    before = gc.get_threshold()
    gc.disable()

    def started() -> None:
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.enable()

    try:
        yield started
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        gc.enable()
