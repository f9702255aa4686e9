"""Snapshots as clients save them: the store's file, and behind it the SHA-256 of it, by which it is known to be whole.

Source: go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc/maintenance.go, etcdutl/v3/snapshot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Damaged", "check", "pieces"]

_PIECE = 64 * 1024
_PAGE = 512  # bytes, of which a store's file has a whole number
_DIGEST = hashlib.sha256().digest_size


class Damaged(Exception):
    """A snapshot is not what was saved; the message says which one."""


def pieces(store: Path) -> Iterator[tuple[bytes, int]]:
    """What a snapshot of the file `store` consists of, and how many bytes of the file come after each piece."""
    digest, left = hashlib.sha256(), store.stat().st_size
    with store.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            left -= len(piece)
            yield piece, left
    yield digest.digest(), 0


def check(snapshot: Path) -> None:
    """Raise Damaged unless a snapshot is whole, and OSError where it can't be read. A store's file alone passes."""
    size = snapshot.stat().st_size
    if size % _PAGE == 0:
        return
    digest, left = hashlib.sha256(), size - _DIGEST
    with snapshot.open("rb") as file:
        while left > 0 and (piece := file.read(min(_PIECE, left))):
            digest.update(piece)
            left -= len(piece)
        if file.read() != digest.digest():
            raise Damaged(f"the snapshot {snapshot} is not whole: its digest is of something else; use another one")
