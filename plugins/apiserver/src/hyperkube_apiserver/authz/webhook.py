"""An authorizer that asks somebody else: a webhook is sent a SubjectAccessReview of each question.

Source: k8s.io/apiserver/plugin/pkg/authorizer/webhook.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hyperkube_apiserver.authz.authorizers import DENIED, Decision, Rules, Ruling
from hyperkube_apiserver.authz.reviews import review_spec
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.remembering import Latest

if TYPE_CHECKING:
    from hyperkube_apiserver.authz.attributes import Attributes
    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.identity import Identity

__all__ = ["Matches", "ReviewVersion", "WebhookAuthorizer", "WebhookTerms"]

log = logging.getLogger(__name__)

Tree: TypeAlias = dict[str, Any]
ReviewVersion: TypeAlias = Literal["v1", "v1beta1"]
Matches: TypeAlias = Callable[[Tree], bool]
"""Whether a review is one for the webhook. Raises ValueError where that can't be told."""
Observe: TypeAlias = Callable[[str, float, bool], None]
"""Told what came of a question, after how many seconds, and whether others are asked instead."""

_GROUP = "authorization.k8s.io"
_REMEMBERED = 8192
_LONGEST = 10_000
"""Characters of what the client chose in a question whose answer is remembered: it must not fill the memory."""
_UNLISTED = Rules(incomplete=True, errors=("webhook authorizer does not support user rule resolution",))
_LATE = "deadline exceeded"
_BOTH = "webhook subject access review returned both allow and deny response"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTerms:
    """What is asked of one webhook, and what its silence means."""

    version: ReviewVersion = "v1beta1"
    allowed_seconds: float = 300.0  # how long a permission is remembered
    refused_seconds: float = 30.0  # how long anything else is
    fails_closed: bool = False  # whether nobody else is asked where the webhook can't be


class WebhookAuthorizer:
    """Asks a webhook, and remembers what it said for a while."""

    def __init__(
        self,
        ask: Callable[[Tree], Awaitable[Tree]],
        clock: Clock,
        terms: WebhookTerms,
        matches: Matches | None = None,
        observe: Observe = lambda result, seconds, passed_over: None,
    ) -> None:
        """`ask` sends a review and returns the answer, raising CallFailed; without `matches` it is asked of all."""
        self._observe = observe
        self._ask = ask
        self._clock = clock
        self._terms = terms
        self._matches = matches
        self._known: Latest[bytes, tuple[Decision, float]] = Latest(_REMEMBERED)

    def authorize(self, identity: Identity, info: Attributes) -> Ruling:
        """What the webhook said of the same question not long ago, or what it is to be waited for."""
        spec = review_spec(identity, info)
        if self._matches is not None:
            try:
                concerned = self._matches({"apiVersion": f"{_GROUP}/v1", "kind": "SubjectAccessReview", "spec": spec})
            except ValueError as exc:
                return self._failed(str(exc))
            if not concerned:
                return DENIED
        key = encode(spec)
        known = self._known.get(key)
        if known is not None and known[1] > self._clock.monotonic():
            return known[0]
        return self._asked(key if _size(info) < _LONGEST else b"", spec)

    def explain(self, identity: Identity, info: Attributes) -> Ruling:
        """The same: the webhook gives its reasons anyway."""
        return self.authorize(identity, info)

    def rules_for(self, identity: Identity, namespace: str) -> Rules:
        """None, for a webhook can't be asked for them."""
        return _UNLISTED

    async def _asked(self, key: bytes, spec: Tree) -> Decision:
        terms = self._terms
        review: Tree = {"kind": "SubjectAccessReview", "apiVersion": f"{_GROUP}/{terms.version}"}
        review |= {"metadata": {}, "spec": _renamed(spec) if terms.version == "v1beta1" else spec}
        began = self._clock.monotonic()
        try:
            answer = await self._ask({**review, "status": {"allowed": False}})
            decision = _read(answer.get("status"))
        except CallFailed as exc:
            log.error("a webhook that authorizes can't be asked: %s", exc)
            result = "timeout" if _LATE in str(exc) else "error"
            self._observe(result, self._clock.monotonic() - began, not terms.fails_closed)
            return self._failed(str(exc))
        except asyncio.CancelledError:
            self._observe("canceled", self._clock.monotonic() - began, False)
            raise
        self._observe("success", self._clock.monotonic() - began, False)
        if key:
            seconds = terms.allowed_seconds if decision.allowed else terms.refused_seconds
            self._known.put(key, (decision, self._clock.monotonic() + seconds))
        return decision

    def _failed(self, why: str) -> Decision:
        return Decision(False, denied=self._terms.fails_closed, error=why)


def _renamed(spec: Tree) -> Tree:
    """The spec as v1beta1 has it, which calls the groups of a user otherwise."""
    return {("group" if field == "groups" else field): value for field, value in spec.items()}


def _size(info: Attributes) -> int:
    texts = (info.namespace, info.verb, info.group, info.version, info.resource, info.subresource, info.name, info.path)
    return sum(map(len, texts))


def _read(status: object) -> Decision:
    if status is None:
        return DENIED
    if not isinstance(status, dict):
        raise CallFailed("the answer is no SubjectAccessReview")
    allowed, denied, reason = status.get("allowed") is True, status.get("denied") is True, status.get("reason") or ""
    if not isinstance(reason, str):
        raise CallFailed("the answer is no SubjectAccessReview")
    if denied:
        return Decision(False, reason, denied=True, error=_BOTH if allowed else "")
    return Decision(allowed, reason)
