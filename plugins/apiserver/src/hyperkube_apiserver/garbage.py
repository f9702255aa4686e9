"""How often Python looks for garbage that reference counts don't free."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collecting_seldom"]

# New containers before the youngest are looked at, and how many such looks make one at the next older. By Python's own
# 700 and 10 every fifth request paid for a look, and the trees of requests that waited were taken for old: creations
# by 64 clients were a third slower, with pauses twice as long. Beyond these, closed connections pile up.
_THRESHOLDS = (10_000, 20, 50)


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """For the length of the block; what lives at its begin (modules, tables, roles) is not looked at meanwhile."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
