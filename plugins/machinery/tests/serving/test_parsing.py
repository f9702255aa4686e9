"""However a stream of requests is cut, the same requests come out of it."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.parsing import IncomingRequest, RequestParser, Stage

_TOKEN = st.text("abcXYZ019-_", min_size=1, max_size=8).filter(
    lambda name: name.lower() not in {"te", "host", "upgrade", "expect"}
)
_VALUE = st.text('abc ,;=\t"/é', max_size=12).map(lambda value: value.strip(" \t"))
_METHOD = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
_COMMON = "User-Agent: the same\r\nAccept: application/json\r\n"


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    method, target = (
        draw(_METHOD),
        draw(st.from_regex(r"/[a-z/]{0,9}(%20[a-z]{0,3})?(\?[a-z=&%]{0,9})?", fullmatch=True)),
    )
    lines = draw(st.one_of(st.just(_COMMON), st.lists(st.tuples(_TOKEN, _VALUE), max_size=4).map(_lines)))
    head = f"{method} {target} HTTP/1.1\r\nHost: test\r\n{lines}".encode()
    body = draw(st.one_of(st.none(), st.binary(max_size=40)))
    if body is None:
        return head + b"\r\n"
    if draw(st.booleans()):
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    size = draw(st.integers(1, 20))
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def _lines(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in pairs)


def _parser() -> RequestParser:
    return RequestParser(cast("Any", None), Limits())


def _told(request: IncomingRequest) -> tuple[object, ...]:
    return (request.method, request.path, request.query, request.headers, request.body, request.persistent)


def _feed(parser: RequestParser, piece: bytes) -> None:
    request = parser.recognize(piece)
    if request is None:
        assert parser.feed(piece) == b""
    else:
        parser.requests.append(request)


def _read(pieces: list[bytes]) -> list[tuple[object, ...]]:
    """What comes of `pieces`, taking requests as soon as they are whole, as a connection does."""
    parser = _parser()
    found = []
    for piece in pieces:
        _feed(parser, piece)
        assert parser.refusal is None
        while parser.requests:
            found.append(_told(parser.requests.popleft()))
    assert parser.stage is Stage.IDLE
    return found


@given(st.lists(_requests(), min_size=1, max_size=5), st.data())
def test_cuts_make_no_difference(requests: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(requests)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    alone = [_read([request])[0] for request in requests]
    assert _read(pieces) == alone
    assert _read([stream[at : at + 1] for at in range(len(stream))]) == alone
    assert _read(requests) == alone  # where headers are recognized


@given(st.lists(st.one_of(_requests(), st.binary(max_size=30)), max_size=5), st.data())
def test_nothing_makes_the_parser_fail(pieces: list[bytes], data: st.DataObject) -> None:
    stream = bytearray(b"".join(pieces))
    for _ in range(data.draw(st.integers(0, 3))):
        if stream:
            stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    whole, apart = _parser(), _parser()
    whole.feed(bytes(stream))
    for at in range(len(stream)):
        apart.feed(bytes(stream[at : at + 1]))
    assert [_told(one) for one in whole.requests] == [_told(one) for one in apart.requests]
    assert (whole.refusal is None) == (apart.refusal is None)


def test_headers_are_recognized_only_where_they_are_the_very_same() -> None:
    parser = _parser()
    tail = b" HTTP/1.1\r\nHost: test\r\nX: 1\r\n\r\n"
    for head in (b"GET /a", b"GET /b?c", b"POST /c", b"DELETE /d", b"HEAD /%20", b"GET /e"):
        _feed(parser, head + tail)
    _feed(parser, b"GET /f" + tail.replace(b"X: 1", b"X: 2"))
    _feed(parser, b"GET /g" + tail)
    found = [(request.method, request.path, request.query, request.headers["x"]) for request in parser.requests]
    assert found == [
        ("GET", "/a", "", "1"),
        ("GET", "/b", "c", "1"),
        ("POST", "/c", "", "1"),
        ("DELETE", "/d", "", "1"),
        ("HEAD", "/ ", "", "1"),
        ("GET", "/e", "", "1"),
        ("GET", "/f", "", "2"),
        ("GET", "/g", "", "1"),
    ]


def test_a_handler_that_changes_its_headers_changes_no_others() -> None:
    parser = _parser()
    for _ in range(3):
        _feed(parser, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        request = parser.requests.popleft()
        assert request.headers == {"host": "test"}
        request.headers["x"] = "y"


def test_a_line_in_front_of_recognized_headers_is_read_as_strictly() -> None:
    for line in (b"GET /\x00", b"GET  /a b", b"FOO /", b"GET /a HTTP/1.1\r\nX: y\r\nContent-Length: 5\r\n\r\nGET /"):
        parser = _parser()
        _feed(parser, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        _feed(parser, line + b" HTTP/1.1\r\nHost: test\r\n\r\n")
        assert len(parser.requests) == 1 or parser.requests[1].headers.get("x") == "y"
        assert parser.refusal is not None
