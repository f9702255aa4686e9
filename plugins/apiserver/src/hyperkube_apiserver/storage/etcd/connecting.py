"""A channel to the etcds that a server was told of."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.grpc import Channel, Endpoint
from hyperkube_machinery.tls import CertificateError, client_context

__all__ = ["connect"]

# Source: k8s.io/apiserver/pkg/storage/storagebackend/factory/etcd3.go, in seconds.
_ALIVE_SECONDS, _ANSWER_SECONDS = 30.0, 10.0
_LARGEST_ANSWER = (1 << 31) - 1
_PORT = 2379


def connect(
    servers: Sequence[str], clock: Clock, ca_file: Path | None, certificate_file: Path | None, key_file: Path | None
) -> Channel:
    """A channel to whichever of `servers` answers. Raises CertificateError."""
    tls = None
    if any("://" in server and server.startswith(("https:", "unixs:")) for server in servers):
        tls = _tls(ca_file, certificate_file, key_file)
    endpoints = [_endpoint(server, tls) for server in servers]
    return Channel(
        endpoints,
        clock,
        user_agent="hk-apiserver",
        largest=_LARGEST_ANSWER,
        alive_seconds=_ALIVE_SECONDS,
        answer_seconds=_ANSWER_SECONDS,
    )


def _endpoint(server: str, tls: ssl.SSLContext | None) -> Endpoint:
    parts = urlsplit(server if "://" in server else f"http://{server}")
    secure = tls if parts.scheme in ("https", "unixs") else None
    if parts.scheme in ("unix", "unixs"):
        return Endpoint(path=Path(f"{parts.netloc}{parts.path}"), tls=secure)
    return Endpoint(host=parts.hostname or "", port=parts.port or _PORT, tls=secure)


def _tls(ca_file: Path | None, certificate_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    try:
        ca = ca_file.read_bytes() if ca_file is not None else None
        certificate = certificate_file.read_bytes() if certificate_file is not None else b""
        key = key_file.read_bytes() if key_file is not None else b""
    except OSError as exc:
        raise CertificateError(f"can't read {exc.filename}: {exc.strerror}") from exc
    context = client_context(ca_pem=ca, certificate_pem=certificate, key_pem=key)
    context.set_alpn_protocols(["h2"])
    return context
