"""The store that a server was told to use."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.storage.interface import Store

__all__ = ["FILE_NAME", "Backend", "open_store"]

Backend = Literal["sqlite", "memory"]

FILE_NAME = "hk.db"


@asynccontextmanager
async def open_store(backend: Backend, directory: Path, clock: Clock) -> AsyncIterator[Store]:
    """The store, and the data directory for this process alone, for the length of the block.

    The directory is claimed for the memory backend too, for what else a server keeps there.
    Raises DataDirectoryError.
    """
    from hyperkube_machinery.storage.datadir import claim

    with claim(directory) as claimed:
        if backend == "memory":
            from hyperkube_machinery.storage.memory import MemoryStore

            async with MemoryStore.open(clock=clock) as memory:
                yield memory
        else:
            from hyperkube_machinery.storage.sqlite import SQLiteStore

            async with SQLiteStore.open(claimed / FILE_NAME, clock=clock) as sqlite:
                yield sqlite
