"""Who sent a request.

A certificate is asked first, then a bearer token; the first that names somebody wins, even where the other is wrong.
A credential that is wrong, with no other that is right, is refused; a request without any is anonymous. Why it is wrong
is for the log and for reviews of tokens: the client isn't told.
Source: k8s.io/apiserver/pkg/authentication/request/{bearertoken,websocket,union,anonymous},
k8s.io/apiserver/pkg/authentication/authenticator (audiences), k8s.io/kubernetes/pkg/kubeapiserver/authenticator.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from hyperkube_apiserver.authn.jwt import INVALID, TokenError
from hyperkube_apiserver.authn.subprotocols import HEADER, offered_token
from hyperkube_apiserver.authn.tokens import StaticTokens
from hyperkube_machinery.clientcertificates import CertificateIdentity, identify
from hyperkube_machinery.errors import APIError, aggregated
from hyperkube_machinery.identity import ANONYMOUS, UNAUTHENTICATED, Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hyperkube_apiserver.authn.authorities import Authorities
    from hyperkube_apiserver.authn.bootstraptokens import BootstrapTokens
    from hyperkube_apiserver.authn.frontproxy import FrontProxy
    from hyperkube_apiserver.authn.serviceaccounts import ServiceAccountTokens
    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.serving.messages import Connection, Request

__all__ = [
    "ANYWHERE",
    "Anonymity",
    "Authenticator",
    "Proof",
    "TokenAuthenticator",
    "TokenReview",
    "common_audiences",
    "ignored_credentials_warning",
]

log = logging.getLogger(__name__)

_STATE = "authn.certificate"
_ANONYMOUS = Identity(ANONYMOUS, "", (UNAUTHENTICATED,))


@dataclass(frozen=True, slots=True)
class TokenReview:
    """What a token proves."""

    identity: Identity | None = None  # None: nothing
    audiences: tuple[str, ...] = ()  # those of the asker's for which it is meant
    error: str = ""  # why it proves nothing


Proof: TypeAlias = tuple[Identity, tuple[str, ...]]
"""Whom a token stands for, and for which of the audiences that were asked for."""


@dataclass(frozen=True, slots=True)
class Anonymity:
    """Whether, and where, a request may say nothing of who sent it."""

    allowed: bool = True
    paths: frozenset[str] = frozenset()  # if there are any, there alone

    def covers(self, path: str) -> bool:
        """Whether nobody has to say who he is for `path`."""
        return self.allowed and (not self.paths or path in self.paths)


ANYWHERE = Anonymity()


class TokenAuthenticator(Protocol):
    """Knows tokens that others issue."""

    def authenticate(self, token: str, audiences: Sequence[str]) -> Proof | Awaitable[Proof | None] | None:
        """What `token` proves; None if it is none of this authenticator's. Raises TokenError, then or when awaited."""


class Authenticator:
    """Tells who sent a request, from its certificate, its bearer token or their absence."""

    def __init__(
        self,
        *,
        clock: Clock,
        tokens: StaticTokens | None = None,
        accounts: ServiceAccountTokens | None = None,
        bootstrap: BootstrapTokens | None = None,
        others: Sequence[TokenAuthenticator] = (),
        audiences: Sequence[str] = (),
        anonymity: Anonymity = ANYWHERE,
        proxy: FrontProxy | None = None,
        users: Authorities | None = None,
    ) -> None:
        """`others` are asked about tokens that nobody else knows, one after the other.

        `users` are the authorities whose certificates name users, where TLS trusts others too.
        """
        self._clock = clock
        self._tokens = tokens or StaticTokens({})
        self._accounts = accounts
        self._bootstrap = bootstrap
        self.others = tuple(others)
        self.anonymity = anonymity
        self._proxy = proxy
        self._users = users
        self._audiences = tuple(audiences)  # what this server calls itself

    def authenticate(self, request: Request) -> Identity | Awaitable[Identity]:
        """The sender; to be awaited where somebody else has to be asked.

        Raises APIError 401 for wrong credentials, and for none where nobody may be anonymous.
        """
        wrong = False
        connection = request.connection
        der = connection.peer_certificate
        if der is not None:
            certificate = self._certificate(connection, der)
            identity = certificate.identity
            if not certificate.acceptable(self._clock.now()):
                wrong = True
            elif self._proxy is not None and (
                found := self._proxy.find(request, identity.name if identity is not None else "")
            ):
                return found
            elif self._users is not None and not self._users.vouch_for(connection):
                wrong = True
            elif identity is not None:
                return identity
        header = request.headers.get("authorization")
        token = _bearer_token(header) if header else ""
        named = self._bearer(token) if token else None
        if isinstance(named, Identity):
            return named
        if named is not None:
            return self._waited_for(named, request)
        return self._rest(request, wrong=wrong or bool(token))

    async def _waited_for(self, found: Awaitable[Identity | None], request: Request) -> Identity:
        identity = await found
        if identity is not None:
            return identity
        rest = self._rest(request, wrong=True)
        return rest if isinstance(rest, Identity) else await rest

    def _rest(self, request: Request, *, wrong: bool) -> Identity | Awaitable[Identity]:
        """Who sent a request that neither its certificate nor its first token told; `wrong`: there was one."""
        if HEADER in request.headers:
            try:
                token, others = offered_token(request.headers)
            except TokenError as exc:
                log.warning("a bearer token is refused: %s", exc)
                raise APIError.unauthorized() from exc
            found = self._bearer(token) if token else None
            if found is not None:
                request.headers[HEADER] = others  # who chooses a protocol must not choose the token
                return found if isinstance(found, Identity) else _required(found)
            wrong = wrong or bool(token)
        if wrong or not self.anonymity.covers(request.path):
            raise APIError.unauthorized()
        return _ANONYMOUS

    def _bearer(self, token: str) -> Identity | Awaitable[Identity | None] | None:
        """Whom a token stands for, if it counts."""
        identity = self._fixed(token)
        if identity is not None:
            return identity
        try:
            proof = self._accounts.authenticate(token, self._audiences) if self._accounts is not None else None
        except TokenError as exc:
            if not self.others:
                log.warning("a bearer token is refused: %s", exc)
                return None
            return self._asked(token, [str(exc)])
        if proof is not None:
            return proof[0]
        return self._asked(token, []) if self.others else None

    async def _asked(self, token: str, errors: list[str]) -> Identity | None:
        """Whom others say that a token stands for."""
        proof = await self._prove(token, self._audiences, errors)
        if proof is None and errors:
            log.warning("a bearer token is refused: %s", aggregated(errors))
        return proof[0] if proof is not None else None

    async def _prove(self, token: str, audiences: Sequence[str], errors: list[str]) -> Proof | None:
        """The first proof of others; why there is none is added to `errors`."""
        for other in self.others:
            try:
                found = other.authenticate(token, audiences)
                proof = await found if isinstance(found, Awaitable) else found
            except TokenError as exc:
                errors.append(str(exc))
                continue
            if proof is not None:
                return proof
        return None

    def _fixed(self, token: str) -> Identity | None:
        """Whom a token stands for that is for this server, under whichever of its names."""
        identity = self._tokens.find(token)
        if identity is None and self._bootstrap is not None:
            identity = self._bootstrap.find(token)
        return identity

    async def review(self, token: str, audiences: Sequence[str], path: str = "") -> TokenReview:
        """What `token` proves to one of `audiences`, or to this server where there are none.

        `path` is that of the request that asks, where a token that is none may be as good as no token.
        """
        audiences = audiences or self._audiences
        token = _bearer_token(f"Bearer {token}")  # read as a request's header is
        if not token:
            if self.anonymity.covers(path):
                return TokenReview(_ANONYMOUS, tuple(audiences))
            return TokenReview()
        identity = self._fixed(token)
        if identity is not None:
            common = common_audiences(self._audiences, audiences)
            if common or not self._audiences:
                return TokenReview(identity, common)
        errors: list[str] = []
        found: Proof | None = None
        try:
            found = self._accounts.authenticate(token, audiences) if self._accounts is not None else None
        except TokenError as exc:
            errors.append(str(exc))
        if found is None:
            found = await self._prove(token, audiences, errors)
        if found is not None:
            return TokenReview(*found)
        # As upstream, where the server's own token is looked for first.
        return TokenReview(error=aggregated([INVALID, *errors]))

    @staticmethod
    def _certificate(connection: Connection, der: bytes) -> CertificateIdentity:
        known = connection.state.get(_STATE)
        if isinstance(known, CertificateIdentity):
            return known
        certificate = connection.state[_STATE] = identify(der)
        return certificate


async def _required(found: Awaitable[Identity | None]) -> Identity:
    identity = await found
    if identity is None:
        raise APIError.unauthorized()
    return identity


def common_audiences(meant: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """For which of those `asked` for a token is good that is meant for `meant`."""
    return tuple(each for each in meant if each in asked)


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
