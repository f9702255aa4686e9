"""Logs of a cluster: a file for each server, its owner's alone, moved aside when it has grown long."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from hyperkube_core._logging import redacted, server_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT_BYTES = 10 << 20
KEPT = 4
"""Files that are kept of a server beside the one that is written: `apiserver.log.1` is the youngest of them."""

OWN = "hk"
"""Where lines go that are no server's."""


class LogFiles:
    """The files of one cluster; takes what its processes write, and what is logged in this one."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES, kept: int = KEPT) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._kept = kept
        self._open: dict[str, tuple[int, int]] = {}  # descriptor, and bytes in the file

    def write(self, label: str, lines: list[bytes]) -> None:
        """Append whole lines of `label`. A full disk is no reason to stop serving, so nothing is raised."""
        if lines:
            text = "".join(redacted(line.decode(errors="replace").rstrip("\r")) + "\n" for line in lines)
            with suppress(OSError):
                self._append(label, text.encode(errors="replace"))

    def _append(self, label: str, data: bytes) -> None:
        descriptor, size = self._open.get(label) or self._opened(label)
        if size and size + len(data) > self._limit:
            os.close(descriptor)
            del self._open[label]
            self._move_aside(label)
            descriptor, size = self._opened(label)
        self._open[label] = (descriptor, size + os.write(descriptor, data))

    def _opened(self, label: str) -> tuple[int, int]:
        path = self._folder / f"{label}.log"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._open[label] = (descriptor, os.fstat(descriptor).st_size)
        return self._open[label]

    def _move_aside(self, label: str) -> None:
        path = self._folder / f"{label}.log"
        for number in range(self._kept, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            newer = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
            with suppress(FileNotFoundError):
                newer.replace(older)

    def close(self) -> None:
        for descriptor, _ in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def handler(self) -> logging.Handler:
        """For what is logged in this process, on behalf of whichever server."""
        return _Handler(self)


class _Handler(logging.Handler):
    def __init__(self, files: LogFiles) -> None:
        super().__init__()
        self._files = files

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        self._files.write(server_name.get() or OWN, text.encode(errors="replace").split(b"\n"))


def last_lines(path: Path, count: int, *, most_bytes: int = 1 << 20) -> list[str]:
    """The last `count` lines of a file, or none where there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - most_bytes))
            data = file.read()
    except OSError:
        return []
    return data.decode(errors="replace").splitlines()[-count:] if count > 0 else []


def logged(folder: Path) -> Iterator[str]:
    """Whose logs there are, hk's own last."""
    labels = sorted(path.name.removesuffix(".log") for path in folder.glob("*.log"))
    yield from (label for label in labels if label != OWN)
    yield from (label for label in labels if label == OWN)
