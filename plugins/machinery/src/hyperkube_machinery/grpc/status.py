"""What a call came to.

Source: grpc/doc/PROTOCOL-HTTP2.md, google.golang.org/grpc (words of failures).
"""

from __future__ import annotations

from enum import IntEnum
from urllib.parse import unquote

__all__ = ["CallFailed", "Code", "failure_in", "trailers_of"]


class Code(IntEnum):
    """What a call came to."""

    OK = 0
    CANCELED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class CallFailed(Exception):
    """A call was refused, or broke off. A server's handler refuses by raising it."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"rpc error: code = {_camel(code)} desc = {message}")
        self.code = code
        self.message = message


def failure_in(headers: dict[str, str]) -> CallFailed | None:
    """The failure that headers or trailers tell of; None for success, and where they tell of none."""
    if "grpc-status" in headers:
        try:
            code = Code(int(headers["grpc-status"]))
        except ValueError:
            code = Code.UNKNOWN
        return None if code is Code.OK else CallFailed(code, unquote(headers.get("grpc-message", "")))
    if headers.get(":status", "200") != "200":
        return CallFailed(Code.UNAVAILABLE, f"unexpected HTTP status code {headers[':status']}")
    return None


def trailers_of(failure: CallFailed | None) -> list[tuple[str, str]]:
    """The trailers that tell how a call ended."""
    if failure is None:
        return [("grpc-status", "0"), ("grpc-message", "")]
    return [("grpc-status", str(int(failure.code))), ("grpc-message", _quoted(failure.message))]


def _quoted(text: str) -> str:
    """Printable ASCII stays, all else is percent-encoded, as the percent sign is."""
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in text.encode())


def _camel(code: Code) -> str:
    return "".join(word.capitalize() for word in code.name.split("_")) if code else "OK"
