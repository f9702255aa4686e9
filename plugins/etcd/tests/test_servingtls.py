"""Who is let in over TLS, and certificates that are renewed."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hyperkube_etcd.endpoints import Endpoints
from hyperkube_etcd.member import Member
from hyperkube_etcd.services import handlers
from hyperkube_etcd.servingtls import ServingTLS
from hyperkube_machinery import tls
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.etcdapi import ETCD
from hyperkube_machinery.grpc import CallFailed, Channel, Endpoint
from hyperkube_machinery.grpc.server import GRPCServer
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.listener import bind
from hyperkube_machinery.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

NOW = time.time()
AUTHORITY = tls.create_ca("etcd", now=NOW)
STRANGER = tls.create_ca("stranger", now=NOW)


def serve_with(folder: Path, common_name: str) -> None:
    pair = tls.issue_serving_certificate(AUTHORITY, common_name, ["127.0.0.1"], now=NOW)
    tls.save(pair, folder / "server.crt", folder / "server.key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ca.crt").write_bytes(AUTHORITY.certificate_pem)
    serve_with(tmp_path, "first")
    return tmp_path


@asynccontextmanager
async def listening(folder: Path, authorities: str) -> AsyncIterator[int]:
    """The port of an etcd behind TLS."""
    clock = SystemClock()
    serving = ServingTLS(folder / "server.crt", folder / "server.key", folder / authorities if authorities else None)
    async with MemoryStore.open(clock=clock) as store:
        member = Member(store, clock)
        server = GRPCServer(handlers(member, None), HTTPServer(Endpoints(member), clock=clock), clock)
        sockets = await bind("127.0.0.1", 0, backlog=10)
        await server.start(sockets, serving.context)
        try:
            yield int(sockets[0].getsockname()[1])
        finally:
            await server.close()


def trusting(signer: tls.KeyPair | None) -> ssl.SSLContext:
    """A client's context, with a certificate of `signer`."""
    shown = None if signer is None else tls.issue_client_certificate(signer, "client", now=NOW)
    context = tls.client_context(
        ca_pem=AUTHORITY.certificate_pem,
        certificate_pem=shown.certificate_pem if shown else b"",
        key_pem=shown.key_pem if shown else b"",
    )
    context.set_alpn_protocols(["h2"])
    return context


async def put(port: int, context: ssl.SSLContext) -> int:
    channel = Channel(Endpoint(host="127.0.0.1", port=port, tls=context), SystemClock())
    try:
        message = ETCD.encode("PutRequest", {"key": b"a", "value": b"b"})
        answer = ETCD.decode("PutResponse", await channel.call("/etcdserverpb.KV/Put", message))
        return int(answer["header"]["revision"])
    finally:
        await channel.close()


@pytest.mark.parametrize(
    ("authorities", "signer", "let_in"),
    [
        ("", None, True),
        ("", STRANGER, True),  # whom nobody asked
        ("ca.crt", AUTHORITY, True),
        ("ca.crt", None, False),
        ("ca.crt", STRANGER, False),
    ],
)
async def test_whoever_is_asked_for_a_certificate_needs_one_of_the_authorities(
    folder: Path, authorities: str, signer: tls.KeyPair | None, let_in: bool
) -> None:
    async with listening(folder, authorities) as port:
        if let_in:
            assert await put(port, trusting(signer)) == 2
        else:
            with pytest.raises(CallFailed):
                await put(port, trusting(signer))


async def shown(port: int) -> bytes:
    """The certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting(AUTHORITY))
    try:
        return bytes(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    finally:
        writer.close()


async def test_a_renewed_certificate_is_shown_to_who_comes_next_and_a_broken_one_is_not(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(folder, "ca.crt") as port:
        first = await shown(port)
        serve_with(folder, "second")
        second = await shown(port)
        assert second != first
        assert await put(port, trusting(AUTHORITY)) == 2
        with pytest.raises(CallFailed):  # the rules stay what they were
            await put(port, trusting(None))
        (folder / "server.crt").write_text("half a certif")
        assert await shown(port) == second
        assert "the certificate in use stays" in caplog.text
        serve_with(folder, "third")
        assert await shown(port) not in (first, second)
