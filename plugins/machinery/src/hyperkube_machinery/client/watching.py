"""Watches: a stream of lines, each of them an event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from hyperkube_machinery.client.transport import Incoming, Unreachable
from hyperkube_machinery.errors import APIError

__all__ = ["Batch", "WatchEvent", "WatchStream"]


class WatchEvent(NamedTuple):
    """A change as a watch tells of it."""

    type: str  # ADDED, MODIFIED, DELETED or BOOKMARK
    object: dict[str, Any]


class Batch:
    """Events that have come together; each is read when it is its turn.

    What the one before left behind is then still at hand to be used again: read all at once, they took twice as long.
    """

    __slots__ = ("_lines",)

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[WatchEvent]:
        """Raises APIError at an event that tells of an error, and Unreachable at what is no event."""
        return map(_event, self._lines)


class WatchStream:
    """A watch that is open. Whoever has it closes it."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._begun: list[bytes] = []  # of a line whose end hasn't come

    async def batch(self) -> Batch:
        """The events that have come since, at least one; none once the server ended the watch.

        Raises Unreachable if it broke off.
        """
        while data := await self._incoming.read():
            at = data.rfind(b"\n")
            if at < 0:
                self._begun.append(data)
                continue
            whole = data[:at]
            if self._begun:
                whole = b"".join((*self._begun, whole))
                self._begun.clear()
            if at + 1 < len(data):
                self._begun.append(data[at + 1 :])
            lines = [line for line in whole.split(b"\n") if line]
            if lines:
                return Batch(lines)
        return Batch([])

    def close(self) -> None:
        self._incoming.close()


def _event(line: bytes) -> WatchEvent:
    try:
        document = orjson.loads(line)
        event = WatchEvent(document["type"], document["object"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
        raise Unreachable(f"unable to decode an event from the watch stream: {exc}") from exc
    if event.type == "ERROR":
        raise APIError(_status(event.object))
    return event


def _status(told: dict[str, Any]) -> dict[str, Any]:
    return {"message": "an error on the server has ended the watch", "code": 500, **told}
