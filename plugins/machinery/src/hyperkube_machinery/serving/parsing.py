"""Bytes into requests.

llhttp, under httptools, refuses most of what two servers could read differently: a length next to chunks, two lengths,
folded lines, blanks around a header's name, bare line feeds. What it lets through is refused here.

Most clients send the same header lines over and over. A request without a body that ends in the very bytes that the
parser took for headers before, on the same connection, has those headers: only its first line is read.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from urllib.parse import unquote

from httptools import HttpParserError, HttpParserInvalidMethodError, HttpParserUpgrade, HttpRequestParser

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.messages import Connection, Request

__all__ = ["SLICE", "IncomingRequest", "OversizedRequest", "RequestParser", "Stage"]

SLICE = 4096
"""At most so many bytes are parsed at a time where they may hold many requests: the parser can't be paused."""

_METHODS = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
}
_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")
_FIRST_LINE = re.compile(rb"(GET|HEAD|DELETE|POST|PUT|PATCH) (/[!-~]*) HTTP/1\.1")
_MOST_NAMES = 512
_MOST_REMEMBERED_BYTES = 2048

_names: dict[bytes, str] = {}
"""Header names as clients spell them, in lower case; bounded, since clients choose them."""


class Stage(enum.IntEnum):
    """How far the request that is being read has come."""

    IDLE = 0
    HEAD = 1
    BODY = 2


class IncomingRequest(Request):
    """A request with what the connection has to know to answer it."""

    __slots__ = ("http_1_0", "persistent", "upgrades")

    http_1_0: bool
    persistent: bool  # whether the client may send another one after it
    upgrades: bool  # whether it asks for another protocol


class OversizedRequest(IncomingRequest):
    """A request whose body is larger than is taken: whoever looks at it is told so.

    It is handed over all the same, for it may be refused for a better reason, such as who sent it, or need no body.
    Source: k8s.io/apiserver/pkg/endpoints/handlers/rest.go, limitedReadBodyWithRecordMetric.
    """

    __slots__ = ("_limit_bytes",)

    def __init__(self, request: IncomingRequest, limit_bytes: int) -> None:
        for name in ("method", "path", "query", "headers", "connection", "repeated", "http_1_0"):
            setattr(self, name, getattr(request, name))
        self.persistent = self.upgrades = False
        self._limit_bytes = limit_bytes

    @property
    def body(self) -> bytes:  # type: ignore[override]  # nobody sets it
        """Nothing; raises 413."""
        raise APIError.too_large(f"Request entity too large: limit is {self._limit_bytes}")


class RequestParser:
    """Reads the requests of one connection into `requests`, until `refusal` says what is wrong with one."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_connection",
        "_content_length",
        "_fed_bytes",
        "_headers",
        "_http_1_0",
        "_limits",
        "_method",
        "_parser",
        "_persistent",
        "_remembered",
        "_remembered_headers",
        "_repeated",
        "_repeats",
        "_upgrades",
        "_url",
        "awaits_continue",
        "finished",
        "refusal",
        "requests",
        "stage",
        "suspended",
    )

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self._connection = connection
        self._limits = limits
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._fed_bytes = 0  # of the head, or since a body's last bytes
        self._url = b""
        self._headers: dict[str, str] = {}
        self._repeated = 0  # header lines that were joined to others of their name
        self._repeats: dict[str, list[str]] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._content_length = 0  # -1 where a body comes in chunks
        self._remembered = b""  # the end of a request that had no body, from the end of its first line
        self._remembered_headers: dict[str, str] = {}
        self.requests: deque[IncomingRequest] = deque()
        self.refusal: APIError | None = None
        self.stage = Stage.IDLE
        self.awaits_continue = False  # the client holds its body back until it is told to send
        self.finished = False  # what follows is thrown away
        self.suspended = False  # after a request for another protocol, until `start_again`

    @property
    def body_bytes(self) -> int:
        """How much of the present request's body has come."""
        return self._body_bytes

    def takes_whole(self, size: int) -> bool:
        """Whether the next `size` bytes can't hold the begin of another request."""
        return self.stage is Stage.BODY and self._content_length - self._body_bytes >= size

    def feed(self, data: bytes) -> bytes:
        """Read on; return what comes after a request for another protocol, else nothing."""
        if self._parser is None or self.finished:
            return b""
        if self.suspended:
            return data
        fresh = not self._fed_bytes and self.stage is Stage.IDLE
        self._fed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as stop:
            return data[stop.args[0] :]
        except HttpParserError as exc:
            if not self.finished:  # nor is it news that more follows `Connection: close`
                self._explain(exc, data)
            return b""
        if self._fed_bytes > self._limits.header_bytes:
            self._refuse(431, "", f"request header fields too large: limit is {self._limits.header_bytes} bytes")
        elif fresh and self.stage is Stage.IDLE and len(self.requests) == 1:
            self._remember(data)
        return b""

    def recognize(self, data: bytes) -> IncomingRequest | None:
        """The request that `data` is, if only its first line differs from an earlier one; else `feed` reads it."""
        tail = self._remembered
        if not tail or not data.endswith(tail) or self._fed_bytes or self.stage is not Stage.IDLE:
            return None
        if self.finished or self.suspended:
            return None
        end = len(data) - len(tail)
        line = _FIRST_LINE.fullmatch(data, 0, end)
        if line is None or end > self._limits.request_line_bytes:
            return None
        method, target = line.groups()
        if b"%" in target:
            return None
        path, _, query = target.decode("ascii").partition("?")
        headers = self._remembered_headers.copy()
        request = IncomingRequest(_METHODS[method], path, query, headers, b"", self._connection)
        request.http_1_0 = request.upgrades = False
        request.persistent = True
        return request

    def _remember(self, data: bytes) -> None:
        request = self.requests[0]
        headers = request.headers
        start = data.find(b"\r\n")
        if (
            start > 0
            and data.find(b"\r\n\r\n") == len(data) - 4
            and len(data) - start <= _MOST_REMEMBERED_BYTES
            and request.persistent
            and not request.http_1_0
            and not request.repeated
            and "content-length" not in headers
            and "transfer-encoding" not in headers
            and "upgrade" not in headers
            and "expect" not in headers
        ):
            self._remembered = data[start:]
            self._remembered_headers = headers.copy()

    def start_again(self) -> None:
        """Read requests again, after one for another protocol that was not granted."""
        self._parser = HttpRequestParser(self)
        self.suspended = False

    def close(self) -> None:
        """Read nothing more, and let go of the connection; each knows the other."""
        self.finished = True
        self._parser = None
        self.requests.clear()
        self._body.clear()

    # What httptools calls.

    def on_message_begin(self) -> None:
        self.stage = Stage.HEAD

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.request_line_bytes:
            raise self._refuse(414, "", f"request URI too long: limit is {self._limits.request_line_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.stage is Stage.BODY:
            return  # a trailer, which nobody reads
        key = _names.get(name) or _lower(name)
        headers = self._headers
        text = value.decode("utf-8", "replace").rstrip(" \t")
        if key not in headers:
            headers[key] = text
        elif key == "host":
            raise self._refuse(400, "BadRequest", "too many Host headers")
        elif key != "content-length":  # llhttp refuses a second one itself
            self._repeats.setdefault(key, [headers[key]]).append(text)
            headers[key] = f"{headers[key]}, {text}"
            self._repeated += 1
        if len(headers) + self._repeated > self._limits.header_count:
            raise self._refuse(431, "", f"too many request header fields: limit is {self._limits.header_count}")

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        headers = self._headers
        self.stage = Stage.BODY
        self._fed_bytes = 0
        version = parser.get_http_version()
        if version != "1.1" and version != "1.0":
            raise self._refuse(505, "", "unsupported protocol version: HTTP/1.1 and HTTP/1.0 are served")
        self._http_1_0 = version == "1.0"
        method = _METHODS.get(parser.get_method())
        if method is None or method == "CONNECT":
            raise self._refuse(501, "", "unsupported method")
        self._method = method
        if "host" not in headers and not self._http_1_0:
            raise self._refuse(400, "BadRequest", "missing required Host header")
        self._persistent = parser.should_keep_alive()
        self._upgrades = "upgrade" in headers and parser.should_upgrade()
        self._content_length = 0
        if "content-length" in headers or "transfer-encoding" in headers:
            self._expect_body(headers)
        if "expect" in headers and not self._http_1_0:
            if headers["expect"].lower() != "100-continue":
                raise self._refuse(417, "", "unknown expectation: 100-continue is the only one")
            self.awaits_continue = self._content_length != 0

    def _expect_body(self, headers: dict[str, str]) -> None:
        coding = headers.get("transfer-encoding")
        if coding is None:
            self._content_length = int(headers["content-length"])  # llhttp let nothing but digits through
            if self._content_length > self._limits.body_bytes:
                raise self._oversized()
        elif self._http_1_0:
            raise self._refuse(400, "BadRequest", "an HTTP/1.0 request can't have a transfer coding")
        elif coding.lower() != "chunked":
            raise self._refuse(501, "", "unsupported transfer encoding: chunked is the only one")
        else:
            self._content_length = -1
        if self._upgrades and self._content_length != 0:
            # llhttp takes the body for the other protocol's first bytes.
            raise self._refuse(400, "BadRequest", "a request for another protocol can't have a body")

    def on_body(self, data: bytes) -> None:
        self._fed_bytes = 0
        self._body_bytes += len(data)
        if self._body_bytes > self._limits.body_bytes:
            raise self._oversized()
        self._body.append(data)

    def on_message_complete(self) -> None:
        url = self._url
        path, _, query = url.decode("utf-8", "replace").partition("?")
        if not path.startswith("/") and path != "*":
            path = "/" + path.partition("://")[2].partition("/")[2]  # http://host/path, as it is sent to a proxy
        if "%" in path:
            if _BAD_ESCAPE.search(path):
                raise self._refuse(400, "BadRequest", "malformed request URI: invalid URL escape")
            path = unquote(path)
        parts = self._body
        if not parts:
            body = b""
        else:
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            self._body_bytes = 0
        request = IncomingRequest(self._method, path, query, self._headers, body, self._connection)
        if self._repeated:
            request.repeated, self._repeats = self._repeats, {}
            self._repeated = 0
        request.http_1_0 = self._http_1_0
        request.persistent = self._persistent
        request.upgrades = self._upgrades
        self.requests.append(request)
        self._url = b""
        self._headers = {}
        self._fed_bytes = 0
        self._content_length = 0
        self.awaits_continue = False
        self.stage = Stage.IDLE
        if request.upgrades:
            self.suspended = True
        elif not request.persistent:
            self.finished = True

    def _refuse(self, code: int, reason: str, message: str) -> APIError:
        self.refusal = error = APIError.of(code, reason, message)
        self.finished = True
        self.awaits_continue = False
        return error

    def _oversized(self) -> Exception:
        """Hand over the present request as one that is too large; what is raised ends the parsing."""
        self._body.clear()
        self._body_bytes = 0
        self._persistent = self._upgrades = False
        self.on_message_complete()
        self.requests[-1] = OversizedRequest(self.requests[-1], self._limits.body_bytes)
        return ValueError("the body is too large")

    def _explain(self, exc: HttpParserError, data: bytes) -> None:
        text = str(exc)
        unknown = isinstance(exc, HttpParserInvalidMethodError) and data[:64].lstrip(b"\r\n")[:1].isalpha()
        if unknown or text.startswith("Invalid method for HTTP"):
            self._refuse(501, "", "unsupported method")
        elif "HTTP version" in text or "PRI/Upgrade" in text:
            self._refuse(505, "", "unsupported protocol version: HTTP/1.1 and HTTP/1.0 are served")
        else:
            self._refuse(400, "BadRequest", f"malformed HTTP request: {text}")


def _lower(name: bytes) -> str:
    lower = name.decode("latin-1").lower()
    if len(_names) < _MOST_NAMES and len(name) < 64:
        _names[name] = lower
    return lower
