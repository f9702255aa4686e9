"""Requests and responses, as the server and its handlers exchange them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

__all__ = ["Answer", "BodyWriter", "Connection", "Handler", "Request", "Response", "StreamingResponse", "Upgrade"]


_NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})


class Connection(Protocol):
    """The connection that a request came on."""

    @property
    def peer_certificate(self) -> bytes | None:
        """The client's certificate (DER), verified against the server's client CA; None where there is none."""

    @property
    def peer_chain(self) -> Sequence[bytes]:
        """The client's certificate and those that it was verified by, as far as that is known."""

    @property
    def peer_address(self) -> str:
        """The client's address, without its port."""

    @property
    def state(self) -> dict[str, Any]:
        """What a handler wants to remember with the connection, such as who is at its other end."""


class Request:
    """One request, complete with its body."""

    __slots__ = ("body", "connection", "headers", "method", "path", "query", "repeated")

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        body: bytes,
        connection: Connection,
        repeated: Mapping[str, Sequence[str]] = _NOTHING,
    ) -> None:
        self.method = method
        self.path = path  # percent-decoded
        self.query = query  # as it was sent, without its "?"
        self.headers = headers  # names in lower case; values of a repeated header are joined with ", "
        self.body = body
        self.connection = connection
        self.repeated = repeated  # the values of each header that came more than once

    def values(self, name: str) -> Sequence[str]:
        """The values of a header (in lower case), one for each time that it came: a value may have commas in it."""
        if (several := self.repeated.get(name)) is not None:
            return several
        value = self.headers.get(name)
        return () if value is None else (value,)


@dataclass(slots=True)
class Response:
    """An answer that is known whole; its chunks are written one after the other, with their length in front."""

    status: int
    body: bytes | Sequence[bytes] = b""
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()


class BodyWriter(Protocol):
    """Where a streaming answer's body is written."""

    def send(self, data: bytes) -> None:
        """Hand over one piece of the body at once, without waiting; a no-op once the client is gone."""

    def send_framed(self, frame: bytes) -> None:
        """Like `send`, for a piece that `chunk` framed already: what many clients get is framed once."""

    @property
    def buffered(self) -> int:
        """Bytes that were sent and have not left yet."""

    @property
    def closed(self) -> bool:
        """Whether the client is gone."""

    async def drain(self) -> None:
        """Wait until little enough is buffered to go on; raises ConnectionResetError once the client is gone."""

    async def wait_closed(self) -> None:
        """Wait until the client is gone or the server drains."""


@dataclass(slots=True)
class StreamingResponse:
    """An answer written piece by piece (chunked) by `produce`, which is cancelled when the client goes."""

    produce: Callable[[BodyWriter], Awaitable[None]]
    status: int = 200
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Upgrade:
    """The answer 101: from here on the connection's bytes are `protocol`'s, and no longer HTTP.

    The protocol gets the transport by `connection_made`, and what the client sent ahead by `data_received`. Only a
    request that asks for another protocol (`Connection: Upgrade`, no body) can be answered so.
    """

    protocol: Callable[[], asyncio.Protocol]
    headers: Sequence[tuple[str, str]] = ()  # with Upgrade; Connection is added


Answer: TypeAlias = Response | StreamingResponse | Upgrade
Handler: TypeAlias = Callable[[Request], "Answer | Awaitable[Answer]"]
"""Answers a request: at once where nothing has to be waited for, which spares a turn of the loop."""
