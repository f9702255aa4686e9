"""A file that is begun anew when it is full; what is full is kept for a while, under the time when it was.

    audit.log ─full─▶ audit-2026-01-02T03-04-05.678.log ─compress─▶ ….log.gz ─too old, too many─▶ gone

Source: gopkg.in/natefinch/lumberjack.v2, which upstream's files are written with.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from hyperkube_machinery.clock import Clock

__all__ = ["LogFile", "Retention", "StandardOutput"]

log = logging.getLogger(__name__)

_MEGABYTE = 1 << 20
_STAMP = "%Y-%m-%dT%H-%M-%S"
_PRIVATE = 0o600
_CLOSED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """When a file is full, and for how long full ones are kept. 0 is for ever, or for any number."""

    megabytes: int
    days: int
    files: int
    compress: bool


class LogFile:
    """Lines are written to it at once, so that they are there whatever becomes of the server then.

    What writes may be a thread; the rest is the event loop's.
    """

    def __init__(self, path: Path, retention: Retention, clock: Clock) -> None:
        """Open it, for its owner alone if it is new. Raises OSError."""
        self._path = path
        self._retention = retention
        self._clock = clock
        self._tidy = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self._opened()
        self._size = os.fstat(self._file).st_size
        self._before = b"\n" if self._ends_within_a_line() else b""
        self._tidy.set()  # what an earlier server left may be too old by now

    def _opened(self) -> int:
        return os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, _PRIVATE)

    def _ends_within_a_line(self) -> bool:
        """Whether an earlier server was killed at one, which must not spoil the next."""
        if not self._size:  # nor is it a file then, maybe
            return False
        try:
            with self._path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:  # it may be there for writing alone
            return False

    def write(self, data: bytes) -> None:
        """Append whole lines, or nothing. Raises OSError."""
        if self._file == _CLOSED:
            raise OSError("the file is closed, for the server ends")
        most = self._retention.megabytes * _MEGABYTE
        if most and len(data) > most:
            raise OSError(f"write length {len(data)} exceeds maximum file size {most}")
        if most and self._size + len(data) > most:
            self._begin_anew()
        left = whole = self._before + data
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            if left is not whole:  # the beginning of a line must not become that of the next
                with suppress(OSError):
                    os.ftruncate(self._file, self._size)
            raise
        self._before = b""
        self._size += len(whole)

    def _begin_anew(self) -> None:
        """Put the file aside and begin another."""
        mode = os.fstat(self._file).st_mode & 0o777
        self._path.rename(self._aside())
        fresh = self._opened()
        os.fchmod(fresh, mode)
        os.close(self._file)
        self._file, self._size = fresh, 0
        self._loop.call_soon_threadsafe(self._tidy.set)

    def _aside(self) -> Path:
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        while True:
            stamp = f"{now.strftime(_STAMP)}.{now.microsecond // 1000:03d}"
            path = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
            if not path.exists():
                return path
            now += timedelta(milliseconds=1)

    async def run(self) -> NoReturn:
        """Compress and delete what was put aside, until cancelled."""
        while True:
            await self._tidy.wait()
            self._tidy.clear()
            try:
                await asyncio.to_thread(self._tidy_up, self._clock.now())
            except OSError as exc:
                log.warning("old audit logs beside %s can't be tidied up: %s", self._path, exc)

    def close(self) -> None:
        """Write no more."""
        os.close(self._file)
        self._file = _CLOSED

    def _tidy_up(self, now: float) -> None:
        full = self._put_aside()
        kept = self._kept(full, now)
        for when, path in full:
            if (when, path) not in kept:
                path.unlink(missing_ok=True)
        if self._retention.compress:
            for _, path in kept:
                if path.suffix != ".gz":
                    _compress(path)

    def _kept(self, full: Sequence[tuple[datetime, Path]], now: float) -> list[tuple[datetime, Path]]:
        kept = list(full)
        if self._retention.files:
            stamps = sorted({when for when, _ in full}, reverse=True)[: self._retention.files]
            kept = [(when, path) for when, path in kept if when in stamps]
        if self._retention.days:
            oldest = datetime.fromtimestamp(now, UTC) - timedelta(days=self._retention.days)
            kept = [(when, path) for when, path in kept if when >= oldest]
        return kept

    def _put_aside(self) -> list[tuple[datetime, Path]]:
        """The files that were full, each with when it was."""
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        shape = re.compile(rf"{stem}-(\d{{4}}-\d\d-\d\dT\d\d-\d\d-\d\d)\.(\d{{3}}){suffix}(\.gz)?")
        found = []
        for path in self._path.parent.iterdir():
            match = shape.fullmatch(path.name)
            if match is not None:
                when = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
                found.append((when + timedelta(milliseconds=int(match[2])), path))
        return sorted(found)


def _compress(path: Path) -> None:
    """Replace a file by a compressed one, which appears when it is whole."""
    target = path.with_name(f"{path.name}.gz")
    partial = path.with_name(f".{path.name}.gz.partial")
    descriptor = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, _PRIVATE)
    with path.open("rb") as source, os.fdopen(descriptor, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as packed:
        shutil.copyfileobj(source, packed)
    partial.rename(target)
    path.unlink()


class StandardOutput:
    """Writes lines where the server's own standard output goes."""

    def write(self, data: bytes) -> None:
        """Raises OSError."""
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    async def run(self) -> NoReturn:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("a future that nobody sets has a result")

    def close(self) -> None:
        """It is the server's, which goes on writing to it."""
