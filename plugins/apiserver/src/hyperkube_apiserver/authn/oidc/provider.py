"""An issuer as it can be asked: its discovery document, and the keys that it signs with now.

Nothing is asked before the first token of the issuer comes, so that a server starts without it; an issuer that can't be
reached then is asked again ten seconds later. A signature by no key that is known has the keys fetched anew, for an
issuer changes them. Source: github.com/coreos/go-oidc (oidc.go, jwks.go).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import orjson

from hyperkube_apiserver.authn.jwt import TokenError
from hyperkube_apiserver.authn.oidc.keys import VerifyingKey, read_keys
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.quoting import quoted

__all__ = ["Fetch", "FetchFailed", "NotReady", "Provider"]

log = logging.getLogger(__name__)

Fetch: TypeAlias = Callable[[str], Awaitable[bytes]]
"""The body at a URL. Raises FetchFailed."""

_WELL_KNOWN = "/.well-known/openid-configuration"
_AGAIN_SECONDS = 10.0
_SELDOM_SECONDS = 1.0
"""Keys are fetched no more often: anybody can send tokens that no key has signed."""


class FetchFailed(Exception):
    """A document of an issuer couldn't be had."""


class NotReady(TokenError):
    """The issuer could not be asked yet for where its keys are."""


class Provider:
    """One issuer."""

    def __init__(self, issuer: str, fetch: Fetch, clock: Clock, *, discovery_url: str = "") -> None:
        """`discovery_url` is where its document is if not where it belongs."""
        self.issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._document_url = discovery_url or issuer.removesuffix("/") + _WELL_KNOWN
        self._keys_url = ""
        self._failed = float("-inf")  # when discovery did, on the monotonic clock
        self._fetched = float("-inf")  # when the keys were asked for last
        self._keys: list[VerifyingKey] = []
        self._fetching: asyncio.Task[None] | None = None

    async def verify(self, key_id: str, algorithm: str, signature: bytes, signed: bytes) -> None:
        """Return if a key of the issuer made `signature`. Raises TokenError."""

        def is_signed() -> bool:
            keys = (key for key in self._keys if not key_id or key.id == key_id)
            return any(key.verifies(algorithm, signature, signed) for key in keys)

        if is_signed():
            return
        await self._refresh()
        if not is_signed():
            raise TokenError("failed to verify signature: failed to verify id token signature")

    async def _refresh(self) -> None:
        """Have the keys as they are now, unless that was a moment ago. All that wait for it share it."""
        if self._fetching is None:
            if self._clock.monotonic() < self._fetched + _SELDOM_SECONDS:
                return
            self._fetching = asyncio.get_running_loop().create_task(self._load())
            self._fetching.add_done_callback(self._done)
        await asyncio.shield(self._fetching)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # whoever waited was told; maybe nobody does any more

    async def _load(self) -> None:
        if not self._keys_url:
            await self._discover()
        self._fetched = self._clock.monotonic()
        try:
            self._keys = read_keys(orjson.loads(await self._fetch(self._keys_url)))
        except (FetchFailed, ValueError) as exc:
            why = (
                f"oidc: get keys failed {exc}"
                if isinstance(exc, FetchFailed)
                else f"oidc: failed to decode keys: {exc}"
            )
            raise TokenError(f"failed to verify signature: fetching keys {why}") from exc

    async def _discover(self) -> None:
        if self._clock.monotonic() < self._failed + _AGAIN_SECONDS:
            raise NotReady("authenticator not initialized")
        try:
            self._keys_url = self._read(orjson.loads(await self._fetch(self._document_url)))
        except (FetchFailed, ValueError) as exc:
            self._failed = self._clock.monotonic()
            log.error("the issuer %s can't be asked for its keys: %s", self.issuer, exc)
            raise NotReady("authenticator not initialized") from exc

    def _read(self, document: Any) -> str:
        """Where the keys are, by the discovery document. Raises ValueError."""
        if not isinstance(document, dict):
            raise ValueError("oidc: failed to decode provider discovery object: it is no object")
        told = document.get("issuer")
        if told != self.issuer:
            raise ValueError(
                "oidc: issuer did not match the issuer returned by provider, "
                f"expected {quoted(self.issuer)} got {quoted(str(told))}"
            )
        keys_url = document.get("jwks_uri")
        if not isinstance(keys_url, str) or not keys_url:
            raise ValueError("provider did not return JWKS URL")
        return keys_url
