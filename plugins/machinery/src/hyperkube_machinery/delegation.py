"""Who asks a server beside the API server, and whether they may: the API server is asked, and its answers kept a while.

Source: k8s.io/apiserver/pkg/server/options/{authentication,authorization}.go, plugin/pkg/{authenticator,authorizer}
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from hyperkube_machinery.backoff import Backoff
from hyperkube_machinery.builtin import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clientcertificates import CertificateIdentity, identify
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.encoding import encode_sorted
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.identity import ANONYMOUS, MASTERS, UNAUTHENTICATED, Identity
from hyperkube_machinery.remembering import Latest
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.serving.messages import Request

__all__ = ["Decision", "DelegatedAuthenticator", "DelegatedAuthorizer", "open_path"]

log = logging.getLogger(__name__)

Tree = dict[str, Any]

_MOST_KEPT = 8192
_SECONDS = 10.0
_TRIES = 5
_STATE = "delegation.certificate"


class DelegatedAuthenticator:
    """Client certificates are read here, for TLS has verified them; bearer tokens are shown to the API server."""

    def __init__(
        self,
        client: Client | None,
        clock: Clock,
        *,
        seconds: float = 10.0,
        anonymous: bool = True,
        audiences: Sequence[str] = (),
    ) -> None:
        """Without a `client` no token counts. What a token proved is kept `seconds`."""
        self._client = client
        self._clock = clock
        self._seconds = seconds
        self._anonymous = anonymous
        self._audiences = list(audiences)
        self._kept: Latest[bytes, tuple[float, Identity | None]] = Latest(_MOST_KEPT)

    async def authenticate(self, request: Request) -> Identity:
        """Who sent `request`. Raises APIError 401."""
        wrong = False
        der = request.connection.peer_certificate
        if der is not None:
            certificate = _certificate(request, der)
            if not certificate.acceptable(self._clock.now()):
                wrong = True
            elif certificate.identity is not None:
                return certificate.identity
        scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token:
            identity = await self._of_token(token)
            if identity is not None:
                return identity
            wrong = True
        if wrong or not self._anonymous:
            raise APIError.unauthorized()
        return Identity(ANONYMOUS, groups=(UNAUTHENTICATED,))

    async def _of_token(self, token: str) -> Identity | None:
        if self._client is None:
            return None
        key, now = sha256(token.encode()).digest(), self._clock.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        spec: Tree = {"token": token}
        if self._audiences:
            spec["audiences"] = self._audiences
        try:
            status = await _review(self._client, self._clock, TOKEN_REVIEWS, spec)
        except (APIError, ClientError, TimeoutError) as exc:
            log.error("unable to authenticate the request: %s", exc)
            return None
        identity = self._identity(status)
        self._kept.put(key, (now + self._seconds, identity))
        return identity

    def _identity(self, status: Tree) -> Identity | None:
        if not status.get("authenticated"):
            return None
        if self._audiences and not set(self._audiences) & set(status.get("audiences") or ()):
            return None
        user = status.get("user") or {}
        extra = {name: tuple(values) for name, values in (user.get("extra") or {}).items()}
        return Identity(
            user.get("username") or "", user.get("uid") or "", tuple(user.get("groups") or ()), extra
        ).authenticated()


def _certificate(request: Request, der: bytes) -> CertificateIdentity:
    """Read once a connection."""
    state = request.connection.state
    known: CertificateIdentity | None = state.get(_STATE)
    if known is None:
        known = state[_STATE] = identify(der)
    return known


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether somebody may, and why."""

    allowed: bool
    reason: str = ""


class DelegatedAuthorizer:
    """Asks the API server, but for some groups and paths that are always allowed."""

    def __init__(
        self,
        client: Client | None,
        clock: Clock,
        *,
        allowed_seconds: float = 10.0,
        denied_seconds: float = 10.0,
        always_paths: Sequence[str] = ("/healthz", "/readyz", "/livez"),
        always_groups: Sequence[str] = (MASTERS,),
    ) -> None:
        """Without a `client` nobody else may do anything. A path that ends in `*` stands for all that begin so."""
        self._client = client
        self._clock = clock
        self._seconds = {True: allowed_seconds, False: denied_seconds}
        self._always_paths = tuple(always_paths)
        self._always_groups = frozenset(always_groups)
        self._kept: Latest[bytes, tuple[float, Decision]] = Latest(_MOST_KEPT)

    async def authorize(self, identity: Identity, wanted: Tree) -> Decision:
        """`wanted` is `{"nonResourceAttributes": …}` or `{"resourceAttributes": …}`, as in a SubjectAccessReview.

        Raises APIError, ClientError or TimeoutError where that can't be found out.
        """
        if not self._always_groups.isdisjoint(identity.groups):
            return Decision(True)
        path = (wanted.get("nonResourceAttributes") or {}).get("path")
        if path is not None and open_path(path, self._always_paths):
            return Decision(True)
        if self._client is None:
            return Decision(False)
        spec = {
            "user": identity.name,
            "uid": identity.uid,
            "groups": list(identity.groups),
            "extra": {name: list(values) for name, values in identity.extra.items()},
            **wanted,
        }
        key, now = encode_sorted(spec), self._clock.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        status = await _review(self._client, self._clock, SUBJECT_ACCESS_REVIEWS, spec)
        decision = Decision(bool(status.get("allowed")), status.get("reason") or "")
        self._kept.put(key, (now + self._seconds[decision.allowed], decision))
        return decision


def open_path(path: str, always: Sequence[str]) -> bool:
    """Whether `path` is among `always`. Source: k8s.io/apiserver/pkg/authorization/path/path.go"""
    path = path.removeprefix("/")
    for pattern in always:
        pattern = pattern.removeprefix("/")
        if path == pattern or (pattern.endswith("*") and path.startswith(pattern[:-1])):
            return True
    return False


async def _review(client: Client, clock: Clock, resource: Resource, spec: Mapping[str, Any]) -> Tree:
    """The status of a review; what may pass by itself is tried again."""
    review = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
    pauses = Backoff(clock, first=0.5, longest=_SECONDS, factor=1.5, jitter=0.2)
    for left in range(_TRIES - 1, -1, -1):
        try:
            answer = await within(clock, _SECONDS, client.create(resource, review))
        except APIError as exc:
            if not left or (exc.code != 429 and exc.code < 500):
                raise
        except (ClientError, TimeoutError):
            if not left:
                raise
        else:
            return answer.get("status") or {}
        await clock.sleep(pauses.next())
    raise AssertionError("the last try returns or raises")
