"""Strangers, users without rights, and those who want more than they have: what a whole server lets them do."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _trespassing import ATTEMPTS, TOKENS, Attempt, Caller, arrange, read_answer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperkube_machinery import tls

_QUICKLY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_MEGABYTES_MORE = 64
"""A server may grow by so much while strangers try things: buffers and caches are bounded, not empty."""


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    tokens = tmp_path_factory.mktemp("tokens") / "tokens.csv"
    tokens.write_text(TOKENS)
    return make_server(
        "--storage-backend=memory", f"--token-auth-file={tokens}", "--enable-admission-plugins=NodeRestriction"
    )


@pytest.fixture(scope="module")
def call(server: Any) -> Caller:
    caller = Caller(server.port)
    arrange(caller)
    return caller


def memory(server: Any) -> float:
    """Megabytes that the server's process holds."""
    status = Path(f"/proc/{server.process.pid}/status").read_text("ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def is_well(call: Caller) -> bool:
    return call("admin", "GET", "/readyz").status == 200


def test_each_gets_what_is_his_and_no_more(call: Caller) -> None:
    """In order: some try what others have prepared."""
    wrong = []
    for attempt in ATTEMPTS:
        answer = call(attempt.who, attempt.method, attempt.path, attempt.body, attempt.headers)
        if answer.status != attempt.status or attempt.says not in answer.message:
            wrong.append(f"{attempt}: {answer.status} rather than {attempt.status}: {answer.message[:300]}")
        if attempt.who and attempt.status in (401, 403):
            assert f'"{attempt.who}"' not in answer.text, "no refusal shows a token"
    assert not wrong, "\n".join(wrong)


SECRETS = "/api/v1/namespaces/t/secrets"


@pytest.mark.parametrize(
    ("head", "statuses"),
    [
        ("GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer view\r\nAuthorization: Bearer admin\r\n\r\n", (403, 401)),
        ("GET {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\nAuthorization: Bearer admin\r\n\r\n", (401,)),
        ("GET {} HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer admin\r\n\r\n", (400,)),
        ("GET {} HTTP/1.1\r\nHost: x\r\nAuthorization:\r\n Bearer admin\r\n\r\n", (400,)),
        ("GET {} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", (400,)),
        ("GET {} HTTP/1.1\r\n\r\n", (400,)),
        ("GET {} HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", (400,)),
        ("GET {}\x00 HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
        ("GET {}%zz HTTP/1.1\r\nHost: x\r\n\r\n", (400,)),
        ("GET http://evil.example{} HTTP/1.1\r\nHost: x\r\n\r\n", (403,)),
        ("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n", (400, 501)),
        ("TRACE {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer view\r\n\r\n", (403, 405)),
        ("GET {} HTTP/0.9\r\n\r\n", (400, 505)),
        ("GET {} HTTP/2.0\r\n\r\n", (400, 505)),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
        ("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", (400,)),
        ("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
        ("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", (400, 501)),
        ("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", (400, 501)),
        ("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", (400,)),
        ("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nhello", (400,)),
        ("POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", (400,)),
    ],
)
def test_requests_that_two_servers_could_read_differently(call: Caller, head: str, statuses: tuple[int, ...]) -> None:
    answer = call.raw(head.format(SECRETS).encode("latin-1"))
    assert answer.status in statuses, answer
    assert is_well(call)


@pytest.mark.parametrize(
    ("lines", "status"), [("\r\n", 403), ("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)], ids=["a length", "both"]
)
def test_nothing_is_smuggled_in_a_body(call: Caller, lines: str, status: int) -> None:
    inner = f"GET {SECRETS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nConnection: close\r\n\r\n"
    head = f"POST /api/v1/namespaces/t/pods HTTP/1.1\r\nHost: x\r\nContent-Length: {len(inner)}\r\n"
    last = "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with call.connected() as connection:
        connection.sendall(f"{head}{lines}{inner}{last}".encode())
        first, second = read_answer(connection), read_answer(connection)
    assert first.status == status
    assert "SecretList" not in first.text + second.text


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ("Content-Length: 99999999999", b"x" * (4 << 20)),
        ("Transfer-Encoding: chunked", b"100000\r\n" + b"x" * 0x100000 + b"\r\n"),
    ],
)
def test_endless_bodies_of_strangers_end(server: Any, call: Caller, headers: str, sent: bytes) -> None:
    before = memory(server)
    for _ in range(4):
        with call.connected() as connection:
            connection.sendall(f"POST /api/v1/namespaces/t/pods HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode())
            try:
                for _ in range(16):
                    connection.sendall(sent)
            except (ConnectionError, ssl.SSLError):
                continue  # it has hung up
            assert read_answer(connection).status in (0, 400, 403, 413)
    assert is_well(call)
    assert memory(server) < before + _MEGABYTES_MORE


@pytest.mark.parametrize("piece", [b"X-A: " + b"a" * 65536 + b"\r\n", b"X: y\r\n" * 2000])
def test_endless_headers_of_strangers_end(server: Any, call: Caller, piece: bytes) -> None:
    before = memory(server)
    with call.connected() as connection:
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n")
        try:
            for _ in range(64):
                connection.sendall(piece)
            assert read_answer(connection).status in (0, 431)
        except (ConnectionError, ssl.SSLError):
            pass
    assert is_well(call)
    assert memory(server) < before + _MEGABYTES_MORE


def test_those_who_begin_and_say_no_more_keep_nobody_from_being_served(server: Any, call: Caller) -> None:
    before = memory(server)
    held = []
    try:
        for number in range(100):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            if number % 2:
                connection = call.tls.wrap_socket(connection, server_hostname="x")
                connection.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            held.append(connection)
        began = time.monotonic()
        assert is_well(call)
        assert time.monotonic() - began < 5
    finally:
        for connection in held:
            connection.close()
    assert memory(server) < before + _MEGABYTES_MORE


# TLS


def handshake(server: Any, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    return context.wrap_socket(plain, server_hostname="localhost")


def loose() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_of_tls_are_not_spoken(server: Any, version: ssl.TLSVersion) -> None:
    context = loose()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(server, context)


@pytest.mark.parametrize("ciphers", ["NULL:@SECLEVEL=0", "aNULL:@SECLEVEL=0", "RC4:@SECLEVEL=0", "3DES:@SECLEVEL=0"])
def test_weak_ciphers_are_not_used(server: Any, ciphers: str) -> None:
    context = loose()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError:
        pytest.skip("this machine's TLS has none of them")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(server, context)


def test_tls_neither_compresses_nor_resumes(server: Any) -> None:
    with handshake(server, loose()) as connection:
        assert connection.compression() is None
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection).status == 200
        session = connection.session
    assert session is None or not session.has_ticket


def test_a_stranger_with_a_certificate_of_his_own_authority_gets_nothing(server: Any) -> None:
    ca = tls.create_ca("kubernetes-ca", now=time.time())
    pair = tls.issue_client_certificate(ca, "kubernetes-admin", ("system:masters",), now=time.time())
    context = tls.client_context(trusts_anybody=True, certificate_pem=pair.certificate_pem, key_pem=pair.key_pem)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask_for_secrets(server, context)


def ask_for_secrets(server: Any, context: ssl.SSLContext) -> None:
    with handshake(server, context) as connection:
        connection.sendall(b"GET /api/v1/secrets HTTP/1.1\r\nHost: x\r\n\r\n")
        if not connection.recv(1):  # an alert comes with what is read
            raise ConnectionResetError


# Whatever strangers send


def fine(status: int) -> bool:
    return status < 500 or status in (501, 505)


@_QUICKLY
@given(st.binary(max_size=400))
def test_any_bytes_are_answered_or_hung_up_on(call: Caller, data: bytes) -> None:
    answer = call.raw(data + b"\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert fine(answer.status), answer


@_QUICKLY
@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "BREW"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
)
def test_any_path_and_query_are_answered(call: Caller, method: str, path: str, query: str) -> None:
    answer = call("nobody", method, f"/api/v1/{path}?{query}")
    assert fine(answer.status), answer


TOKEN_TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=80)
SEGMENTS = st.lists(st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(data).decode()), max_size=4)
CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "kubernetes.io", "alg", "kid", "crit"]),
    st.none() | st.integers() | st.text(max_size=10) | st.lists(st.integers(), max_size=2) | st.just("RS256"),
    max_size=6,
)


def segment(tree: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(tree).encode()).rstrip(b"=").decode()


@_QUICKLY
@given(
    TOKEN_TEXT
    | SEGMENTS.map(".".join)
    | st.tuples(CLAIMS, CLAIMS).map(lambda two: f"{segment(two[0])}.{segment(two[1])}.AA")
)
def test_any_token_is_refused_or_none(call: Caller, token: str) -> None:
    answer = call("", "GET", "/api/v1/secrets", None, (("Authorization", f"Bearer {token}"),))
    assert answer.status in (401, 403), answer
    offered = f"base64url.bearer.authorization.k8s.io.{segment(token)}, v5.channel.k8s.io"
    upgrade = (("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Protocol", offered))
    lines = "".join(f"{name}: {value}\r\n" for name, value in upgrade)
    answer = call.raw(f"GET /api/v1/namespaces/t/pods/p1/exec HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    assert answer.status in (400, 401, 403), answer


@_QUICKLY
@given(
    st.sampled_from(["json", "yaml", "vnd.kubernetes.protobuf", "cbor", "apply-patch+yaml", "x"]),
    st.binary(max_size=200) | st.binary(max_size=100).map(lambda data: b"k8s\x00" + data),
)
def test_any_body_of_somebody_with_few_rights_is_answered(call: Caller, kind: str, body: bytes) -> None:
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"  # that everybody may create
    head = f"POST {reviews} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer nobody\r\n"
    head += f"Content-Type: application/{kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = call.raw(head.encode() + body)
    assert fine(answer.status), answer
    assert answer.status, "it is answered"


@_QUICKLY
@given(st.sampled_from(["websocket", "SPDY/3.1", "h2c", "x"]), st.binary(max_size=200))
def test_any_bytes_behind_a_request_for_another_protocol(call: Caller, protocol: str, data: bytes) -> None:
    head = (
        f"GET /api/v1/namespaces/t/pods/p1/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"
    )
    assert fine(call.raw(f"{head}\r\n".encode() + data).status)


def test_after_all_that_the_server_is_well_and_hardly_larger(server: Any, call: Caller) -> None:
    assert is_well(call)
    assert server.process.poll() is None
    assert memory(server) < 400
    assert not [line for line in server.log if "Traceback" in line], "".join(server.log[-100:])


def test_attempts_are_told_apart() -> None:
    assert len({str(attempt) + str(attempt.body) for attempt in ATTEMPTS}) == len(ATTEMPTS)
    assert all(isinstance(attempt, Attempt) for attempt in ATTEMPTS)
