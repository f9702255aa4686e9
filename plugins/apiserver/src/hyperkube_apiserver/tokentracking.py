"""When tokens that are kept in secrets were last used, as labels of the secrets.

A controller of the controller manager's takes tokens out of use which nobody has used for a year. It believes the
labels from the day on that a ConfigMap names, which is there for it alone.
Source: k8s.io/kubernetes/pkg/serviceaccount/legacy.go, pkg/controlplane/controller/legacytokentracking.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NoReturn

from hyperkube_apiserver.assembly import API
from hyperkube_apiserver.following import keep_up
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["CONFIG_MAP", "LAST_USED", "TokenUses", "keep_tracked", "publish_tracking"]

log = logging.getLogger(__name__)

LAST_USED = "kubernetes.io/legacy-token-last-used"
CONFIG_MAP = "kube-apiserver-legacy-service-account-token-tracking"
_NAMESPACE = "kube-system"
_MANAGER = "kube-apiserver"

Tree = dict[str, Any]


class TokenUses:
    """The secrets whose tokens were used today, as far as their labels don't say so yet."""

    def __init__(self, clock: Clock) -> None:
        self.changed = asyncio.Event()
        self._clock = clock
        self._secrets: dict[tuple[str, str], str] = {}

    @property
    def today(self) -> str:
        return format_seconds(self._clock.now())[:10]

    def note(self, secret: Mapping[str, Any]) -> None:
        """The token of `secret` was shown just now."""
        if meta.labels_of(secret).get(LAST_USED) != self.today:
            self._secrets[meta.namespace(secret), meta.name(secret)] = meta.uid(secret)
            self.changed.set()

    def take(self) -> dict[tuple[str, str], str]:
        """Their UIDs, by namespace and name; they are forgotten here."""
        taken, self._secrets = self._secrets, {}
        return taken


async def keep_tracked(api: API, clock: Clock, uses: TokenUses) -> NoReturn:
    """Label secrets whose tokens are used, until cancelled. One that can't be written is noted at its next use."""
    await keep_up(
        uses.changed,
        lambda: _label(api, clock, uses),
        clock,
        lambda exc: log.warning("the last use of a token could not be written down: %s", exc),
    )


async def _label(api: API, clock: Clock, uses: TokenUses) -> None:
    registry = api.resource("", "secrets").registry
    today = uses.today
    for (namespace, name), uid in uses.take().items():
        context = WriteContext(now=format_seconds(clock.now()), namespace=namespace, manager=_MANAGER)
        try:
            await registry.update(name, _labelled(uid, today), context, log.warning)
        except APIError as exc:
            if exc.code != 404:
                raise


def _labelled(uid: str, today: str) -> Callable[[Tree], Tree]:
    def change(secret: Tree) -> Tree:
        if meta.uid(secret) != uid:
            return secret
        labels = {**meta.labels_of(secret), LAST_USED: today}
        return {**secret, "metadata": {**secret["metadata"], "labels": labels}}

    return change


async def publish_tracking(api: API, clock: Clock) -> None:
    """Say since when uses are written down, unless it is said in words that can be read."""
    now = format_seconds(clock.now())
    since = {"since": now[:10]}
    served = api.resource("", "configmaps")
    item = served.cache.get(served.kind.key(_NAMESPACE, CONFIG_MAP))
    context = WriteContext(now=now, namespace=_NAMESPACE, manager=_MANAGER)
    if item is None:
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP, "namespace": _NAMESPACE}}
        await served.registry.create({**made, "data": since}, context, log.warning)
    elif not _is_date((decode_body(item.body).get("data") or {}).get("since", "")):
        await served.registry.update(
            CONFIG_MAP, lambda old: {**old, "data": {**(old.get("data") or {}), **since}}, context, log.warning
        )


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and bool(date.fromisoformat(text))
    except ValueError:
        return False
