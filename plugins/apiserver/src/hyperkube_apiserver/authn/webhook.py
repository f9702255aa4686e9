"""Bearer tokens that somebody else knows: a webhook is sent a TokenReview of each.

Source: k8s.io/apiserver/plugin/pkg/authenticator/token/webhook, k8s.io/apiserver/pkg/authentication/token/cache.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hyperkube_apiserver.authn.authenticator import Proof, common_audiences
from hyperkube_apiserver.authn.jwt import TokenError
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_machinery.identity import Identity
from hyperkube_machinery.remembering import Latest

if TYPE_CHECKING:
    from hyperkube_machinery.clock import Clock

__all__ = ["ReviewVersion", "WebhookTokens"]

Tree: TypeAlias = dict[str, Any]
ReviewVersion: TypeAlias = Literal["v1", "v1beta1"]

_GROUP = "authentication.k8s.io"
_REMEMBERED = 4096


class WebhookTokens:
    """Asks a webhook whose a token is, and remembers what it said for a while."""

    def __init__(
        self,
        ask: Callable[[Tree], Awaitable[Tree]],
        clock: Clock,
        *,
        version: ReviewVersion,
        audiences: Sequence[str],
        remembered_seconds: float,
    ) -> None:
        """`ask` sends a review and returns the answer, raising CallFailed; `audiences` are this server's."""
        self._ask = ask
        self._clock = clock
        self._api_version = f"{_GROUP}/{version}"
        self._audiences = tuple(audiences)
        self._seconds = remembered_seconds
        self._secret = secrets.token_bytes(32)
        self._known: Latest[tuple[bytes, tuple[str, ...]], tuple[Proof | None, float]] = Latest(_REMEMBERED)

    def authenticate(self, token: str, audiences: Sequence[str]) -> Proof | Awaitable[Proof | None] | None:
        """What `token` proves. Raises TokenError where the webhook says why it proves nothing, or can't be asked."""
        digest = blake2b(token.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=32).digest()
        key = (digest, tuple(audiences))
        known = self._known.get(key)
        if known is not None and known[1] > self._clock.monotonic():
            return known[0]
        return self._asked(key, token)

    async def _asked(self, key: tuple[bytes, tuple[str, ...]], token: str) -> Proof | None:
        wanted = key[1]
        spec: Tree = {"token": token}
        if wanted:
            spec["audiences"] = list(wanted)
        review = {"kind": "TokenReview", "apiVersion": self._api_version, "spec": spec, "status": {"user": {}}}
        try:
            answer = await self._ask(review)
        except CallFailed as exc:
            raise TokenError(str(exc)) from exc
        found = self._read(_mapping(answer.get("status")), wanted)
        self._known.put(key, (found, self._clock.monotonic() + self._seconds))
        return found

    def _read(self, status: Mapping[str, Any], wanted: tuple[str, ...]) -> Proof | None:
        common: tuple[str, ...] = ()
        if wanted:
            common = common_audiences(wanted, _texts(status.get("audiences")) or self._audiences)
            if not common:
                return None
        if status.get("authenticated") is not True:
            if why := status.get("error"):
                raise TokenError(str(why))
            return None
        user = _mapping(status.get("user"))
        extra = {str(name): _texts(values) for name, values in _mapping(user.get("extra")).items()}
        name, uid = str(user.get("username") or ""), str(user.get("uid") or "")
        return Identity(name, uid, _texts(user.get("groups")), extra).authenticated(), common


def _mapping(value: object) -> Mapping[str, Any]:
    """Raises TokenError for what is none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TokenError("the webhook's answer is no TokenReview")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TokenError("the webhook's answer is no TokenReview")
    return tuple(value)
