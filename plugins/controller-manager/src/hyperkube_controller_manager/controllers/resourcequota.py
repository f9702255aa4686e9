"""What is used of quotas is counted: when they change, when something goes, and every few minutes.

What is made is charged by the API server before it is there. So a count that comes to less than is charged waits until
nothing was charged for a moment: it may have missed what is just being made.
Source: k8s.io/kubernetes/pkg/controller/resourcequota.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.quotausage import Counted
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import RESOURCE_QUOTAS
from hyperkube_machinery.companions import Companions, companions
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.informers import key_of
from hyperkube_machinery.quota import Amounts, Evaluator, Evaluators, hard_of, only, read, used_by, written

__all__ = ["run"]

Tree = Mapping[str, Any]

_UNSYNCED_SECONDS = 0.2
_UNSERVED_SECONDS = 30.0
"""When to look again for a kind that is not served."""
_SETTLING_SECONDS = 0.2
_LONGEST_SETTLING_SECONDS = 2.0


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    async with companions() as beside:
        await _Quotas(context, beside).run()


@dataclass(slots=True)
class _Charged:
    """When a quota was last seen to change, and since when a count that came to less has waited."""

    version: str
    when: float
    waiting_since: float | None = None


class _Quotas:
    def __init__(self, context: ControllerContext, beside: Companions) -> None:
        self._context = context
        self._client = context.client
        self._clock = context.clock
        self._quotas = context.informers.of(RESOURCE_QUOTAS)
        self._counted = Counted(context, beside, self._freed)
        self._evaluators = Evaluators(self._counted, context.clock.now)
        self._charged: dict[str, _Charged] = {}
        self._counting = Controller(
            "resourcequota_primary",
            self._count,
            clock=context.clock,
            workers=context.options.concurrent_resource_quota_syncs,
            metrics=context.metrics,
        )
        self._quotas.on_change(self._on_quota)

    async def run(self) -> NoReturn:
        await self._context.synced()
        async with companions(self._count_all_sometimes()):
            await self._counting.run()

    async def _count_all_sometimes(self) -> NoReturn:
        seconds = self._context.options.resource_quota_sync_period
        if not seconds:
            await asyncio.get_running_loop().create_future()
        while True:
            await self._clock.sleep(seconds)
            for quota in self._quotas.list():
                self._counting.queue.add(key_of(quota))

    def _on_quota(self, old: Tree | None, new: Tree | None) -> None:
        if new is None:
            if old is not None:
                self._charged.pop(key_of(old), None)
            return
        key = key_of(new)
        if (known := self._charged.get(key)) is None or known.version != meta.resource_version(new):
            waiting = known.waiting_since if known is not None else None
            self._charged[key] = _Charged(meta.resource_version(new), self._clock.monotonic(), waiting)
        if old is None or hard_of(old) != hard_of(new):
            self._counting.queue.add(key)

    def _freed(self, evaluator: Evaluator, namespace: str) -> None:
        for quota in self._quotas.list(namespace):
            if evaluator.counted((quota.get("status") or {}).get("hard") or {}):
                self._counting.queue.add(key_of(quota))

    async def _count(self, key: str) -> float | None:
        """Count what is used of a quota, and write that down; seconds after which to look again."""
        quota = self._quotas.get(key)
        if quota is None:
            return None
        evaluators = self._evaluators.counting(hard_of(quota))
        await self._counted.watch(evaluators)
        namespace = meta.namespace(quota)
        unserved = [one for one in evaluators if self._counted.is_unknown(one)]
        known = [one for one in evaluators if one not in unserved]
        unsynced = [one for one in known if self._counted.objects(one, namespace) is None]
        hard, status = hard_of(quota), quota.get("status") or {}
        charged = read(status.get("used"))
        used = only({**charged, **used_by(quota, known, lambda one: self._counted.objects(one, namespace))}, hard)
        if (wait := self._settling(key, charged, used)) > 0:
            return wait
        if "hard" not in status or "used" not in status or hard != read(status["hard"]) or used != charged:
            told = {**quota, "status": {"hard": written(hard), "used": written(used)}}
            await self._client.replace(RESOURCE_QUOTAS, told, subresource="status")
        if unsynced:
            return _UNSYNCED_SECONDS
        return _UNSERVED_SECONDS if unserved else None

    def _settling(self, key: str, charged: Amounts, used: Amounts) -> float:
        """For how long yet a count that comes to less than is charged is not to be believed."""
        known = self._charged.get(key)
        if known is None:
            return 0.0
        if not any(name in used and used[name] < amount for name, amount in charged.items()):
            known.waiting_since = None
            return 0.0
        now = self._clock.monotonic()
        if known.waiting_since is None:
            known.waiting_since = now
        end = min(known.when + _SETTLING_SECONDS, known.waiting_since + _LONGEST_SETTLING_SECONDS)
        if now >= end:
            known.waiting_since = None
        return max(0.0, end - now)
