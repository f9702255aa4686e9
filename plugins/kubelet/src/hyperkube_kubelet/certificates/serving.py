"""What the kubelet's API is served with: a certificate of its own making, of files, or one that it asks for.

Each connection takes what counts when it is made: files that change are read again, a renewed certificate is taken at
once. Source: InitializeTLS in k8s.io/kubernetes/cmd/kubelet/app/server.go, pkg/kubelet/certificate/kubelet.go,
k8s.io/apiserver/pkg/server/dynamiccertificates.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hyperkube_kubelet.certificates.tlsterms import apply_terms
from hyperkube_machinery import tls
from hyperkube_machinery.clock import Clock

__all__ = ["Files", "ServingContext", "own_certificate"]

log = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What connections are made from."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def stamp(self) -> tuple[object, ...]:
        """Something that is another when the files are. Raises OSError."""
        found = []
        for path in (self.certificate, self.key, self.client_ca):
            if path is not None:
                told = path.stat()
                found.append((told.st_ino, told.st_mtime_ns, told.st_size))
        return tuple(found)


class ServingContext:
    """The context of a server; what it hands to each connection is renewed by `follow` and `reload`."""

    def __init__(self, files: Files, *, version: str = "", suites: Sequence[str] = (), waits: bool = False) -> None:
        """`waits`: whether the certificate may be there only later; until then nobody gets a connection.

        Raises CertificateError for files that can't be used.
        """
        self._files = files
        self._terms = (version, suites)
        self._stamp: tuple[object, ...] = ()
        self._current: ssl.SSLContext | None = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_alpn_protocols(["http/1.1"])
        self.context.options |= ssl.OP_NO_RENEGOTIATION
        self.context.num_tickets = 0
        apply_terms(self.context, *self._terms)
        if files.client_ca is not None:
            self.context.verify_mode = ssl.CERT_OPTIONAL
        self.context.sni_callback = self._switch
        if not waits or files.certificate.exists():
            self._load()

    def _switch(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
        connection.context = self._current
        return None

    def _load(self) -> None:
        files = self._files
        stamp = files.stamp()
        current = tls.server_context(files.certificate, files.key, client_ca_path=files.client_ca)
        apply_terms(current, *self._terms)
        if self._current is None:
            # What a connection is made from has to have one of the same sort, before any is chosen.
            self.context.load_cert_chain(files.certificate, files.key)
            if files.client_ca is not None:
                self.context.load_verify_locations(files.client_ca)
        self._current, self._stamp = current, stamp

    def reload(self) -> None:
        """Take what the files hold now; what can't be used doesn't count, for it may be in the making."""
        try:
            self._load()
        except (OSError, tls.CertificateError) as exc:
            log.error("cannot take over the renewed certificate: %s", exc)

    async def follow(self, clock: Clock) -> NoReturn:
        """Read the files again when they change, until cancelled."""
        while True:
            await clock.sleep(_LOOK_SECONDS)
            try:
                changed = await asyncio.to_thread(self._files.stamp) != self._stamp
            except OSError:
                continue  # one of them is missing just now
            if changed:
                log.info("the files of the serving certificate or of the client CA have changed")
                self.reload()

    @property
    def certificate_path(self) -> Path:
        return self._files.certificate


def own_certificate(folder: Path, names: Sequence[str], *, now: float) -> tuple[Path, Path]:
    """One that nobody can verify, as upstream's: the same one as long as it is good."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority_files = folder / "kubelet-ca.crt", folder / "kubelet-ca.key"
    certificate, key = folder / "kubelet.crt", folder / "kubelet.key"
    if all(path.exists() for path in (*authority_files, certificate, key)):
        authority = tls.load(*authority_files)
        if not tls.renewal_reason(tls.load(certificate, key).certificate, authority.certificate, names, now=now):
            return certificate, key
    authority = tls.create_ca(f"{names[0]}-ca@{int(now)}", now=now)
    tls.save(authority, *authority_files)
    tls.save(tls.issue_serving_certificate(authority, f"{names[0]}@{int(now)}", names, now=now), certificate, key)
    return certificate, key
