"""Charging quotas so that what is asked for at once is written at once, and never beyond what they allow.

Requests of one namespace that wait while its quotas are written are charged together with the next write. A write
holds only if the quota is as it was read: otherwise it is read and charged anew, for another server may share it.
Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota (controller.go).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.quotacharges import LimitedResource, Standing, charge
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.quota import Evaluator, written
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["QuotaBatches"]

_RETRIES = 3

Tree = dict[str, Any]


class _Waiter:
    """A request that is to be charged."""

    __slots__ = ("attributes", "evaluator", "refusal", "settled")

    def __init__(self, attributes: Attributes, evaluator: Evaluator) -> None:
        self.attributes = attributes
        self.evaluator = evaluator
        self.settled = False
        self.refusal: APIError | None = None

    def settle(self, refusal: APIError | None = None) -> None:
        self.settled, self.refusal = True, refusal


class QuotaBatches:
    """The requests that wait to be charged, by their namespaces."""

    def __init__(self, cluster: Cluster, limited: Sequence[LimitedResource]) -> None:
        self._cluster = cluster
        self._limited = limited
        self._waiting: dict[str, list[_Waiter]] = {}
        self._working: dict[str, asyncio.Task[None]] = {}

    async def ask(self, attributes: Attributes, evaluator: Evaluator) -> None:
        """Charge a request to the quotas of its namespace; raises APIError where it is refused."""
        namespace = attributes.namespace
        waiter = _Waiter(attributes, evaluator)
        self._waiting.setdefault(namespace, []).append(waiter)
        try:
            while not waiter.settled:
                # It outlives who began it: others wait for it, too, and a write can't be called back.
                await asyncio.shield(self._work(namespace))
        except asyncio.CancelledError:
            if waiter in (waiting := self._waiting.get(namespace, [])):
                waiting.remove(waiter)
            raise
        if waiter.refusal is not None:
            raise waiter.refusal

    def _work(self, namespace: str) -> asyncio.Task[None]:
        """The task that settles who waits now, or those before them."""
        task = self._working.get(namespace)
        if task is None:
            task = self._working[namespace] = asyncio.create_task(self._settle(namespace))
            task.add_done_callback(lambda done: self._working.pop(namespace))
        return task

    async def _settle(self, namespace: str) -> None:
        await self._cluster.hub.fresh()
        waiters = self._waiting.pop(namespace, [])
        try:
            await self._charge(namespace, waiters, set(self._standings(namespace)), _RETRIES)
        except Exception as exc:
            _settle_all(waiters, exc if isinstance(exc, APIError) else APIError.internal(str(exc)))
            if not isinstance(exc, APIError):
                raise

    def _standings(self, namespace: str) -> dict[str, Standing]:
        return {meta.name(one): Standing.of(one) for one in self._cluster.listed("resourcequotas", namespace)}

    async def _charge(self, namespace: str, waiters: Sequence[_Waiter], names: set[str], retries: int) -> None:
        """Charge `waiters` to the quotas called `names`, and settle them all."""
        standings = [one for name, one in self._standings(namespace).items() if name in names]
        for waiter in waiters:
            self._charge_one(waiter, standings)
        waiters = [waiter for waiter in waiters if not waiter.settled]
        late: set[str] = set()
        refusal: APIError | None = None
        for standing in standings:
            if standing.has_changed:
                try:
                    await self._write(namespace, standing)
                except APIError as exc:
                    late.add(standing.name)
                    refusal = exc
        if not late or not retries:
            _settle_all(waiters, refusal)
            return
        await self._cluster.hub.fresh()
        await self._charge(namespace, waiters, late, retries - 1)

    def _charge_one(self, waiter: _Waiter, standings: Sequence[Standing]) -> None:
        """Refuse `waiter`, or have `standings` tell what is used with it; without a change it is settled."""
        try:
            charges = charge(standings, waiter.attributes, waiter.evaluator, self._limited)
        except APIError as exc:
            waiter.settle(exc)
            return
        if waiter.attributes.dry_run or all(standings[index].used == used for index, used in charges.items()):
            waiter.settle()
            return
        for index, used in charges.items():
            standings[index].used = used

    async def _write(self, namespace: str, standing: Standing) -> None:
        """Write what is used of a quota. Raises 409 if the quota is no longer as it was read."""
        version = meta.resource_version(standing.quota)

        def change(old: Tree) -> Tree:
            metadata = {**old["metadata"], "resourceVersion": version}
            return {**old, "metadata": metadata, "status": _status(standing)}

        context = WriteContext(
            now=format_seconds(self._cluster.clock.now()), namespace=namespace, verb="update", subresource="status"
        )
        await self._cluster.quotas().update(standing.name, change, context, _unheard)


def _status(standing: Standing) -> Tree:
    status: Mapping[str, Any] = standing.quota.get("status") or {}
    return {**status, "used": written(standing.used)}


def _settle_all(waiters: Sequence[_Waiter], refusal: APIError | None) -> None:
    for waiter in waiters:
        if not waiter.settled:
            waiter.settle(refusal)


def _unheard(text: str) -> None:
    """Warnings about quotas are nobody's who makes something else."""
