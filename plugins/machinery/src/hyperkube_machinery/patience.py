"""Evaluating promptly or not at all: where somebody waits who has more to do, such as an event loop.

    try:
        with promptly():
            return judge()
    except TakesLong:
        return await asyncio.to_thread(judge)

Evaluating changes nothing, so that what was given up can be begun anew elsewhere. Time is what counts, not cost: a
question to an authorizer costs a third of what an evaluation may cost and takes a microsecond.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["PROMPT_SECONDS", "Patience", "TakesLong", "current", "promptly"]

PROMPT_SECONDS = 0.003
_LONG_TEXT = 500  # characters of an expression that takes milliseconds to compile


class TakesLong(Exception):
    """There was no patience left. Whoever evaluates, or compiles, lets it through."""


class Patience:
    """How much longer what was begun is waited for."""

    __slots__ = ("_end", "_now")

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._now = now
        self._end = now() + seconds

    def check(self) -> None:
        """Raise TakesLong if the time is up."""
        if self._now() > self._end:
            raise TakesLong

    def check_text(self, text: str) -> None:
        """Raise TakesLong also where compiling `text` would take long."""
        if len(text) > _LONG_TEXT:
            raise TakesLong
        self.check()


_current: ContextVar[Patience | None] = ContextVar("patience", default=None)
current = _current.get
"""The patience of whoever waits; None: whatever is begun is waited for."""


@contextmanager
def promptly(seconds: float = PROMPT_SECONDS, now: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    """Have expressions that are compiled and evaluated within the block, which awaits nothing, raise TakesLong.

    They do if `seconds` are not enough for all of them together.
    """
    token = _current.set(Patience(seconds, now))
    try:
        yield
    finally:
        _current.reset(token)
