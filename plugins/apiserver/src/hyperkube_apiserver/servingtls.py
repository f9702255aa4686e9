"""How the server speaks TLS: with which certificates, what it accepts of clients, and whose certificates it verifies.

What stands in files is taken over when they change, for connections from then on. A name that a client asks for
(SNI) may have a certificate of its own.
Source: k8s.io/apiserver/pkg/server/dynamiccertificates, k8s.io/component-base/cli/flag/ciphersuites_flag.go.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from cryptography import x509

from hyperkube_apiserver.authn.authorities import Authorities
from hyperkube_apiserver.tlsterms import CIPHER_SUITES, CURVES, MINIMUM_VERSIONS, NamedCertificate, TLSTerms
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.files import stamp
from hyperkube_machinery.tls import CertificateError, load, load_certificates, server_context

__all__ = ["ServingTLS"]

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks at whether files have changed."""


class ServingTLS:
    """The contexts, as the files are now."""

    def __init__(self, terms: TLSTerms) -> None:
        """Raises CertificateError."""
        self._terms = terms
        self.users = Authorities(())  # whose certificates name users
        self.proxies = Authorities(())
        self.client_pem = b""  # of those that name users
        self.proxy_pem = b""
        self._seen = _stamps(terms.files)
        self._by_name: dict[str, ssl.SSLContext] = {}
        self.context = self._current = self._load()
        """What the server is given; what a connection gets is chosen in its handshake."""
        self.context.sni_callback = self._choose

    @property
    def current(self) -> ssl.SSLContext:
        """What a connection that names nobody gets now."""
        return self._current

    async def keep(self, clock: Clock) -> NoReturn:
        """Take changes of the files over, until cancelled. What can't be used is logged, and what was there stays."""
        while True:
            await clock.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Take over what has changed since the last look."""
        stamps = _stamps(self._terms.files)
        if stamps == self._seen:
            return
        self._seen = stamps
        try:
            self._current = self._load()
        except CertificateError as exc:
            log.error("the certificates in use stay, for the new ones can't be used: %s", exc)
        else:
            log.info("certificates have changed on disk, and are used from now on")

    def _load(self) -> ssl.SSLContext:
        terms = self._terms
        client_pem = terms.own_authority + _content(terms.client_authorities)
        proxy_pem = _content(terms.proxy_authorities)
        context = self._made(terms.certificate, terms.key, client_pem + proxy_pem)
        by_name: dict[str, ssl.SSLContext] = {}
        for one in terms.named:
            own = self._made(one.certificate, one.key, client_pem + proxy_pem)
            for name in one.names or _names_in(one):
                by_name.setdefault(name.lower(), own)
        self.users.replace(x509.load_pem_x509_certificates(client_pem))
        self.proxies.replace(x509.load_pem_x509_certificates(proxy_pem) if proxy_pem else ())
        self.client_pem, self.proxy_pem, self._by_name = client_pem, proxy_pem, by_name
        return context

    def _made(self, certificate: Path, key: Path, authorities: bytes) -> ssl.SSLContext:
        context = server_context(certificate, key)
        context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.minimum_version = ssl.TLSVersion[MINIMUM_VERSIONS[self._terms.minimum_version]]
        if suites := [found for name in self._terms.cipher_suites if (found := CIPHER_SUITES[name])]:
            try:
                context.set_ciphers(":".join(dict.fromkeys(suites)))
            except ssl.SSLError as exc:
                raise CertificateError(f"this machine's TLS has none of the cipher suites asked for ({exc})") from exc
        elif self._terms.cipher_suites:
            context.minimum_version = ssl.TLSVersion.TLSv1_3  # nothing is left of TLS 1.2
        if self._terms.curve:
            try:
                context.set_ecdh_curve(CURVES[self._terms.curve])
            except (ssl.SSLError, ValueError) as exc:
                raise CertificateError(f"this machine's TLS does not have the curve asked for ({exc})") from exc
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Give a connection what its client asks for."""
        chosen = self._named(name) if name and self._by_name else self._current
        if chosen is not context:
            connection.context = chosen

    def _named(self, name: str) -> ssl.SSLContext:
        name = name.lower().rstrip(".")
        found = self._by_name.get(name) or self._by_name.get("*." + name.partition(".")[2])
        return found or self._current


def _stamps(files: Iterable[Path]) -> list[tuple[int, int, int] | None]:
    return [stamp(file) for file in files]


def _content(file: Path | None) -> bytes:
    """The certificates in a file. Raises CertificateError."""
    if file is None:
        return b""
    load_certificates(file)  # for its errors, which name the file
    return file.read_bytes() + b"\n"


def _names_in(one: NamedCertificate) -> list[str]:
    certificate = load(one.certificate, one.key).certificate
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)
