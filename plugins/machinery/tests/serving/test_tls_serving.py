"""Serving over TLS, with certificates made for the occasion."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from hyperkube_machinery import tls
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.serving.limits import Limits
from hyperkube_machinery.serving.messages import BodyWriter, Request, Response, StreamingResponse
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until
from hyperkube_machinery.testing.wire import Wire

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
PLAIN_ANSWER = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


@dataclass(frozen=True)
class PKI:
    folder: Path
    ca: tls.KeyPair
    now: float

    def client(self, pair: tls.KeyPair | None = None) -> ssl.SSLContext:
        return tls.client_context(
            ca_pem=self.ca.certificate_pem,
            certificate_pem=b"" if pair is None else pair.certificate_pem,
            key_pem=b"" if pair is None else pair.key_pem,
        )

    def server(self) -> ssl.SSLContext:
        folder = self.folder
        return tls.server_context(folder / "s.crt", folder / "s.key", client_ca_path=folder / "ca.crt")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    folder = tmp_path_factory.mktemp("pki")
    now = SystemClock().now()  # TLS itself asks the machine's clock
    ca = tls.create_ca("test-ca", now=now)
    tls.save(ca, folder / "ca.crt", folder / "ca.key")
    serving = tls.issue_serving_certificate(ca, "test", ["localhost", "127.0.0.1"], now=now)
    tls.save(serving, folder / "s.crt", folder / "s.key")
    return PKI(folder, ca, now)


def who(request: Request) -> Response:
    certificate = request.connection.peer_certificate
    name = x509.load_der_x509_certificate(certificate).subject.rfc4514_string() if certificate else "nobody"
    chain = [x509.load_der_x509_certificate(one).subject.rfc4514_string() for one in request.connection.peer_chain]
    assert chain == ([name, "CN=test-ca"] if certificate else [])
    return Response(200, name.encode())


async def test_a_client_without_a_certificate_is_nobody(serve: Any, pki: PKI) -> None:
    async with serve(who, ssl_context=pki.server()) as server, Wire.connect(server.port, tls=pki.client()) as wire:
        assert (await wire.ask("GET", "/")).body == b"nobody"
        assert wire.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_of_the_client_ca_reaches_the_handler_on_every_connection(
    serve: Any, pki: PKI, version: ssl.TLSVersion
) -> None:
    context = pki.client(tls.issue_client_certificate(pki.ca, "jane", ["dev", "ops"], now=pki.now))
    context.minimum_version = context.maximum_version = version
    async with serve(who, ssl_context=pki.server()) as server:
        for _ in range(2):
            async with Wire.connect(server.port, tls=context) as wire:
                assert (await wire.ask("GET", "/")).body == b"CN=jane,O=ops,O=dev"
                assert wire.writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")


def _foreign(pki: PKI) -> tls.KeyPair:
    return tls.issue_client_certificate(tls.create_ca("test-ca", now=pki.now), "jane", ["system:masters"], now=pki.now)


def _expired(pki: PKI) -> tls.KeyPair:
    return tls.issue_client_certificate(pki.ca, "jane", ["system:masters"], now=pki.now - 366 * 86400)


def _for_servers(pki: PKI) -> tls.KeyPair:
    return tls.issue_serving_certificate(pki.ca, "jane", ["127.0.0.1"], now=pki.now)


@pytest.mark.parametrize("certificate", [_foreign, _expired, _for_servers])
async def test_a_certificate_that_cannot_be_verified_gets_nothing(
    serve: Any, pki: PKI, certificate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(who, ssl_context=pki.server()) as server:
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            async with Wire.connect(server.port, tls=pki.client(certificate(pki))) as wire:
                await wire.ask("GET", "/")
        assert server.connections == 0
    assert "refused the client certificate of 127.0.0.1" in caplog.text


async def test_old_versions_of_tls_are_refused(serve: Any, pki: PKI) -> None:
    context = pki.client()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serve(who, ssl_context=pki.server()) as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with Wire.connect(server.port, tls=context):
                pass


async def test_a_renewed_certificate_is_served_to_new_connections(serve: Any, pki: PKI) -> None:
    context = pki.server()
    async with serve(who, ssl_context=context) as server:
        serials = []
        for _ in range(2):
            async with Wire.connect(server.port, tls=pki.client()) as wire:
                shown = wire.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
                serials.append(x509.load_der_x509_certificate(shown).serial_number)
            pair = tls.issue_serving_certificate(pki.ca, "test", ["127.0.0.1"], now=pki.now)
            tls.save(pair, pki.folder / "s.crt", pki.folder / "s.key")
            context.load_cert_chain(pki.folder / "s.crt", pki.folder / "s.key")
        assert serials[0] != serials[1]


async def test_large_bodies_both_ways(serve: Any, pki: PKI) -> None:
    body = bytes(range(256)) * 12_000
    async with (
        serve(lambda r: Response(200, [r.body] * 3), ssl_context=pki.server()) as server,
        Wire.connect(server.port, tls=pki.client()) as wire,
    ):
        assert (await wire.ask("POST", "/", body=body)).body == body * 3


async def test_a_stream_waits_for_a_client_that_does_not_read(serve: Any, pki: PKI) -> None:
    """40 MiB: more than the buffers of both sockets."""
    sent = 0
    full = asyncio.Event()

    async def produce(writer: BodyWriter) -> None:
        nonlocal sent
        for _ in range(640):
            writer.send(b"x" * 65536)
            sent += 1
            if writer.buffered > 65536:
                full.set()
            await writer.drain()

    async with (
        serve(lambda _: StreamingResponse(produce), ssl_context=pki.server()) as server,
        Wire.connect(server.port, tls=pki.client()) as wire,
    ):
        wire.send(GET)
        await wire.head()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(10):
            await full.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert sent < 640
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert sum([len(piece) async for piece in wire.chunks()]) == 640 * 65536


async def test_a_client_that_goes_ends_its_stream(serve: Any, pki: PKI) -> None:
    ended = asyncio.Event()

    async def watch(writer: BodyWriter) -> None:
        try:
            writer.send(b"event")
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with (
        serve(lambda _: StreamingResponse(watch), ssl_context=pki.server()) as server,
        Wire.connect(server.port, tls=pki.client()) as wire,
    ):
        wire.send(GET)
        await wire.head()
        assert await wire.chunk() == b"event"
        wire.writer.close()
        async with asyncio.timeout(10):
            await ended.wait()


async def test_a_handshake_must_end_in_time(serve: Any, pki: PKI, clock: VirtualClock) -> None:
    async with (
        serve(who, ssl_context=pki.server(), limits=Limits(handshake_seconds=5)) as server,
        Wire.connect(server.port) as wire,
    ):
        wire.send(b"\x16\x03\x01")
        await until(lambda: server.handshakes)
        await clock.advance(4)
        assert server.handshakes == 1
        await clock.advance(2)
        assert await wire.rest() == b""
        assert (server.handshakes, server.connections) == (0, 0)


async def test_handshakes_are_bounded_and_others_wait(serve: Any, pki: PKI, clock: VirtualClock) -> None:
    limits = Limits(handshakes=2, handshake_seconds=5)
    async with (
        serve(who, ssl_context=pki.server(), limits=limits) as server,
        Wire.connect(server.port),
        Wire.connect(server.port),
    ):
        await until(lambda: server.handshakes >= 2)

        async def ask() -> bytes:
            async with Wire.connect(server.port, tls=pki.client()) as wire:
                return (await wire.ask("GET", "/")).body

        asking = asyncio.create_task(ask())
        for _ in range(50):
            await asyncio.sleep(0)
        assert (server.handshakes, server.connections) == (2, 0)
        await clock.advance(6)
        async with asyncio.timeout(10):
            assert await asking == b"nobody"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
async def test_a_plain_request_is_told_that_the_port_speaks_tls(
    serve: Any, pki: PKI, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="hyperkube_machinery.serving.listener")
    async with serve(who, ssl_context=pki.server()) as server:
        async with Wire.connect(server.port) as wire:
            wire.send(f"{method} /api HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            assert await wire.rest() == PLAIN_ANSWER
        await until(lambda: not server.handshakes)
        async with Wire.connect(server.port, tls=pki.client()) as wire:
            assert (await wire.ask("GET", "/")).status == 200
    assert "TLS handshake with 127.0.0.1 failed: client sent an HTTP request to an HTTPS server" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


async def test_a_plain_request_with_a_large_body_reads_its_answer(serve: Any, pki: PKI) -> None:
    """A socket that is closed with bytes unread resets the connection, and the client may not see the answer."""
    async with serve(who, ssl_context=pki.server()) as server, Wire.connect(server.port) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 20000000\r\n\r\n" + b"x" * 20_000_000)
        async with asyncio.timeout(10):
            await wire.writer.drain()
            assert await wire.rest() == PLAIN_ANSWER


@pytest.mark.parametrize("sent", [b"", b"G", GET], ids=["nothing", "a-byte", "a-plain-request"])
async def test_a_client_without_tls_is_let_go_in_time(serve: Any, pki: PKI, clock: VirtualClock, sent: bytes) -> None:
    limits = Limits(handshakes=1, handshake_seconds=5)
    async with (
        serve(who, ssl_context=pki.server(), limits=limits) as server,
        Wire.connect(server.port) as wire,
    ):
        wire.send(sent)
        await until(lambda: server.handshakes)
        await clock.advance(4)
        assert (server.handshakes, server.connections) == (1, 0)
        await clock.advance(2)
        assert await wire.rest() == (PLAIN_ANSWER if sent == GET else b"")
        await until(lambda: not server.handshakes)
        async with Wire.connect(server.port, tls=pki.client()) as served:
            assert (await served.ask("GET", "/")).status == 200


async def test_a_client_that_goes_before_it_began_leaves_room(serve: Any, pki: PKI) -> None:
    async with serve(who, ssl_context=pki.server(), limits=Limits(handshakes=1)) as server:
        async with Wire.connect(server.port):
            await until(lambda: server.handshakes)
        await until(lambda: not server.handshakes)
        async with Wire.connect(server.port, tls=pki.client()) as wire:
            assert (await wire.ask("GET", "/")).status == 200


async def test_drain_ends_handshakes_too(serve: Any, pki: PKI) -> None:
    async with serve(who, ssl_context=pki.server()) as server, Wire.connect(server.port) as wire:
        await until(lambda: server.handshakes)
        await server.drain(30)
        assert await wire.rest() == b""


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing")
async def test_curl_is_served(serve: Any, pki: PKI) -> None:
    pair = tls.issue_client_certificate(pki.ca, "jane", [], now=pki.now)
    tls.save(pair, pki.folder / "c.crt", pki.folder / "c.key")
    async with serve(who, ssl_context=pki.server()) as server:
        url = f"https://127.0.0.1:{server.port}/"
        files = ["--cacert", str(pki.folder / "ca.crt"), "--cert", str(pki.folder / "c.crt")]
        files += ["--key", str(pki.folder / "c.key")]
        curl = await asyncio.create_subprocess_exec(
            "curl", "--silent", "--show-error", *files, url, url, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await curl.communicate()
    assert out == b"CN=janeCN=jane"
