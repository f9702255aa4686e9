"""Writes containers' logs in CRI's format, and starts a new file when one has grown."""

from __future__ import annotations

import os
import time

__all__ = ["LONGEST_PIECE", "Log"]

LONGEST_PIECE = 16 << 10
"""Bytes of a line after which it is cut, as containerd does."""

_second, _spelled = -1, b""


def _timestamp() -> bytes:
    global _second, _spelled
    second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
    if second != _second:
        _second, _spelled = second, time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)).encode()
    return b"%s%09dZ" % (_spelled, nanosecond)


class Log:
    """The log of one container. A disk that is full costs lines, never the container."""

    def __init__(self, path: str, max_bytes: int, max_files: int) -> None:
        self._path = path
        self._max_bytes, self._max_files = max_bytes, max_files
        self._pending = {"stdout": bytearray(), "stderr": bytearray()}
        self._file = -1
        self._size = 0
        self._open()

    def _open(self) -> None:
        os.makedirs(os.path.dirname(self._path), 0o755, exist_ok=True)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._file).st_size

    def write(self, stream: str, data: bytes) -> None:
        """Take note of `data`; whole lines, and pieces that are long enough, are written at once."""
        pending = self._pending[stream]
        pending += data
        if len(pending) < LONGEST_PIECE and b"\n" not in data:
            return
        whole, feed, rest = pending.rpartition(b"\n")
        head = b"%s %s " % (_timestamp(), stream.encode())
        out: list[bytes] = []
        for line in whole.split(b"\n") if feed else ():
            begin = 0
            while len(line) - begin > LONGEST_PIECE:
                out += (head, b"P ", bytes(line[begin : begin + LONGEST_PIECE]), b"\n")
                begin += LONGEST_PIECE
            out += (head, b"F ", bytes(line[begin:]), b"\n")
        while len(rest) >= LONGEST_PIECE:
            out += (head, b"P ", bytes(rest[:LONGEST_PIECE]), b"\n")
            rest = rest[LONGEST_PIECE:]
        self._pending[stream] = bytearray(rest)
        self._append(b"".join(out))

    def end(self, stream: str) -> None:
        """Write what is left of a stream that has ended: a line without a line feed."""
        rest = self._pending[stream]
        if rest:
            self._append(b"%s %s F %s\n" % (_timestamp(), stream.encode(), rest))
            self._pending[stream] = bytearray()

    def close(self) -> None:
        for stream in self._pending:
            self.end(stream)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _append(self, data: bytes) -> None:
        try:
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            if self._file < 0:
                self._open()
            self._size += os.write(self._file, data)
        except OSError:
            pass

    def _rotate(self) -> None:
        """Put the file aside, named by the time, and remove the oldest of those that were put aside."""
        os.close(self._file)
        self._file = -1
        second, nanosecond = divmod(time.time_ns(), 1_000_000_000)
        aside = time.strftime("%Y%m%d-%H%M%S", time.gmtime(second))
        os.rename(self._path, f"{self._path}.{aside}.{nanosecond:09d}")
        folder, name = os.path.split(self._path)
        old = sorted(entry for entry in os.listdir(folder) if entry.startswith(f"{name}."))
        for entry in old[: max(0, len(old) - (self._max_files - 1))]:
            os.unlink(os.path.join(folder, entry))
        self._open()
