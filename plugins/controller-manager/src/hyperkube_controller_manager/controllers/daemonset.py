"""Daemon sets: a pod on each node that fits.

Source: k8s.io/kubernetes/pkg/controller/daemon/daemon_controller.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.claims import claim, claims_of, is_controlled_by
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.controllerrevisions import REVISION_HASH
from hyperkube_controller_manager.daemonhistory import clean_up_history, current_and_old
from hyperkube_controller_manager.daemonnodes import Eligibility, daemon_template, on_node, target_node
from hyperkube_controller_manager.daemonrollout import Daemons, Step, daemon_status, next_placement, next_update
from hyperkube_controller_manager.dependents import BY_CONTROLLER, Owners, by_controller, follow
from hyperkube_controller_manager.expectations import Expectations
from hyperkube_controller_manager.pacing import Pacing, aside
from hyperkube_controller_manager.podcontrol import (
    FAILURES,
    PodControl,
    in_slow_start,
    is_ending_namespace,
    together,
)
from hyperkube_controller_manager.podstates import first_available, is_terminal, node_of, phase
from hyperkube_controller_manager.retries import Retries
from hyperkube_controller_manager.statuswrites import write_status
from hyperkube_controller_manager.taints import taints_of
from hyperkube_controller_manager.templates import controller_reference
from hyperkube_machinery.builtin import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of
from hyperkube_machinery.meta import controller_of, deletion_timestamp, labels_of, name, namespace, uid
from hyperkube_machinery.selectors import LabelSelector, label_selector

__all__ = ["run"]

Tree = Mapping[str, Any]

_BURST = 250  # pods that one look makes or deletes
_NODES_AT_ONCE = 100  # judged before others have their turn
_LONGEST_RETRY_SECONDS = 900.0
_BY_NODE = "daemon-node"


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _DaemonSets(context)
    await context.synced()
    await controller.run()


class _DaemonSets:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder
        self._pod_control = PodControl(context.client, context.recorder)
        self._expectations = Expectations(context.clock)
        self._pacing = Pacing(context.clock)
        # A pod that fails at once (a kubelet that rejects it) is made anew ever more slowly.
        self._retries = Retries(context.clock, first=1.0, longest=_LONGEST_RETRY_SECONDS)
        self._sets = context.informers.of(DAEMON_SETS)
        self._nodes = context.informers.of(NODES)
        self._revisions = context.informers.of(CONTROLLER_REVISIONS, indexes={BY_CONTROLLER: by_controller})
        self._pods = context.informers.of(PODS, indexes={BY_CONTROLLER: by_controller, _BY_NODE: _node_of_daemon})
        self._owners = Owners(self._sets, DAEMON_SETS.kind)
        self._controller = Controller(
            context.name,
            self._reconcile,
            workers=context.options.concurrent_daemonset_syncs,
            clock=context.clock,
            metrics=context.metrics,
        )
        self._sets.on_change(self._on_change)
        self._nodes.on_change(self._on_node)
        follow(self._pods, self._owners, self._enqueue, self._expectations)
        follow(self._revisions, self._owners, self._enqueue)

    async def run(self) -> None:
        await self._controller.run()

    def _enqueue(self, daemon_set: Tree) -> None:
        key = key_of(daemon_set)
        self._controller.queue.add_after(key, self._pacing.wait(key))

    def _on_change(self, old: Tree | None, new: Tree | None) -> None:
        if old is not None and (new is None or uid(old) != uid(new)):
            self._expectations.forget(key_of(old))
        if (known := new or old) is not None:
            self._controller.queue.add(key_of(known))

    def _on_node(self, old: Tree | None, new: Tree | None) -> None:
        """Wake the daemon sets for which the node has become one to run on, or to leave."""
        if new is None:
            return
        if old is not None and labels_of(old) == labels_of(new) and taints_of(old) == taints_of(new):
            return
        pods = self._pods.by(_BY_NODE, name(new))
        for daemon_set in self._sets.list():
            should_run, may_stay = Eligibility(daemon_set).of(new)
            is_there = any(is_controlled_by(pod, daemon_set) for pod in pods)
            misplaced = (daemon_set.get("status") or {}).get("numberMisscheduled")
            if (not may_stay or misplaced) if is_there else should_run:
                self._enqueue(daemon_set)

    async def _reconcile(self, key: str) -> float | None:
        daemon_set = self._sets.get(key)
        if daemon_set is None:
            self._expectations.forget(key)
            self._pacing.forget(key)
            return None
        if daemon_set["spec"].get("selector") == {}:
            text = "This daemon set is selecting all pods. A non-empty selector is required."
            self._recorder.event(daemon_set, "Warning", "SelectingAll", text)
            return None
        if deletion_timestamp(daemon_set) is not None:
            return None  # its revisions may be gone before its pods are, so that nothing can be told of them
        may_act = self._expectations.satisfied(key)
        selector = label_selector(daemon_set["spec"].get("selector"))
        revisions = await self._claimed_revisions(daemon_set, selector)
        current, old = await current_and_old(self._client, daemon_set, revisions, self._owned_pods(daemon_set))
        with self._pacing.look(key):
            look = await self._look(daemon_set, selector, labels_of(current).get(REVISION_HASH, ""))
        wait: float | None = None
        try:
            if may_act:
                wait = await self._act(look, key, old)
        finally:
            # A failure is told of by events, but what there is is told of all the same.
            look = await self._look(daemon_set, selector, look.revision_hash)
            status = await aside(len(look.eligible), daemon_status, look, acted=may_act)
            if status != (daemon_set.get("status") or {}):
                await write_status(self._client, DAEMON_SETS, daemon_set, status)
        return _sooner(wait, self._next_available(look))

    def _owned_pods(self, daemon_set: Tree) -> list[Tree]:
        return self._owners.dependents_of(daemon_set, self._pods)

    async def _claimed_revisions(self, daemon_set: Tree, selector: LabelSelector) -> list[Tree]:
        found = self._owners.dependents_of(daemon_set, self._revisions, orphans=True)
        claims = claims_of(daemon_set, selector.matches, found)
        return await claim(self._client, DAEMON_SETS, daemon_set, claims, CONTROLLER_REVISIONS)

    async def _look(self, daemon_set: Tree, selector: LabelSelector, revision_hash: str) -> Daemons:
        found = self._owners.dependents_of(daemon_set, self._pods, orphans=True)
        claims = claims_of(daemon_set, selector.matches, found)
        pods: dict[str, list[Tree]] = {}
        for pod in await claim(self._client, DAEMON_SETS, daemon_set, claims, PODS):
            is_over = is_terminal(pod) and deletion_timestamp(pod) is not None
            if not is_over and (node := target_node(pod)) is not None:
                pods.setdefault(node, []).append(pod)
        return Daemons(daemon_set, await self._eligible(daemon_set), pods, revision_hash, self._clock.now())

    async def _eligible(self, daemon_set: Tree) -> dict[str, tuple[bool, bool]]:
        eligibility, eligible = Eligibility(daemon_set), {}
        for count, node in enumerate(self._nodes.list(), start=1):
            eligible[name(node)] = eligibility.of(node)
            if count % _NODES_AT_ONCE == 0:
                await self._clock.sleep(0)
        return eligible

    async def _act(self, look: Daemons, key: str, old: Sequence[Tree]) -> float | None:
        placement = await aside(len(look.eligible), next_placement, look)
        wait = self._retire(look, placement)
        await self._take(look, key, placement)
        strategy = look.daemon_set["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "RollingUpdate" and self._expectations.satisfied(key):
            await self._take(look, key, await aside(len(look.eligible), next_update, look))
        await clean_up_history(self._client, look.daemon_set, old, self._owned_pods(look.daemon_set))
        return wait

    def _retire(self, look: Daemons, step: Step) -> float | None:
        """Let pods that ended go, failed ones no faster than their retries allow; the seconds until the next may."""
        daemon_set, wait = look.daemon_set, None
        for node, pod in step.ended:
            state = phase(pod).lower()
            if state == "failed":
                observed = (daemon_set.get("status") or {}).get("observedGeneration") or 0
                left = self._retries.next(f"{uid(daemon_set)}/{observed}/{node}")
                if left > 0:
                    wait = _sooner(wait, left)
                    continue
            told = f"Found {state} daemon pod {namespace(pod)}/{name(pod)} on node {node}"
            if state == "failed":
                self._recorder.event(daemon_set, "Warning", "FailedDaemonPod", f"{told}, will try to kill it")
            else:
                self._recorder.event(daemon_set, "Normal", "SucceededDaemonPod", f"{told}, will try to delete it")
            step.delete.append(pod)
        return wait

    async def _take(self, look: Daemons, key: str, step: Step) -> None:
        """Make and delete the pods of the step. Raises the first failure once all were tried."""
        nodes, pods = step.create[:_BURST], step.delete[:_BURST]
        if not nodes and not pods:
            return
        daemon_set = look.daemon_set
        reference = controller_reference(daemon_set, DAEMON_SETS.api_version, DAEMON_SETS.kind)
        template = daemon_template(daemon_set, look.revision_hash)

        async def create(index: int) -> None:
            try:
                await self._pod_control.create(on_node(template, nodes[index]), daemon_set, reference)
            except APIError as exc:
                if not is_ending_namespace(exc):
                    raise

        async def delete(pod: Tree) -> None:
            try:
                await self._pod_control.delete(pod, daemon_set)
            except FAILURES as exc:
                self._expectations.deleted(key, key_of(pod))
                if not (isinstance(exc, APIError) and exc.code == 404):
                    raise

        self._expectations.expect(key, creations=len(nodes), deletions=[key_of(pod) for pod in pods])
        created = await in_slow_start(len(nodes), create)
        self._expectations.created(key, len(nodes) - created.successes)
        deleted = await together(delete, pods)
        created.check()
        deleted.check()

    def _next_available(self, look: Daemons) -> float | None:
        if not look.min_ready_seconds:
            return None
        return first_available((pod for pods in look.pods.values() for pod in pods), look.min_ready_seconds, look.now)


def _node_of_daemon(pod: Tree) -> list[str]:
    """Index value: the node of a daemon set's pod."""
    is_daemon = (controller_of(pod) or {}).get("kind") == DAEMON_SETS.kind
    return [node_of(pod)] if is_daemon else []


def _sooner(one: float | None, other: float | None) -> float | None:
    waits = [wait for wait in (one, other) if wait is not None]
    return min(waits, default=None)
