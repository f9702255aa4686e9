"""Carrying out what preemption decided.

Source: k8s.io/kubernetes/pkg/scheduler/framework/preemption (executor).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from hyperkube_machinery.builtin import PODS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import Companions
from hyperkube_machinery.errors import APIError
from hyperkube_scheduler.framework.interface import Nomination
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.preemption import Candidate
from hyperkube_scheduler.reporting import Recorder, StatusWriter, condition_patch

__all__ = ["Evictions"]

log = logging.getLogger(__name__)


class Evictions:
    """Evicts victims, the ones of several pods at a time."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        tasks: Companions,
        recorder: Callable[[str], Recorder],
        statuses: StatusWriter,
        nominated: Callable[[], Mapping[str, Sequence[PodInfo]]],
        ended: Callable[[PodInfo, bool], None],
        count: Callable[[int], None],
    ) -> None:
        """`ended` is told of a pod whose victims have all been told to go (True), or could not be (False).

        `count` is told how many victims a pod has.
        """
        self._client = client
        self._clock = clock
        self._tasks = tasks
        self._recorder = recorder
        self._statuses = statuses
        self._nominated = nominated
        self._ended = ended
        self._count = count
        self._running: set[str] = set()

    def is_running(self, preemptor: PodInfo) -> bool:
        return preemptor.uid in self._running

    def begin(self, preemptor: PodInfo, candidate: Candidate) -> None:
        victims = [victim for victim in candidate.victims if not victim.terminating]
        if victims:
            self._count(len(candidate.victims))
            self._running.add(preemptor.uid)
            self._tasks.start(self._evict(preemptor, candidate.node, victims), name=f"preemption by {preemptor.key}")

    async def _evict(self, preemptor: PodInfo, node: str, victims: Sequence[PodInfo]) -> None:
        # Those of less priority that were promised this node may no longer fit there: let them look for another.
        for other in self._nominated().get(node, ()):
            if other.priority < preemptor.priority:
                self._statuses.write(other, nomination=Nomination(""))
        succeeded = True
        try:
            for victim in victims:
                await self._evict_one(preemptor, node, victim)
        except (APIError, ClientError) as exc:
            log.error("preemption by pod %s on node %s failed: %s", preemptor.key, node, exc)
            succeeded = False
        finally:
            self._running.discard(preemptor.uid)
        self._ended(preemptor, succeeded)

    async def _evict_one(self, preemptor: PodInfo, node: str, victim: PodInfo) -> None:
        scheduler = preemptor.template.scheduler_name
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{scheduler}: preempting to accommodate a higher priority pod",
        }
        patch = condition_patch(victim.tree, condition, self._clock.now())
        try:
            if patch is not None:
                change = {"metadata": {"uid": victim.uid}, "status": {"conditions": [patch]}}
                await self._client.patch(
                    PODS, victim.name, change, victim.namespace, kind="strategic", subresource="status"
                )
            await self._client.delete(PODS, victim.name, victim.namespace, uid=victim.uid)
        except APIError as exc:
            if exc.code not in (404, 409):
                raise
            log.info("victim %s is gone already", victim.key)
            return
        log.info("pod %s on node %s makes room for pod %s", victim.key, node, preemptor.key)
        self._recorder(scheduler).event(
            victim.tree,
            "Normal",
            "Preempted",
            f"Preempted by pod {preemptor.uid} on node {node}",
            action="Preempting",
            related=preemptor.tree,
        )
