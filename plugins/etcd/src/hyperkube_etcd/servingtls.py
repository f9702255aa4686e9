"""TLS for clients: each handshake finds the certificate that stands in the files then.

Source: go.etcd.io/etcd/client/pkg/v3/transport/listener.go.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from hyperkube_machinery.files import stamp
from hyperkube_machinery.tls import CertificateError, server_context

__all__ = ["ServingTLS"]

log = logging.getLogger(__name__)

_PROTOCOLS = ["h2", "http/1.1"]


class ServingTLS:
    """The context to listen with, for connections of today and after the certificate was renewed."""

    def __init__(self, certificate: Path, key: Path, authorities: Path | None) -> None:
        """Clients need a certificate of one of `authorities`, if there are any. Raises CertificateError."""
        self._certificate, self._key, self._authorities = certificate, key, authorities
        self._seen = self._stamps()
        self.context = self._current = self._made()
        self.context.sni_callback = self._choose

    def _made(self) -> ssl.SSLContext:
        context = server_context(self._certificate, self._key, client_ca_path=self._authorities)
        context.set_alpn_protocols(_PROTOCOLS)
        if self._authorities is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Called in each handshake, whatever name its client asks for."""
        stamps = self._stamps()
        if stamps != self._seen:
            self._seen = stamps
            try:
                self._current = self._made()
            except CertificateError as exc:  # it may be written just now
                log.error("the certificate in use stays, for the new one can't be used: %s", exc)
            else:
                log.info("the certificate has changed on disk, and is used from now on")
        if self._current is not context:
            connection.context = self._current

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [stamp(file) for file in (self._certificate, self._key)]
