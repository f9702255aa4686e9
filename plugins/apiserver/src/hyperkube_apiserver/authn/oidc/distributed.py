"""A claim that a token doesn't hold itself: it says which server keeps it, and that answers with another token.

    "_claim_names": {"groups": "src"}, "_claim_sources": {"src": {"endpoint": "https://…", "access_token": "…"}}

Source: OpenID Connect Core 1.0, 5.6.2; k8s.io/apiserver/plugin/pkg/authenticator/token/oidc (claimResolver).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from hyperkube_apiserver.authn.jwt import TokenError
from hyperkube_apiserver.authn.oidc.provider import FetchFailed, NotReady, Provider
from hyperkube_apiserver.authn.oidc.verification import Claims, Verifier, issuer_of
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.remembering import Latest

if TYPE_CHECKING:
    from hyperkube_apiserver.authn.oidc.terms import IssuerTerms
    from hyperkube_machinery.clock import Clock

__all__ = ["DistributedClaim"]

_ISSUERS = 64
"""Of so many issuers keys are remembered; the tokens that name them were signed by the one that is trusted."""


class Fetch(Protocol):
    """Fetches documents."""

    async def __call__(self, url: str, token: str = "") -> bytes:
        """The body at `url`, which is asked for with `token`. Raises FetchFailed."""


class DistributedClaim:
    """Puts one claim where it belongs."""

    def __init__(self, claim: str, terms: IssuerTerms, own: Provider, fetch: Fetch, clock: Clock) -> None:
        """The token that holds `claim` must be as `terms` want, but may be of another issuer than `own`."""
        self._claim = claim
        self._terms = terms
        self._fetch = fetch
        self._clock = clock
        self._own = self._verifier(own)
        self._verifiers: Latest[str, Verifier] = Latest(_ISSUERS)

    async def expanded(self, claims: Claims) -> Claims:
        """The claims, with the one that is kept elsewhere. Raises TokenError."""
        source = self._source(claims)
        if source is None or not source.get("endpoint"):  # without one it is aggregated, which nobody reads
            return claims
        try:
            found = await self._resolved(_text(source, "endpoint"), _text(source, "access_token"))
        except TokenError as exc:
            raise _unexpanded(str(exc)) from exc
        return {**claims, self._claim: found}

    def _source(self, claims: Claims) -> Mapping[str, Any] | None:
        """Where the claim is kept; None where it is there, or nowhere."""
        names = claims.get("_claim_names")
        if self._claim in claims or names is None:
            return None
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise _unexpanded("oidc: error parsing distributed claim names: they are no map of strings")
        sources = claims.get("_claim_sources")
        if sources is None:
            raise _unexpanded("oidc: no claim sources")
        if not isinstance(sources, dict) or not all(isinstance(source, dict) for source in sources.values()):
            raise _unexpanded("oidc: could not parse claim sources: they are no map of objects")
        name = names.get(self._claim)
        if name is None:
            return None
        if name not in sources:
            raise _unexpanded(f"id token _claim_names contained a source {name} missing in _claims_sources")
        found: Mapping[str, Any] = sources[name]
        return found

    async def _resolved(self, url: str, access_token: str) -> Any:
        try:
            token = (await self._fetch(url, access_token)).decode("utf-8", "replace")
        except FetchFailed as exc:
            raise TokenError(f"while getting distributed claim {quoted(self._claim)}: {exc}") from exc
        issuer = issuer_of(token)
        if issuer is None:
            why = (
                f"getting untrusted issuer from endpoint {url} failed for claim {quoted(self._claim)}: malformed token"
            )
            raise TokenError(why)
        try:
            claims = await self._of(issuer).verify(token)
        except NotReady as exc:
            why = f"verifying untrusted issuer {issuer} failed: verifier not initialized for issuer: {quoted(issuer)}"
            raise TokenError(why) from exc
        except TokenError as exc:
            raise TokenError(f"verify distributed claim token: {exc}") from exc
        if self._claim not in claims:
            told = f"jwt returned by distributed claim endpoint {quoted(url)} did not contain claim: {self._claim}"
            raise TokenError(told)
        return claims[self._claim]

    def _of(self, issuer: str) -> Verifier:
        if issuer == self._terms.url:
            return self._own
        verifier = self._verifiers.get(issuer)
        if verifier is None:
            verifier = self._verifier(Provider(issuer, self._fetch, self._clock))
            self._verifiers.put(issuer, verifier)
        return verifier

    def _verifier(self, provider: Provider) -> Verifier:
        terms = self._terms
        return Verifier(provider, self._clock, algorithms=terms.algorithms, audiences=terms.audiences)


def _text(source: Mapping[str, Any], field: str) -> str:
    value = source.get(field) or ""
    if not isinstance(value, str):
        raise TokenError(f"oidc: could not parse claim sources: {field} is no string")
    return value


def _unexpanded(why: str) -> TokenError:
    return TokenError(f"oidc: could not expand distributed claims: {why}")
