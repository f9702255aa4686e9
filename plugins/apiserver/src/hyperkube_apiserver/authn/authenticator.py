"""Who sent a request.

A certificate is asked first, then a bearer token; the first that names somebody wins, even where the other is wrong.
A credential that is wrong, with no other that is right, is refused; a request without any is anonymous. Why it is wrong
is for the log and for reviews of tokens: the client isn't told.
Source: k8s.io/apiserver/pkg/authentication/request/{bearertoken,websocket,union,anonymous},
k8s.io/apiserver/pkg/authentication/authenticator (audiences), k8s.io/kubernetes/pkg/kubeapiserver/authenticator.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyperkube_apiserver.authn.jwt import INVALID, TokenError
from hyperkube_apiserver.authn.subprotocols import HEADER, offered_token
from hyperkube_apiserver.authn.tokens import StaticTokens
from hyperkube_machinery.clientcertificates import CertificateIdentity, identify
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.identity import ANONYMOUS, UNAUTHENTICATED, Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyperkube_apiserver.authn.bootstraptokens import BootstrapTokens
    from hyperkube_apiserver.authn.serviceaccounts import ServiceAccountTokens
    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.serving.messages import Connection, Request

__all__ = ["Authenticator", "TokenReview", "ignored_credentials_warning"]

log = logging.getLogger(__name__)

_STATE = "authn.certificate"
_ANONYMOUS = Identity(ANONYMOUS, "", (UNAUTHENTICATED,))


@dataclass(frozen=True, slots=True)
class TokenReview:
    """What a token proves."""

    identity: Identity | None = None  # None: nothing
    audiences: tuple[str, ...] = ()  # those of the asker's for which it is meant
    error: str = ""  # why it proves nothing


class Authenticator:
    """Tells who sent a request, from its certificate, its bearer token or their absence."""

    def __init__(
        self,
        *,
        clock: Clock,
        tokens: StaticTokens | None = None,
        accounts: ServiceAccountTokens | None = None,
        bootstrap: BootstrapTokens | None = None,
        audiences: Sequence[str] = (),
        anonymous: bool = True,
    ) -> None:
        self._clock = clock
        self._tokens = tokens or StaticTokens({})
        self._accounts = accounts
        self._bootstrap = bootstrap
        self._audiences = tuple(audiences)  # what this server calls itself
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
        token = _bearer_token(header) if header else ""
        if token:
            identity = self._bearer(token)
            if identity is not None:
                return identity
            wrong = True
        if HEADER in request.headers:
            try:
                token, others = offered_token(request.headers)
            except TokenError as exc:
                log.warning("a bearer token is refused: %s", exc)
                raise APIError.unauthorized() from exc
            identity = self._bearer(token) if token else None
            if identity is not None:
                request.headers[HEADER] = others  # who chooses a protocol must not choose the token
                return identity
            wrong = wrong or bool(token)
        if wrong or not self._anonymous:
            raise APIError.unauthorized()
        return _ANONYMOUS

    def _bearer(self, token: str) -> Identity | None:
        """Whom a token stands for, if it counts."""
        identity = self._fixed(token)
        if identity is not None or self._accounts is None:
            return identity
        try:
            found = self._accounts.authenticate(token, self._audiences)
        except TokenError as exc:
            log.warning("a bearer token is refused: %s", exc)
            return None
        return found[0] if found is not None else None

    def _fixed(self, token: str) -> Identity | None:
        """Whom a token stands for that is for this server, under whichever of its names."""
        identity = self._tokens.find(token)
        if identity is None and self._bootstrap is not None:
            identity = self._bootstrap.find(token)
        return identity

    def review(self, token: str, audiences: Sequence[str]) -> TokenReview:
        """What `token` proves to one of `audiences`, or to this server where there are none."""
        audiences = audiences or self._audiences
        token = _bearer_token(f"Bearer {token}")  # read as a request's header is
        if not token:
            if self._anonymous:
                return TokenReview(_ANONYMOUS, tuple(audiences))
            return TokenReview()
        identity = self._fixed(token)
        if identity is not None:
            common = tuple(each for each in self._audiences if each in audiences)
            if common or not self._audiences:
                return TokenReview(identity, common)
        try:
            found = self._accounts.authenticate(token, audiences) if self._accounts is not None else None
        except TokenError as exc:
            return TokenReview(error=str(exc))
        return TokenReview(*found) if found is not None else TokenReview(error=INVALID)

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
