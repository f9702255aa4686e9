"""Bearer tokens of one issuer. Source: k8s.io/apiserver/plugin/pkg/authenticator/token/oidc."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from hyperkube_apiserver.authn.authenticator import Proof, common_audiences
from hyperkube_apiserver.authn.jwt import TokenError
from hyperkube_apiserver.authn.oidc.claims import user_of
from hyperkube_apiserver.authn.oidc.provider import NotReady
from hyperkube_apiserver.authn.oidc.verification import Claims, Verifier, issuer_of
from hyperkube_machinery.remembering import Latest

if TYPE_CHECKING:
    from hyperkube_apiserver.authn.oidc.distributed import DistributedClaim
    from hyperkube_apiserver.authn.oidc.provider import Provider
    from hyperkube_apiserver.authn.oidc.terms import IssuerTerms
    from hyperkube_machinery.clock import Clock

__all__ = ["IssuedTokens"]

REMEMBERED_SECONDS = 10.0
"""So long is a token believed without verifying it again. Source: k8s.io/kubernetes/pkg/kubeapiserver/options."""
_REMEMBERED = 4096


class IssuedTokens:
    """Tells whom a token of the issuer stands for; it is good for this server under all of its names."""

    def __init__(
        self,
        terms: IssuerTerms,
        provider: Provider,
        clock: Clock,
        *,
        audiences: Sequence[str],
        groups: DistributedClaim | None = None,
        observe: Callable[[bool, float], None] = lambda well, seconds: None,
    ) -> None:
        """`audiences` are this server's names in reviews; which a token must be for stands in `terms`.

        `groups` are asked for where they are kept, if a token says that they are kept elsewhere. `observe` is told of
        each token that isn't remembered whether it counts, and how many seconds that took.
        """
        self._terms = terms
        self._verifier = Verifier(provider, clock, algorithms=terms.algorithms, audiences=terms.audiences)
        self._clock = clock
        self._audiences = tuple(audiences)
        self._groups = groups
        self._observe = observe
        self._secret = secrets.token_bytes(32)
        self._verified: Latest[bytes, tuple[Proof, float]] = Latest(_REMEMBERED)

    def authenticate(self, token: str, audiences: Sequence[str]) -> Proof | Awaitable[Proof | None] | None:
        """What `token` proves; None for tokens of others. Raises TokenError."""
        if issuer_of(token) != self._terms.url:
            return None
        common = common_audiences(audiences, self._audiences)
        if not common and self._audiences:
            return None
        digest = blake2b(token.encode(), key=self._secret, digest_size=32).digest()
        known = self._verified.get(digest)
        if known is not None and known[1] > self._clock.monotonic():
            return known[0][0], common
        return self._prove(token, digest, common)

    async def _prove(self, token: str, digest: bytes, common: tuple[str, ...]) -> Proof:
        began = self._clock.monotonic()
        try:
            claims = await self._verify(token)
            if self._groups is not None:
                claims = await self._groups.expanded(claims)
            identity = user_of(claims, self._terms).authenticated()
        except TokenError:
            self._observe(False, self._clock.monotonic() - began)
            raise
        self._observe(True, self._clock.monotonic() - began)
        left = min(REMEMBERED_SECONDS, claims["exp"] - self._clock.now())
        self._verified.put(digest, ((identity, common), self._clock.monotonic() + left))
        return identity, common

    async def _verify(self, token: str) -> Claims:
        try:
            return await self._verifier.verify(token)
        except NotReady as exc:
            raise TokenError("oidc: authenticator not initialized") from exc
        except TokenError as exc:
            raise TokenError(f"oidc: verify token: {exc}") from exc
