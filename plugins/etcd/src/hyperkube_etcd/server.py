"""The server: what is opened, in which order, and closed in reverse.

data directory → store → leases → sockets → serving → ready
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast
from urllib.parse import urlsplit

from hyperkube_core import SettingsError
from hyperkube_etcd.compaction import compacting
from hyperkube_etcd.endpoints import Endpoints
from hyperkube_etcd.member import Member
from hyperkube_etcd.release import VERSION
from hyperkube_etcd.services import handlers
from hyperkube_etcd.servingtls import ServingTLS
from hyperkube_etcd.watch import watch_handler
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.grpc.server import Conduct, GRPCServer
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.listener import bind
from hyperkube_machinery.storage import Backend, open_store
from hyperkube_machinery.storage.backends import FILE_NAME
from hyperkube_machinery.storage.datadir import DataDirectoryError
from hyperkube_machinery.storage.interface import StoreError
from hyperkube_machinery.storage.views import EmbeddedStore
from hyperkube_machinery.tls import CertificateError

if TYPE_CHECKING:
    from hyperkube_core import Context
    from hyperkube_etcd.options import Options

__all__ = ["serve"]

log = logging.getLogger(__name__)

_BACKLOG = 1024
_EXPIRY_SECONDS = 0.5
_DEFAULT_QUOTA = 2 << 30
_OVERHEAD = 512 * 1024
"""Of a message, besides its request. etcd's."""


async def serve(context: Context[Options]) -> None:
    """Serve etcd's interface until cancelled. Raises SettingsError, which names the flag that keeps it from that."""
    options, clock = context.options, context.clock
    backend: Backend = "memory" if options.storage_backend == "memory" else "sqlite"
    try:
        async with open_store(backend, options.directory, clock) as store:
            await _serve(context, cast(EmbeddedStore, store))
    except DataDirectoryError as exc:
        raise SettingsError("data-dir", "flag --data-dir", str(exc)) from exc
    except CertificateError as exc:
        raise SettingsError("cert-file", "flag --cert-file", str(exc)) from exc


async def _serve(context: Context[Options], store: EmbeddedStore) -> None:
    options, clock = context.options, context.clock
    member = _member(options, store, clock)
    await member.open()
    endpoints = Endpoints(member)
    methods = handlers(member, _copy(options))
    notify_seconds = options.experimental_watch_progress_notify_interval
    methods["/etcdserverpb.Watch/Watch"] = watch_handler(member, notify_seconds=notify_seconds)
    server = GRPCServer(methods, HTTPServer(endpoints, clock=clock), clock, conduct=_conduct(options))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.close)
        for url in options.listen_client_urls:
            sockets = await _listen(url, "listen-client-urls")
            await server.start(sockets, _tls(url, options))
            log.info("serving etcd %s on %s", VERSION, _told(url, sockets))
        for url in options.listen_metrics_urls:
            await stack.enter_async_context(_metrics(url, endpoints, options, clock))
        compaction = compacting(store, clock, options.auto_compaction_mode, options.auto_compaction_retention)
        async with companions(_expiring(member), compaction):
            context.ready.set()
            await asyncio.get_running_loop().create_future()


def _member(options: Options, store: EmbeddedStore, clock: Clock) -> Member:
    return Member(
        store,
        clock,
        name=options.name,
        client_urls=options.advertise_client_urls or options.listen_client_urls,
        peer_urls=options.initial_advertise_peer_urls,
        quota_bytes=options.quota_backend_bytes or _DEFAULT_QUOTA,
        most_ops=options.max_txn_ops,
        largest_request=options.max_request_bytes,
        shortest_lease_seconds=-(-3 * options.election_timeout // 2000),
    )


def _conduct(options: Options) -> Conduct:
    return Conduct(
        largest_message=options.max_request_bytes + _OVERHEAD,
        concurrent_calls=options.max_concurrent_streams,
        shortest_ping_seconds=options.grpc_keepalive_min_time,
        idle_seconds=options.grpc_keepalive_interval,
        answer_seconds=options.grpc_keepalive_timeout,
    )


def _copy(options: Options) -> Callable[[Path], Awaitable[None]] | None:
    """How the store's file is copied, where there is one."""
    if options.storage_backend == "memory":
        return None
    from hyperkube_machinery.storage.backup import back_up

    async def copy(path: Path) -> None:
        await asyncio.to_thread(back_up, options.directory / FILE_NAME, path)

    return copy


def _tls(url: str, options: Options) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    assert options.cert_file is not None
    assert options.key_file is not None
    return ServingTLS(options.cert_file, options.key_file, options.trusted_ca_file).context


async def _listen(url: str, name: str) -> list[socket.socket]:
    parts = urlsplit(url)
    try:
        return await bind(parts.hostname or "", parts.port or 0, backlog=_BACKLOG)
    except OSError as exc:
        why = f"{exc.strerror}; choose another port, or 0 for any that is free"
        if exc.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            why = f"{exc.strerror}; choose an address of this machine"
        raise SettingsError(name, f"flag --{name}", why) from exc


def _told(url: str, sockets: list[socket.socket]) -> str:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{sockets[0].getsockname()[1]}"


@asynccontextmanager
async def _metrics(url: str, endpoints: Endpoints, options: Options, clock: Clock) -> AsyncIterator[None]:
    server = HTTPServer(endpoints, clock=clock, ssl_context=_tls(url, options))
    async with server.listening(sockets=await _listen(url, "listen-metrics-urls")):
        yield


async def _expiring(member: Member) -> NoReturn:
    """Revoke leases when their time has come."""
    while True:
        await member.clock.sleep(_EXPIRY_SECONDS)
        try:
            await member.expire()
        except StoreError as exc:
            log.warning("can't delete keys whose lease has ended, trying again: %s", exc)
