"""What carries a request to the API server, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["ClientError", "Incoming", "Outgoing", "RawResponse", "Transport", "Unreachable"]


class ClientError(Exception):
    """A request got no answer that can be used. What the API server refuses is an `APIError` instead."""


class Unreachable(ClientError):
    """Nobody answers, or the answer broke off."""

    def __init__(self, message: str, *, broke_off: bool = False) -> None:
        super().__init__(message)
        self.broke_off = broke_off  # the request was sent, and may have been carried out


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to send."""

    method: str
    target: str  # path and query, percent-encoded
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)  # names in lower case; there may be tokens
    body: bytes = field(default=b"", repr=False)
    seconds: float = 0.0  # how long it may take, its answer's body included; 0 for no limit

    @property
    def replayable(self) -> bool:
        """Whether sending it twice does what sending it once does. Source: net/http, Request.isReplayable."""
        return self.method in ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class RawResponse:
    """An answer as it came, whole."""

    status: int
    headers: Mapping[str, str]  # names in lower case; values of a repeated header are joined with ", "
    body: bytes


class Incoming(Protocol):
    """An answer whose body is still coming. Whoever has it closes it."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """As in RawResponse."""

    async def read(self) -> bytes:
        """What has come since, at least a byte; empty at the body's end. Raises Unreachable if it broke off.

        Its sender waits while too much has come that nobody read.
        """

    def close(self) -> None:
        """Take nothing more; where the body hadn't ended, its sender is told so. A no-op the second time."""


class Transport(Protocol):
    """One way to one API server. It retries nothing but what certainly was not carried out."""

    def show(self, certificate_pem: bytes, key_pem: bytes) -> None:
        """Be the one of this certificate, or of none, in what is sent from now on. Raises CertificateError."""

    async def open(self, request: Outgoing) -> Incoming:
        """Send `request` and return its answer once the head is there. Raises Unreachable."""

    async def ask(self, request: Outgoing) -> RawResponse:
        """Send `request` and return its answer, whole. Raises Unreachable."""

    async def close(self) -> None:
        """Hang up."""
