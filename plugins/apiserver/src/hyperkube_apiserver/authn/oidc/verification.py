"""What an issuer's token says, once it is known to be the issuer's. Source: github.com/coreos/go-oidc (verify.go)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.authn.jwt import TokenError, bytes_segment, claimed_issuer, json_segment
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.schema.exact import json_type

if TYPE_CHECKING:
    from hyperkube_apiserver.authn.oidc.provider import Provider
    from hyperkube_machinery.clock import Clock

__all__ = ["Claims", "Verifier", "issuer_of"]

Claims = Mapping[str, Any]

LEEWAY_SECONDS = 60
_GOOGLE, _GOOGLE_SHORT = "https://accounts.google.com", "accounts.google.com"


def issuer_of(token: str) -> str | None:
    """Who a token says has issued it, which proves nothing; Google's short name for itself stands for the long one."""
    issuer = claimed_issuer(token)
    return _GOOGLE if issuer == _GOOGLE_SHORT else issuer


class Verifier:
    """Verifies tokens of one issuer."""

    def __init__(
        self, provider: Provider, clock: Clock, *, algorithms: Collection[str], audiences: Collection[str]
    ) -> None:
        """A token must be signed by one of `algorithms` and be for one of `audiences`."""
        self._provider = provider
        self._clock = clock
        self._algorithms = algorithms
        self._audiences = audiences

    async def verify(self, token: str) -> Claims:
        """What a token says, that is signed by the issuer and counts now. Raises TokenError."""
        signed, _, tail = token.rpartition(".")
        head, _, payload = signed.partition(".")
        header, claims, signature = json_segment(head), json_segment(payload), bytes_segment(tail)
        if header is None or claims is None or signature is None or "crit" in header:
            raise TokenError("oidc: malformed jwt")
        algorithm, key_id = header.get("alg"), header.get("kid") or ""
        if not isinstance(algorithm, str) or not isinstance(key_id, str):
            raise TokenError("oidc: malformed jwt")
        if algorithm not in self._algorithms:
            expected = " ".join(quoted(one) for one in sorted(self._algorithms))
            raise TokenError(
                f"oidc: id token signed with unsupported algorithm, expected [{expected}] got {quoted(algorithm)}"
            )
        await self._provider.verify(key_id, algorithm, signature, signed.encode("ascii"))
        self._check(claims)
        return claims

    def _check(self, claims: Claims) -> None:
        if not isinstance(claims.get("sub"), str | None):
            told = f"json: cannot unmarshal {json_type(claims['sub'])} into Go struct field idToken.sub of type string"
            raise TokenError(f"oidc: failed to unmarshal claims: {told}")
        audiences = _audiences(claims)
        wanted = self._audiences
        if not set(wanted) & set(audiences):
            got = "[" + " ".join(map(quoted, audiences)) + "]"
            if len(wanted) == 1:
                raise TokenError(f"oidc: expected audience {quoted(next(iter(wanted)))} got {got}")
            raise TokenError(f"oidc: expected audience in [{' '.join(map(quoted, sorted(wanted)))}] got {got}")
        now = self._clock.now()
        expires = _time(claims, "exp")
        if expires is None or expires < now:
            raise TokenError(f"oidc: token is expired (Token Expiry: {_shown(expires or 0)})")
        begins = _time(claims, "nbf")
        if begins is not None and now + LEEWAY_SECONDS < begins:
            raise TokenError(f"oidc: current time {_shown(now)} before the nbf (not before) time: {_shown(begins)}")


def _audiences(claims: Claims) -> tuple[str, ...]:
    value = claims.get("aud")
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise TokenError("oidc: failed to unmarshal claims: the audiences are no strings")
    return tuple(values)


def _time(claims: Claims, claim: str) -> float | None:
    value = claims.get(claim)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TokenError(f"oidc: failed to unmarshal claims: {claim} is no number")
    return value


def _shown(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    except (OverflowError, ValueError, OSError):
        return str(seconds)
