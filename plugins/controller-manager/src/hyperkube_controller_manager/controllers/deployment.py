"""Deployments: one replica set for each version of a template, and the way from one version to the next.

Source: k8s.io/kubernetes/pkg/controller/deployment/deployment_controller.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_controller_manager.claims import claim, claims_of
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.dependents import BY_CONTROLLER, Owners, by_controller, follow
from hyperkube_controller_manager.deploymentstatus import pause_conditions, seconds_to_deadline
from hyperkube_controller_manager.deploymentsync import DeploymentSync
from hyperkube_controller_manager.podcontrol import is_ending_namespace
from hyperkube_controller_manager.podstates import is_terminal
from hyperkube_machinery.builtin import DEPLOYMENTS, PODS, REPLICA_SETS
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of
from hyperkube_machinery.meta import deletion_timestamp, generation, namespace
from hyperkube_machinery.selectors import label_selector

__all__ = ["run"]

Tree = Mapping[str, Any]


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _Deployments(context)
    await context.synced()
    await controller.run()


class _Deployments:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._clock = context.clock
        self._deployments = context.informers.of(DEPLOYMENTS)
        self._sets = context.informers.of(REPLICA_SETS, indexes={BY_CONTROLLER: by_controller})
        self._pods = context.informers.of(PODS, indexes={BY_CONTROLLER: by_controller})
        self._owners = Owners(self._deployments, DEPLOYMENTS.kind)
        self._set_owners = Owners(self._sets, REPLICA_SETS.kind)
        self._controller = Controller(
            context.name,
            self._reconcile,
            workers=context.options.concurrent_deployment_syncs,
            clock=context.clock,
            metrics=context.metrics,
        )
        self._deployments.on_change(self._on_change)
        follow(self._sets, self._owners, self._enqueue)
        self._pods.on_change(self._on_pod)

    async def run(self) -> None:
        await self._controller.run()

    def _enqueue(self, deployment: Tree) -> None:
        self._controller.queue.add(key_of(deployment))

    def _on_change(self, old: Tree | None, new: Tree | None) -> None:
        if (known := new or old) is not None:
            self._enqueue(known)

    def _on_pod(self, old: Tree | None, new: Tree | None) -> None:
        """A deployment that replaces all at once waits for the last of its old pods to go."""
        if new is not None or old is None:
            return
        replica_set = self._set_owners.owner_of(old)
        deployment = self._owners.owner_of(replica_set) if replica_set is not None else None
        if deployment is not None and _strategy(deployment) == "Recreate":
            self._enqueue(deployment)

    async def _reconcile(self, key: str) -> float | None:
        deployment = self._deployments.get(key)
        if deployment is None:
            return None
        if deployment["spec"].get("selector") == {}:
            await self._refuse(deployment)
            return None
        sync = DeploymentSync(
            self._client, self._recorder, self._clock, deployment, await self._claimed_sets(deployment)
        )
        try:
            await self._bring_on(sync)
        except APIError as exc:
            if not is_ending_namespace(exc):
                raise
            return None
        return seconds_to_deadline(sync.deployment, self._clock.now())

    async def _refuse(self, deployment: Tree) -> None:
        text = "This deployment is selecting all pods. A non-empty selector is required."
        self._recorder.event(deployment, "Warning", "SelectingAll", text)
        status = {**(deployment.get("status") or {}), "observedGeneration": generation(deployment)}
        await DeploymentSync(self._client, self._recorder, self._clock, deployment, []).write_status(status)

    async def _claimed_sets(self, deployment: Tree) -> list[Tree]:
        selector = label_selector(deployment["spec"].get("selector"))
        claims = claims_of(deployment, selector.matches, self._sets.list(namespace(deployment)))
        return await claim(self._client, DEPLOYMENTS, deployment, claims, REPLICA_SETS)

    async def _bring_on(self, sync: DeploymentSync) -> None:
        """Do what is to be done next; a later change of an object calls for what comes after."""
        if deletion_timestamp(sync.deployment) is not None:
            await sync.tell_status()
            return
        told = pause_conditions(sync.deployment, self._clock.now())
        if told is not None:
            await sync.write_status({**(sync.deployment.get("status") or {}), "conditions": told})
        await sync.sync_revision()
        paused = bool(sync.deployment["spec"].get("paused"))
        if not paused and (revision := sync.rolls_back_to) is not None:
            await sync.roll_back(revision)
        elif paused or sync.was_scaled:
            await sync.follow_scaling()
            if paused and sync.rolls_back_to is None:
                await sync.clean_up()
            await sync.tell_status()
        elif _strategy(sync.deployment) == "Recreate":
            await sync.recreate(old_pods_run=self._old_pods_run(sync))
        else:
            await sync.roll()

    def _old_pods_run(self, sync: DeploymentSync) -> bool:
        pods = (pod for one in sync.old for pod in self._set_owners.dependents_of(one, self._pods))
        return any(not is_terminal(pod) for pod in pods)


def _strategy(deployment: Tree) -> str:
    return str((deployment["spec"].get("strategy") or {}).get("type") or "")
