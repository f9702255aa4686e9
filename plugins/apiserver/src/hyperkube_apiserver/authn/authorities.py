"""Who issued the certificate that a client showed. Source: k8s.io/apiserver/pkg/authentication/request/x509."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

if TYPE_CHECKING:
    from hyperkube_machinery.serving.messages import Connection

__all__ = ["Authorities"]


class Authorities:
    """Certificates of authorities, of which a connection's client has one that they issued, or hasn't.

    TLS trusts those of users and those of proxies alike, so that whoever tells them apart has to ask.
    """

    def __init__(self, certificates: Iterable[x509.Certificate]) -> None:
        self.replace(certificates)

    def replace(self, certificates: Iterable[x509.Certificate]) -> None:
        """Trust these from now on."""
        self._certificates = tuple(certificates)
        self._encoded = frozenset(one.public_bytes(serialization.Encoding.DER) for one in self._certificates)

    def vouch_for(self, connection: Connection) -> bool:
        """Whether one of them issued the certificate that a client showed, which TLS has verified."""
        der = connection.peer_certificate
        if der is None:
            return False
        state, key = connection.state, f"authn.vouched.{id(self)}"
        known = state.get(key)
        if known is not None and known[0] is self._encoded:
            return bool(known[1])
        vouched = not self._encoded.isdisjoint(connection.peer_chain) or self._issued(der)
        state[key] = (self._encoded, vouched)
        return vouched

    def _issued(self, der: bytes) -> bool:
        try:
            leaf = x509.load_der_x509_certificate(der)
        except ValueError:
            return False
        return any(_is_by(leaf, one) for one in self._certificates)


def _is_by(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
