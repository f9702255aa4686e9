"""Waiting for what nothing tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["until"]

_SECONDS = 10.0
"""Real time: how long a test waits for what should have happened."""


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go on until `condition` holds, such as that a peer's bytes have arrived."""
    async with asyncio.timeout(_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is under test has no event for it
            await asyncio.sleep(0)
