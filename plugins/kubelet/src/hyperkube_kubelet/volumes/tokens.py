"""Tokens of service accounts for pods: asked for, kept while they are fresh, and renewed before they end.

Source: k8s.io/kubernetes/pkg/kubelet/token.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery import meta, timestamps
from hyperkube_machinery.builtin import SERVICE_ACCOUNTS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError

__all__ = ["Tokens", "wants_renewal"]

Tree = Mapping[str, Any]

_OLDEST_SECONDS = 24 * 3600.0
_USED_SHARE = 0.8
_JITTER_SECONDS = 10.0


def wants_renewal(*, now: float, expires: float, lifetime: float, jitter: float) -> bool:
    """Whether a token, all in seconds, has passed four fifths of its life or is a day old."""
    age = now - (expires - lifetime)
    return now > expires - (1 - _USED_SHARE) * lifetime - jitter or age > _OLDEST_SECONDS - jitter


@dataclass(frozen=True, slots=True)
class _Key:
    namespace: str
    account: str
    audience: str
    seconds: int
    uid: str  # the pod's, to which the token is bound


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    expires: float
    lifetime: float


class Tokens:
    """The tokens of a node's pods."""

    def __init__(self, client: Client, clock: Clock, *, jitter: Callable[[], float] = random.random) -> None:
        self._client = client
        self._clock = clock
        self._jitter = jitter
        self._tokens: dict[_Key, _Token] = {}

    async def get(self, pod: Tree, *, audience: str, seconds: int) -> str:
        """A token of the pod's service account for `audience` ("": the API server's own), bound to the pod.

        One that can't be renewed is given as long as it lives. Raises APIError, ClientError.
        """
        account = pod["spec"].get("serviceAccountName") or "default"
        key = _Key(meta.namespace(pod), account, audience, seconds, meta.uid(pod))
        kept, now = self._tokens.get(key), self._clock.now()
        jitter = self._jitter() * _JITTER_SECONDS
        if kept and not wants_renewal(now=now, expires=kept.expires, lifetime=kept.lifetime, jitter=jitter):
            return kept.text
        try:
            token = await self._ask(pod, key)
        except (APIError, ClientError):
            if kept and now < kept.expires:
                return kept.text
            raise
        self._tokens[key] = token
        return token.text

    def forget(self, uid: str) -> None:
        """Drop the tokens of a pod that is gone."""
        self._tokens = {key: token for key, token in self._tokens.items() if key.uid != uid}

    async def _ask(self, pod: Tree, key: _Key) -> _Token:
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta.name(pod), "uid": key.uid}
        spec: dict[str, Any] = {"expirationSeconds": key.seconds, "boundObjectRef": bound}
        spec["audiences"] = [key.audience] if key.audience else []
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        answer = await self._client.create(
            SERVICE_ACCOUNTS, request, key.namespace, name=key.account, subresource="token"
        )
        status = answer["status"]
        return _Token(status["token"], timestamps.parse(status["expirationTimestamp"]), float(key.seconds))
