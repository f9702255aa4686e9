"""A process's streams, from the side of whoever uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Session", "Stream", "Streams", "StreamsError"]

Stream = Literal["stdout", "stderr"]


class StreamsError(ValueError):
    """What is asked for makes no sense; the text is upstream's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Which streams somebody wants."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    @classmethod
    def of(cls, query: Mapping[str, Sequence[str]]) -> Streams:
        """Those of a request to a kubelet. Raises StreamsError. Source: NewOptions."""
        wanted = {name: query.get(name, ("",))[0] == "1" for name in ("input", "output", "error", "tty")}
        stderr = wanted["error"] and not wanted["tty"]  # a terminal has one output
        if not (wanted["input"] or wanted["output"] or stderr):
            raise StreamsError("you must specify at least 1 of stdin, stdout, stderr")
        return cls(stdin=wanted["input"], stdout=wanted["output"], stderr=stderr, tty=wanted["tty"])


class Session(Protocol):
    """Somebody's streams to and from a process."""

    def output(self) -> AsyncIterator[tuple[Stream, bytes]]:
        """What it writes, until it has closed both streams. Everything comes as stdout where there is a terminal.

        The process waits while nobody takes what it wrote.
        """

    async def write(self, data: bytes) -> None:
        """Write to its input; returns when there is room for more. Dropped where the process reads no more."""

    async def close_input(self) -> None:
        """Let it read the end of its input."""

    async def resize(self, columns: int, rows: int) -> None:
        """Set the size of its terminal; nothing happens where it has none."""

    async def wait(self) -> int:
        """The exit code, once the process has ended; 128 + the signal's number where a signal ended it.

        Whoever waits takes the output too: how a process far away ended comes behind what it wrote.
        """
