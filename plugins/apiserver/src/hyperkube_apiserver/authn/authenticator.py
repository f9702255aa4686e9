"""Who sent a request.

A certificate is asked first, then a bearer token; the first that names somebody wins, even where the other is wrong.
A credential that is wrong, with no other that is right, is refused; a request without any is anonymous.
Source: k8s.io/apiserver/pkg/authentication/request/{bearertoken,union,anonymous}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyperkube_apiserver.authn.certificates import CertificateIdentity, identify
from hyperkube_apiserver.authn.identity import ANONYMOUS, UNAUTHENTICATED, Identity
from hyperkube_apiserver.authn.tokens import StaticTokens
from hyperkube_machinery.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.serving.messages import Connection, Request

__all__ = ["Authenticator", "ignored_credentials_warning"]

_STATE = "authn.certificate"
_ANONYMOUS = Identity(ANONYMOUS, "", (UNAUTHENTICATED,))


class Authenticator:
    """Tells who sent a request, from its certificate, its bearer token or their absence."""

    def __init__(self, *, clock: Clock, tokens: StaticTokens | None = None, anonymous: bool = True) -> None:
        self._clock = clock
        self._tokens = tokens or StaticTokens({})
        self._anonymous = anonymous

    def authenticate(self, request: Request) -> Identity:
        """The sender. Raises APIError 401 for wrong credentials, and for none where nobody may be anonymous."""
        wrong = False
        connection = request.connection
        der = connection.peer_certificate
        if der is not None:
            certificate = self._certificate(connection, der)
            if not certificate.acceptable(self._clock.now()):
                wrong = True
            elif certificate.identity is not None:
                return certificate.identity
        header = request.headers.get("authorization")
        if header:
            token = _bearer_token(header)
            if token:
                identity = self._tokens.find(token)
                if identity is not None:
                    return identity
                wrong = True
        if wrong or not self._anonymous:
            raise APIError.unauthorized()
        return _ANONYMOUS

    @staticmethod
    def _certificate(connection: Connection, der: bytes) -> CertificateIdentity:
        known = connection.state.get(_STATE)
        if isinstance(known, CertificateIdentity):
            return known
        certificate = connection.state[_STATE] = identify(der)
        return certificate


def _bearer_token(header: str) -> str:
    """The token of a `Bearer` header; "" where another scheme, or no token, makes the request anonymous."""
    parts = header.strip().split(" ", 2)
    return parts[1] if len(parts) > 1 and parts[0].lower() == "bearer" else ""


def ignored_credentials_warning(headers: Mapping[str, str]) -> str:
    """The warning for a client whose token is ignored because of a doubled space; "" for all others."""
    header = headers.get("authorization", "")
    if "  " not in header:
        return ""
    parts = header.strip().split(" ", 2)
    if len(parts) == 3 and parts[0].lower() == "bearer" and not parts[1]:
        return "the provided Authorization header contains extra space before the bearer token, and is ignored"
    return ""
