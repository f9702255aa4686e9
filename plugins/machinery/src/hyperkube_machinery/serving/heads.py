"""The heads of answers: status line, Date, headers; and the answers that tell of errors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Request, Response

__all__ = ["CONTINUE", "Heads", "encode_headers", "failure", "refusal"]

log = logging.getLogger(__name__)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_MOST_CACHED = 64


class Heads:
    """The parts of heads that many answers share, kept until the next `refresh`, about a second."""

    __slots__ = ("_cache", "_date")

    def __init__(self, now: float) -> None:
        self._cache: dict[tuple[int, str], bytes] = {}
        self.refresh(now)

    def refresh(self, now: float) -> None:
        """Let the Date be `now` (seconds since the epoch) from here on."""
        self._date = b"Date: %b\r\n" % formatdate(now, usegmt=True).encode()
        self._cache.clear()

    def start(self, status: int, content_type: str) -> bytes:
        """Status line, Date and Content-Type, each with its line end."""
        key = (status, content_type)
        start = self._cache.get(key)
        if start is None:
            line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
            start = line + self._date
            if content_type:
                start += encode_headers((("Content-Type", content_type),))
            if len(self._cache) < _MOST_CACHED:
                self._cache[key] = start
        return start


def encode_headers(headers: Sequence[tuple[str, str]]) -> bytes:
    """Header lines, in UTF-8; a line break within a value becomes a space, as Go's server has it."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        text = "".join([f"{_one_line(name)}: {_one_line(value)}\r\n" for name, value in headers])
    return text.encode("utf-8", "replace")


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")


def refusal(error: APIError) -> Response:
    """The answer that tells of `error`."""
    return Response(error.code, encode(error.status), headers=error.headers)


def failure(request: Request, exc: BaseException) -> Response:
    """The answer for a handler that raised `exc`, which is logged unless it is an answer itself."""
    if isinstance(exc, APIError):
        return refusal(exc)
    log.error("%s %s failed", request.method, request.path, exc_info=exc)
    return refusal(APIError.internal("the request could not be answered; the server's log tells why"))
