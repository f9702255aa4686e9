"""Wakes whoever waits for something to change."""

from __future__ import annotations

import asyncio

__all__ = ["Bell"]


class Bell:
    """Rung often and waited for seldom: ringing makes nothing where nobody waits."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def ring(self) -> None:
        """Wake all who wait now."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                if not one.done():
                    one.set_result(None)

    async def wait(self) -> None:
        """Return when it rings next; what rang before isn't heard."""
        one = asyncio.get_running_loop().create_future()
        self._waiting.append(one)
        await one
