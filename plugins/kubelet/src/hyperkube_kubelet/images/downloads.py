"""Blobs on their way from a registry: kept by their digests, and gone on with where an earlier try broke off.

    FOLDER/sha256-HEX.part    the beginning of a blob
    FOLDER/sha256-HEX         a blob that is whole, and is what its digest says

They stay until the image they are for is unpacked; what was left otherwise is removed after a day.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

from hyperkube_kubelet.images.distribution import ANSWER_SECONDS, Repository
from hyperkube_kubelet.images.errors import PullFailed, Unreachable
from hyperkube_kubelet.images.manifests import Descriptor
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.exchange import ExchangeError
from hyperkube_machinery.files import make_private_directory

__all__ = ["Downloads"]

_TRIES = 5
_FIRST_PAUSE = 0.25
_FORGOTTEN_SECONDS = 24 * 3600.0
_PIECE = 1 << 20
_AT_A_TIME = 3


class Downloads:
    """The blobs in one folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock
        self._busy: dict[str, asyncio.Lock] = {}
        self._lines = asyncio.Semaphore(_AT_A_TIME)

    def path(self, digest: str) -> Path:
        return self.folder / digest.replace(":", "-")

    def open(self, digest: str) -> IO[bytes]:
        """A whole blob. Raises OSError."""
        return self.path(digest).open("rb")

    async def fetch(self, repository: Repository, blob: Descriptor) -> None:
        """Have a blob whole. Raises PullFailed and OSError."""
        make_private_directory(self.folder)
        self._forget_old()
        async with self._alone(blob.digest), self._lines:
            if not self.path(blob.digest).exists():
                await self._fetch(repository, blob)

    def discard(self, digests: Iterable[str]) -> None:
        """Remove whole blobs, and what there is of others."""
        for digest in digests:
            for path in (self.path(digest), self._part(digest)):
                with suppress(OSError):
                    path.unlink()

    @asynccontextmanager
    async def _alone(self, digest: str) -> AsyncIterator[None]:
        """Two images that share a layer don't fetch it twice."""
        lock = self._busy.setdefault(digest, asyncio.Lock())
        async with lock:
            yield
        if not lock.locked():
            self._busy.pop(digest, None)

    def _part(self, digest: str) -> Path:
        path = self.path(digest)
        return path.with_name(f"{path.name}.part")

    async def _fetch(self, repository: Repository, blob: Descriptor) -> None:
        part = self._part(blob.digest)
        for left in reversed(range(_TRIES)):
            try:
                await self._continue(repository, blob, part)
                break
            except Unreachable:
                if not left:
                    raise
                await self._clock.sleep(_FIRST_PAUSE * 2 ** (_TRIES - 1 - left))
        found = await asyncio.to_thread(_digest, part)
        if found != blob.digest:
            part.unlink()
            raise PullFailed(f"failed to copy: unexpected commit digest {found}, expected {blob.digest}")
        part.replace(self.path(blob.digest))

    async def _continue(self, repository: Repository, blob: Descriptor, part: Path) -> None:
        """Append what is missing. Raises Unreachable where it breaks off."""
        there = _size(part)
        if there == blob.size:
            return
        if 0 <= blob.size < there:
            there = 0
        async with repository.blob(blob.digest, there) as (answer, begins):
            with part.open("ab") as file:
                file.truncate(begins)
                pieces = answer.pieces()
                while True:
                    try:
                        piece = await within(self._clock, ANSWER_SECONDS, anext(pieces, b""))
                    except (ExchangeError, TimeoutError) as exc:
                        raise Unreachable(f"failed to copy: {exc}") from exc
                    if not piece:
                        break
                    begins += len(piece)
                    if 0 <= blob.size < begins:
                        file.truncate(0)
                        raise PullFailed(f"failed to copy: blob {blob.digest} is longer than {blob.size} bytes")
                    file.write(piece)
        if blob.size >= 0 and begins < blob.size:
            raise Unreachable(f"failed to copy: unexpected EOF after {begins} of {blob.size} bytes")

    def _forget_old(self) -> None:
        for entry in os.scandir(self.folder):
            with suppress(OSError):
                if entry.stat().st_mtime < time.time() - _FORGOTTEN_SECONDS:
                    os.unlink(entry.path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
