"""Reads the log of a container, from where it is asked to and, if asked, as it is written.

Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime/logs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hyperkube_kubelet.runtime.logformat import MalformedLine, parse
from hyperkube_machinery import timestamps
from hyperkube_machinery.clock import Clock

__all__ = ["LogOptions", "LogQueryError", "read_log"]

_PIECE_BYTES = 16 << 10
"""What is read and taken apart at once: others have their turn after each piece."""
_BLOCK_BYTES = 64 << 10
_LOOK_SECONDS = 0.1
"""How often a log that is followed is looked at."""

Query = Mapping[str, Sequence[str]]


class LogQueryError(ValueError):
    """A query that can't be read or makes no sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What of a log is wanted. Source: PodLogOptions in k8s.io/api/core/v1."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: float = 0.0  # seconds since 1970: what is older is left out
    tail: int | None = None  # only that many lines, the last ones
    limit: int | None = None  # only that many bytes
    stream: str = ""  # stdout or stderr, "" for both

    @classmethod
    def of(cls, query: Query, now: float) -> LogOptions:
        """Raises LogQueryError."""
        numbers = {name: _number(query, name) for name in ("tailLines", "limitBytes", "sinceSeconds")}
        if query.get("tail") and query["tail"][0] != "all":
            numbers["tailLines"] = _number(query, "tail")
        tail, limit, seconds = numbers["tailLines"], numbers["limitBytes"], numbers["sinceSeconds"]
        if (
            (tail is not None and tail < 0)
            or (limit is not None and limit < 1)
            or (seconds is not None and seconds < 1)
        ):
            raise LogQueryError('{"message": "Invalid request."}')
        since = 0.0 if seconds is None else now - seconds
        if text := _text(query, "sinceTime"):
            try:
                since = timestamps.parse(text)
            except timestamps.TimestampError as exc:
                raise LogQueryError('{"message": "Unable to decode query."}') from exc
        stream = _text(query, "stream")
        if stream not in ("", "All", "Stdout", "Stderr"):
            raise LogQueryError(f'invalid stream type "{stream}"')
        return cls(
            follow=_flag(query, "follow"),
            previous=_flag(query, "previous"),
            timestamps=_flag(query, "timestamps"),
            since=since,
            tail=tail,
            limit=limit,
            stream=stream.lower().removeprefix("all"),
        )


def _text(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def _flag(query: Query, name: str) -> bool:
    return _text(query, name).lower() in ("true", "1", "t")


def _number(query: Query, name: str) -> int | None:
    text = _text(query, name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise LogQueryError('{"message": "Unable to decode query."}') from None


async def read_log(
    path: Path, options: LogOptions, clock: Clock, runs: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """What was written, as `options` say, in pieces of whole lines; nothing where there is no file.

    A log that is followed ends once `runs` says that the container has ended and all it wrote is read. When the file is
    replaced by a new one, as a log that has grown is, reading goes on in that.
    """
    writer = _Writer(options)
    file = _open(path)
    try:
        if file is not None and options.tail is not None:
            file.seek(_tail_start(file, options.tail))
        while True:
            running = options.follow and await runs()  # asked first: what comes after that is all there is
            if file is None:
                file = _open(path)
            if file is not None:
                for piece in _read(file, writer):
                    if piece:
                        yield piece
                    await asyncio.sleep(0)
                if writer.full:
                    return
                if _replaced(file, path):
                    for piece in _read(file, writer):
                        if piece:
                            yield piece
                        await asyncio.sleep(0)
                    file.close()
                    file = None
                    continue
            if not running:
                return
            await clock.sleep(_LOOK_SECONDS)
    finally:
        if file is not None:
            file.close()


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _replaced(file: BinaryIO, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False  # between two names
    return not os.path.samestat(there, os.fstat(file.fileno()))


def _tail_start(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines begin."""
    end = file.seek(0, os.SEEK_END)
    if lines == 0:
        return end
    wanted, position = lines + 1, end
    while position > 0:
        start = max(0, position - _BLOCK_BYTES)
        file.seek(start)
        block = file.read(position - start)
        found = block.count(b"\n")
        if found >= wanted:
            at = len(block)
            for _ in range(wanted):
                at = block.rindex(b"\n", 0, at)
            return start + at + 1
        wanted -= found
        position = start
    return 0


def _read(file: BinaryIO, writer: _Writer) -> Iterator[bytes]:
    """What was written since, up to the last whole line, piece by piece; b"" for one of which nothing is shown."""
    while not writer.full:
        begin = file.tell()
        lines = file.readlines(_PIECE_BYTES)
        if lines and not lines[-1].endswith(b"\n"):
            file.seek(begin + sum(map(len, lines[:-1])))
            yield writer.take(lines[:-1])
            return
        if not lines:
            return
        yield writer.take(lines)


class _Writer:
    """Makes of the log's lines what is to be shown."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._left = options.limit
        self._inside: set[str] = set()  # streams that are in the middle of a line

    @property
    def full(self) -> bool:
        return self._left == 0

    def take(self, lines: Sequence[bytes]) -> bytes:
        shown = b"".join(map(self._shown, lines))
        if self._left is not None:
            shown = shown[: self._left]
            self._left -= len(shown)
        return shown

    def _shown(self, raw: bytes) -> bytes:
        options = self._options
        try:
            line = parse(raw)
        except MalformedLine:  # not what the runtime wrote
            return b""
        if options.stream and line.stream != options.stream:
            return b""
        if options.since and timestamps.parse(line.timestamp) < options.since:
            return b""
        begins = line.stream not in self._inside
        if line.text.endswith(b"\n"):
            self._inside.discard(line.stream)
        else:
            self._inside.add(line.stream)
        return line.timestamp.encode() + b" " + line.text if options.timestamps and begins else line.text
