"""Endpoint slices: where each service's pods are, a hundred to an object.

Source: k8s.io/kubernetes/pkg/controller/endpointslice/endpointslice_controller.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.endpointslices import CONTROLLER_NAME, MANAGED_BY, SERVICE_NAME, Plan, plan_slices
from hyperkube_controller_manager.pacing import Pacing, aside
from hyperkube_controller_manager.podcontrol import FAILURES, is_ending_namespace
from hyperkube_controller_manager.servicepods import (
    TRIGGER_TIME,
    Triggers,
    is_selected,
    services_concerned,
    takes_pods,
)
from hyperkube_machinery.builtin import ENDPOINT_SLICES, NODES, PODS, SERVICES
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of
from hyperkube_machinery.meta import deletion_timestamp, generation, labels_of, name, namespace, uid

__all__ = ["run"]

Tree = Mapping[str, Any]

_SETTLE_SECONDS = 1.0
"""How long a slice that somebody else changed is left alone; the own writes come by here too, and call for nothing."""

_BY_SERVICE = "service"
_GONE = -1


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _EndpointSlices(context)
    await context.synced()
    await controller.run()


class _Written:
    """What was written for each service and the cache may not show yet: a plan made from less would write it again."""

    def __init__(self) -> None:
        self._generations: dict[str, dict[str, int]] = {}  # by service, by the slice's UID

    def wrote(self, service: str, one: Tree) -> None:
        self._generations.setdefault(service, {})[uid(one)] = generation(one)

    def deleted(self, service: str, one: Tree) -> None:
        self._generations.setdefault(service, {})[uid(one)] = _GONE

    def saw_deletion(self, service: str, one: Tree) -> bool:
        """Whether the deletion that was seen now was this controller's own."""
        return self._generations.get(service, {}).pop(uid(one), None) == _GONE

    def is_news(self, service: str, one: Tree) -> bool:
        """Whether the slice is one that was not written here, or changed since."""
        return generation(one) > self._generations.get(service, {}).get(uid(one), _GONE)

    def is_ahead_of(self, service: str, slices: Sequence[Tree]) -> bool:
        """Whether the slices that the cache shows are older than what was written."""
        shown = {uid(one): generation(one) for one in slices}
        for its_uid, written in self._generations.get(service, {}).items():
            seen = shown.get(its_uid)
            if (seen is not None) if written == _GONE else (seen is None or seen < written):
                return True
        return False

    def forget(self, service: str) -> None:
        self._generations.pop(service, None)


class _EndpointSlices:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._most = context.options.max_endpoints_per_slice
        self._batch_seconds = context.options.endpointslice_updates_batch_period
        self._triggers = Triggers()
        self._pacing = Pacing(context.clock)
        self._written = _Written()
        self._services = context.informers.of(SERVICES)
        self._pods = context.informers.of(PODS)
        self._nodes = context.informers.of(NODES)
        self._slices = context.informers.of(ENDPOINT_SLICES, indexes={_BY_SERVICE: _service_of})
        self._controller = Controller(
            context.name,
            self._reconcile,
            workers=context.options.concurrent_service_endpoint_syncs,
            clock=context.clock,
            metrics=context.metrics,
        )
        self._queue = self._controller.queue
        self._services.on_change(self._on_service)
        self._pods.on_change(self._on_pod)
        self._slices.on_change(self._on_slice)

    async def run(self) -> None:
        await self._controller.run()

    def _on_service(self, old: Tree | None, new: Tree | None) -> None:
        if old is not None and (new is None or uid(old) != uid(new)):
            self._written.forget(key_of(old))
        if (known := new or old) is not None:
            self._queue.add(key_of(known))

    def _on_pod(self, old: Tree | None, new: Tree | None) -> None:
        for key in services_concerned(self._services, old, new):
            self._queue.add_after(key, max(self._batch_seconds, self._pacing.wait(key)))

    def _on_slice(self, old: Tree | None, new: Tree | None) -> None:
        """Look again where somebody else changed what is managed here."""
        if new is None:
            if old is not None and _is_ours(old) and not self._written.saw_deletion(_service_of(old)[0], old):
                self._look_later(old)
        elif old is not None and _service_of(old) != _service_of(new):
            self._look_later(old)
            self._look_later(new)
        else:
            changed_hands = old is not None and _is_ours(old) != _is_ours(new)
            if changed_hands or (_is_ours(new) and self._written.is_news(_service_of(new)[0], new)):
                self._look_later(new)

    def _look_later(self, one: Tree) -> None:
        if labels_of(one).get(SERVICE_NAME):
            self._queue.add_after(_service_of(one)[0], max(_SETTLE_SECONDS, self._batch_seconds))

    async def _reconcile(self, key: str) -> float | None:
        service = self._services.get(key)
        if service is None:
            self._triggers.forget(key)
            self._written.forget(key)
            self._pacing.forget(key)
            return None
        if not takes_pods(service):
            return None
        slices = [one for one in self._slices.by(_BY_SERVICE, key) if _is_ours(one) and deletion_timestamp(one) is None]
        if self._written.is_ahead_of(key, slices):
            return _SETTLE_SECONDS
        with self._pacing.look(key):
            pods = self._pods.list(namespace(service))
            plan, since = await aside(len(pods), self._planned, service, pods, slices)
        try:
            await self._carry_out(plan, service, key, since)
        except FAILURES as exc:
            if is_ending_namespace(exc):
                return None
            text = f"Error updating Endpoint Slices for Service {key}: {exc}"
            self._recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", text)
            raise
        # A pod that is bound to a node which is not known yet is looked at again.
        return _SETTLE_SECONDS if plan.homeless else None

    def _planned(self, service: Tree, pods: Sequence[Tree], slices: Sequence[Tree]) -> tuple[Plan, str]:
        """What to write, and since when what there is has been out of date."""
        selected = sorted((pod for pod in pods if is_selected(service, labels_of(pod))), key=name)
        since = self._triggers.observe(service, selected)
        return plan_slices(service, selected, slices, self._nodes.get, most=self._most), since

    async def _carry_out(self, plan: Plan, service: Tree, key: str, since: str) -> None:
        for one in plan.create:
            made = await self._client.create(ENDPOINT_SLICES, _with_trigger(one, since), namespace(service))
            self._written.wrote(key, made)
        for one in plan.update:
            self._written.wrote(key, await self._client.replace(ENDPOINT_SLICES, _with_trigger(one, since)))
        for gone in plan.delete:
            try:
                await self._client.delete(ENDPOINT_SLICES, name(gone), namespace(gone))
            except APIError as exc:
                if exc.code != 404:
                    raise
            else:
                self._written.deleted(key, gone)


def _service_of(one: Tree) -> list[str]:
    """Index value: the key of the service that the slice is of."""
    return [f"{namespace(one)}/{labels_of(one).get(SERVICE_NAME, '')}"]


def _is_ours(one: Tree) -> bool:
    return labels_of(one).get(MANAGED_BY) == CONTROLLER_NAME


def _with_trigger(one: Tree, since: str) -> dict[str, Any]:
    meta = one["metadata"]
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key != TRIGGER_TIME}
    if since:
        annotations[TRIGGER_TIME] = since
    return {**one, "metadata": {**meta, "annotations": annotations}}
