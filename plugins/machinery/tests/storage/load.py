"""A program that writes to a store and prints a line for each write, once it was acknowledged. See test_durability.

    python load.py FILE SEED WRITES [unsynced | dies]

`acknowledged REVISION VERB KEY DIGEST`, or `refused VERB KEY WHY`. It ends by printing `told REVISION …`, what a watch
told, and `end`. With `unsynced` the store doesn't sync: what a checker of syncs must find out. With `dies` the program
ends at once, as if killed, when a write was refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.storage import schema
from hyperkube_machinery.storage.interface import Entry, Revision, Store, Unavailable
from hyperkube_machinery.storage.sqlite import SQLiteStore

WRITERS = 8
SIZES = (0, 100, 1500, 1500, 1500, 9000, 60_000)  # of values; some take more than a page


def whole(key: str, body: bytes) -> bytes:
    """A value that tells whether it is whole."""
    return hashlib.sha256(key.encode() + body).digest() + body


def is_whole(entry: Entry) -> bool:
    return entry.value == whole(entry.key, entry.value[32:])


def digest(value: bytes) -> str:
    return value[:32].hex()


def tell(line: str) -> None:
    os.write(1, (line + "\n").encode())  # in one system call, which a tracer sees


async def write(store: Store, keys: Iterator[int], chance: random.Random) -> None:
    mine: list[Entry] = []
    for number in keys:
        verb = chance.choice(("create", "create", "update", "delete")) if mine else "create"
        old = mine.pop(chance.randrange(len(mine))) if verb != "create" else None
        key = old.key if old else f"/registry/load/key-{number:06}-"
        value = whole(key, chance.randbytes(chance.choice(SIZES)))
        try:
            if old is None:
                entry = await store.create(key, value)
            elif verb == "update":
                entry = await store.update(key, value, expected=old.mod_revision)
            else:
                revision = await store.delete(key, expected=old.mod_revision)
                tell(f"acknowledged {revision} delete {key} -")
                continue
        except Unavailable as exc:
            tell(f"refused {verb} {key} {exc}")
            if "dies" in sys.argv[4:]:
                os._exit(0)
            continue
        mine.append(entry)
        tell(f"acknowledged {entry.mod_revision} {verb} {key} {digest(value)}")


async def follow(store: Store, told: list[int], progress: asyncio.Event) -> None:
    async with aclosing(store.watch("/", after=Revision(1))) as watch:
        async for batch in watch:
            told.extend(change.revision for change in batch.changes)
            progress.set()


async def main(path: Path, seed: int, writes: int) -> None:
    chance = random.Random(seed)
    told: list[int] = []
    progress = asyncio.Event()
    async with SQLiteStore.open(path, clock=SystemClock()) as store:
        following = asyncio.create_task(follow(store, told, progress))
        keys = iter(range(writes))
        await asyncio.gather(*(write(store, keys, chance) for _ in range(WRITERS)))
        newest = await store.revision()
        while not told or told[-1] < newest:
            progress.clear()
            await progress.wait()
        following.cancel()
    tell("told " + " ".join(map(str, told)))
    tell("end")


def stop_syncing() -> None:
    connect = schema.connect_writer

    def connect_unsynced(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    schema.connect_writer = connect_unsynced


if __name__ == "__main__":
    if "unsynced" in sys.argv[4:]:
        stop_syncing()
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
