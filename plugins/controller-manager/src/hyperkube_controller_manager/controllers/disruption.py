"""Disruption budgets are counted, so that evictions can be granted; pods that were to be evicted and stay say so.

Source: k8s.io/kubernetes/pkg/controller/disruption.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.budgets import (
    budget_status,
    counts,
    disrupted_since,
    failed_status,
    needs_scale,
    stale_disruption,
)
from hyperkube_controller_manager.budgetwords import several_budgets, unmanaged_pods
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.ownedobjects import Kinds, UnknownKind
from hyperkube_controller_manager.podcontrol import FAILURES
from hyperkube_machinery import meta, timestamps
from hyperkube_machinery.builtin import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS
from hyperkube_machinery.companions import companions
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of
from hyperkube_machinery.selectors import label_selector

__all__ = ["run"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _Budgets(context)
    await context.synced()
    await controller.run()


class NotCounted(Exception):
    """It cannot be told how many pods there should be."""


class _Budgets:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder
        self._kinds = Kinds()
        self._budgets = context.informers.of(POD_DISRUPTION_BUDGETS)
        self._pods = context.informers.of(PODS)
        self._replica_sets = context.informers.of(REPLICA_SETS)
        self._deployments = context.informers.of(DEPLOYMENTS)
        self._counting = Controller("disruption", self._count, clock=context.clock, metrics=context.metrics)
        self._staying = Controller(
            "stale_pod_disruption", self._tell_that_it_stays, clock=context.clock, metrics=context.metrics
        )
        self._budgets.on_change(self._on_budget)
        self._pods.on_change(self._on_pod)

    async def run(self) -> None:
        async with companions(self._staying.run()):
            await self._counting.run()

    def _on_budget(self, _: Tree | None, new: Tree | None) -> None:
        if new is not None:
            self._counting.queue.add(key_of(new))

    def _on_pod(self, old: Tree | None, new: Tree | None) -> None:
        if (known := new or old) is None:
            return
        of_new = []
        for budget in self._budgets.list(meta.namespace(known)):
            selector = label_selector((budget.get("spec") or {}).get("selector"))
            if new is not None and selector.matches(meta.labels_of(new)):
                of_new.append(meta.name(budget))
            elif old is None or not selector.matches(meta.labels_of(old)):
                continue
            self._counting.queue.add(key_of(budget))
        if new is not None and len(of_new) > 1:  # nobody can evict it
            self._recorder.event(new, "Warning", "MultiplePodDisruptionBudgets", several_budgets(new, of_new))
        if new is not None and stale_disruption(new, self._clock.now()) is not None:
            self._staying.queue.add(key_of(new))

    async def _count(self, key: str) -> float | None:
        budget = self._budgets.get(key)
        if budget is None:
            return None
        now = self._clock.now()
        moment = timestamps.format_seconds(now)
        selector = label_selector((budget.get("spec") or {}).get("selector"))
        pods = [pod for pod in self._pods.list(meta.namespace(budget)) if selector.matches(meta.labels_of(pod))]
        if not pods:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        wait: float | None = None
        try:
            counted = counts(budget, len(pods), await self._scale(budget, pods) if needs_scale(budget) else 0)
            awaited, failed, wait = disrupted_since(budget, pods, now)
            status = budget_status(budget, pods, counted, awaited, moment)
        except (*FAILURES, NotCounted, ValueError) as exc:
            message = f"Failed to calculate the number of expected pods: {exc}"
            self._recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", message)
            status, failed = failed_status(budget, str(exc), moment), []
        for pod in failed:
            message = f"Pod was expected by PDB {key} to be deleted but it wasn't"
            self._recorder.event(pod, "Warning", "NotDeleted", message)
        if status is not None and status != budget.get("status"):
            await self._client.replace(POD_DISRUPTION_BUDGETS, {**budget, "status": status}, subresource="status")
        return wait

    async def _scale(self, budget: Tree, pods: Sequence[Tree]) -> int:
        """How many pods the controllers of `pods` are to keep, all together. Raises NotCounted."""
        seen: set[str] = set()
        sizes: dict[str, int] = {}
        unmanaged = False
        for pod in pods:
            owner = meta.controller_of(pod)
            if owner is None:
                unmanaged = True
            elif owner["uid"] not in seen:
                seen.add(owner["uid"])
                uid, replicas = await self._scale_of(owner, pod)
                sizes[uid] = replicas  # two replica sets of one deployment count once
        if unmanaged:
            self._recorder.event(budget, "Warning", "UnmanagedPods", unmanaged_pods(budget))
        return sum(sizes.values())

    async def _scale_of(self, owner: Tree, pod: Tree) -> tuple[str, int]:
        """UID and size of what in the end says how many pods there are like this one."""
        namespace = meta.namespace(pod)
        if owner.get("kind") == REPLICA_SETS.kind:
            replica_set = self._replica_sets.get(f"{namespace}/{owner['name']}")
            if replica_set is not None and meta.uid(replica_set) == owner["uid"]:
                above = meta.controller_of(replica_set)
                if above is None or above.get("kind") != DEPLOYMENTS.kind:
                    return owner["uid"], replica_set["spec"].get("replicas", 1)
                deployment = self._deployments.get(f"{namespace}/{above['name']}")
                if deployment is not None and meta.uid(deployment) == above["uid"]:
                    return above["uid"], deployment["spec"].get("replicas", 1)
        return owner["uid"], await self._asked_scale(owner, pod)

    async def _asked_scale(self, owner: Tree, pod: Tree) -> int:
        """What the scale of any other kind says."""
        try:
            resource = self._kinds.of(owner.get("apiVersion") or "", owner.get("kind") or "")
        except UnknownKind:
            self._kinds.refresh(await self._client.discover())
            try:
                resource = self._kinds.of(owner.get("apiVersion") or "", owner.get("kind") or "")
            except UnknownKind as exc:
                raise NotCounted(str(exc)) from exc
        try:
            scale = await self._client.get(resource, owner["name"], meta.namespace(pod), subresource="scale")
        except APIError as exc:
            if exc.code != 404:
                raise
            raise NotCounted(f'found no controllers for pod "{meta.name(pod)}"') from exc
        if meta.uid(scale) != owner["uid"]:
            raise NotCounted(f'found no controllers for pod "{meta.name(pod)}"')
        return (scale.get("spec") or {}).get("replicas") or 0

    async def _tell_that_it_stays(self, key: str) -> float | None:
        pod = self._pods.get(key)
        wait = stale_disruption(pod, self._clock.now()) if pod is not None else None
        if pod is None or wait is None or wait > 0:
            return wait
        moment = timestamps.format_seconds(self._clock.now())
        condition: dict[str, Any] = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": moment}
        if generation := meta.generation(pod):
            condition["observedGeneration"] = generation
        listed = [condition if one.get("type") == "DisruptionTarget" else one for one in pod["status"]["conditions"]]
        changed = {**pod, "status": {**pod["status"], "conditions": listed}}
        await self._client.replace(PODS, changed, subresource="status")
        return None
