"""Keeping what takes long from taking all the time, or the event loop.

The larger an owner, the longer a look at it takes, and the more changes call for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from hyperkube_machinery.clock import Clock

__all__ = ["Pacing", "aside"]

P = ParamSpec("P")
T = TypeVar("T")

_REST = 4.0  # times as long as the last look took: looks at one owner take at most a fifth of the time
_SHORT_SECONDS = 0.005
_MANY = 500  # objects that are gone through at once without others noticing


class Pacing:
    """How long to leave each owner alone after a look that took long. Short looks may follow at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rest_until: dict[str, float] = {}

    @contextmanager
    def look(self, key: str) -> Iterator[None]:
        """A look at the owner, for the length of the block."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            now = self._clock.monotonic()
            if now - began > _SHORT_SECONDS:
                self._rest_until[key] = now + _REST * (now - began)
            else:
                self._rest_until.pop(key, None)

    def wait(self, key: str) -> float:
        """Seconds until a change is worth the next look."""
        return max(0.0, self._rest_until.get(key, 0.0) - self._clock.monotonic())

    def forget(self, key: str) -> None:
        self._rest_until.pop(key, None)


async def aside(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `function` returns; for a large `size` it is computed in a thread, so that others have their turns.

    It must only read what nobody changes.
    """
    if size <= _MANY:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
