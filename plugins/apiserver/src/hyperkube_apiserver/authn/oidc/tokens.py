"""Bearer tokens of one issuer. Source: github.com/coreos/go-oidc (verify.go)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.authn.authenticator import Proof, common_audiences
from hyperkube_apiserver.authn.jwt import TokenError, bytes_segment, claimed_issuer, json_segment
from hyperkube_apiserver.authn.oidc.claims import user_of
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.remembering import Latest
from hyperkube_machinery.schema.exact import json_type

if TYPE_CHECKING:
    from hyperkube_apiserver.authn.oidc.provider import Provider
    from hyperkube_apiserver.authn.oidc.terms import IssuerTerms
    from hyperkube_machinery.clock import Clock

__all__ = ["IssuedTokens"]

Tree = Mapping[str, Any]

LEEWAY_SECONDS = 60
REMEMBERED_SECONDS = 10.0
"""So long is a token believed without verifying it again. Source: k8s.io/kubernetes/pkg/kubeapiserver/options."""
_REMEMBERED = 4096
_GOOGLE, _GOOGLE_SHORT = "https://accounts.google.com", "accounts.google.com"


class IssuedTokens:
    """Tells whom a token of the issuer stands for; it is good for this server under all of its names."""

    def __init__(self, terms: IssuerTerms, provider: Provider, clock: Clock, *, audiences: Sequence[str]) -> None:
        """`audiences` are this server's names in reviews; which a token must be for stands in `terms`."""
        self._terms = terms
        self._provider = provider
        self._clock = clock
        self._audiences = tuple(audiences)
        self._secret = secrets.token_bytes(32)
        self._verified: Latest[bytes, tuple[Proof, float]] = Latest(_REMEMBERED)

    def authenticate(self, token: str, audiences: Sequence[str]) -> Proof | Awaitable[Proof | None] | None:
        """What `token` proves; None for tokens of others. Raises TokenError."""
        if _known_issuer(claimed_issuer(token)) != self._terms.url:
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
        claims = await self._verify(token)
        identity = user_of(claims, self._terms).authenticated()
        left = min(REMEMBERED_SECONDS, claims["exp"] - self._clock.now())
        self._verified.put(digest, ((identity, common), self._clock.monotonic() + left))
        return identity, common

    async def _verify(self, token: str) -> Tree:
        """What a token says, that is signed by the issuer and counts now. Raises TokenError."""
        terms = self._terms
        signed, _, tail = token.rpartition(".")
        head, _, payload = signed.partition(".")
        header, claims, signature = json_segment(head), json_segment(payload), bytes_segment(tail)
        if header is None or claims is None or signature is None or "crit" in header:
            raise _bad("oidc: malformed jwt")
        algorithm, key_id = header.get("alg"), header.get("kid") or ""
        if not isinstance(algorithm, str) or not isinstance(key_id, str):
            raise _bad("oidc: malformed jwt")
        if algorithm not in terms.algorithms:
            expected = " ".join(quoted(one) for one in sorted(terms.algorithms))
            raise _bad(
                f"oidc: id token signed with unsupported algorithm, expected [{expected}] got {quoted(algorithm)}"
            )
        await self._provider.verify(key_id, algorithm, signature, signed.encode("ascii"))
        self._check(claims)
        return claims

    def _check(self, claims: Tree) -> None:
        if not isinstance(claims.get("sub"), str | None):
            told = f"json: cannot unmarshal {json_type(claims['sub'])} into Go struct field idToken.sub of type string"
            raise _bad(f"oidc: failed to unmarshal claims: {told}")
        audiences = _audiences(claims)
        wanted = self._terms.audiences
        if not set(wanted) & set(audiences):
            got = "[" + " ".join(map(quoted, audiences)) + "]"
            if len(wanted) == 1:
                raise _bad(f"oidc: expected audience {quoted(wanted[0])} got {got}")
            raise _bad(f"oidc: expected audience in [{' '.join(map(quoted, sorted(wanted)))}] got {got}")
        now = self._clock.now()
        expires = _time(claims, "exp")
        if expires is None or expires < now:
            raise _bad(f"oidc: token is expired (Token Expiry: {_shown(expires or 0)})")
        begins = _time(claims, "nbf")
        if begins is not None and now + LEEWAY_SECONDS < begins:
            raise _bad(f"oidc: current time {_shown(now)} before the nbf (not before) time: {_shown(begins)}")


def _known_issuer(issuer: str | None) -> str | None:
    """Google's short name for itself stands for the long one."""
    return _GOOGLE if issuer == _GOOGLE_SHORT else issuer


def _bad(why: str) -> TokenError:
    return TokenError(f"oidc: verify token: {why}")


def _audiences(claims: Tree) -> tuple[str, ...]:
    value = claims.get("aud")
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise _bad("oidc: failed to unmarshal claims: the audiences are no strings")
    return tuple(values)


def _time(claims: Tree, claim: str) -> float | None:
    value = claims.get(claim)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _bad(f"oidc: failed to unmarshal claims: {claim} is no number")
    return value


def _shown(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    except (OverflowError, ValueError, OSError):
        return str(seconds)
