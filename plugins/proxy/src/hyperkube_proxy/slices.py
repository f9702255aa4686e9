"""Work in slices, so that others have the loop between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import ParamSpec, TypeVar

__all__ = ["aside", "sliced"]

_AT_ONCE = 50

_T = TypeVar("_T")
_P = ParamSpec("_P")


async def sliced(items: Iterable[_T]) -> AsyncIterator[_T]:
    """Each of `items`, which are looked at beforehand; now and then others have a turn."""
    for number, item in enumerate(tuple(items), 1):
        yield item
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


async def aside(size: int, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """What a pure function returns; in a thread where so much is to be done that it would hold the loop."""
    if size <= _AT_ONCE:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
