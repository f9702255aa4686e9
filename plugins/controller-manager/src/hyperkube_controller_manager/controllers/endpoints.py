"""Endpoints: where each service's pods are, in one object, for those who don't read endpoint slices.

Source: k8s.io/kubernetes/pkg/controller/endpoint/endpoints_controller.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.endpointsubsets import OVER_CAPACITY, endpoints_labels, subsets_of, truncated
from hyperkube_controller_manager.pacing import Pacing, aside
from hyperkube_controller_manager.podcontrol import FAILURES, is_ending_namespace
from hyperkube_controller_manager.servicepods import (
    HEADLESS,
    TRIGGER_TIME,
    Triggers,
    is_selected,
    services_concerned,
    takes_pods,
)
from hyperkube_machinery.builtin import ENDPOINTS, PODS, SERVICES
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of, split_key
from hyperkube_machinery.meta import annotations_of, labels_of, namespace, resource_version

__all__ = ["run"]

Tree = Mapping[str, Any]

_LEADER = "control-plane.alpha.kubernetes.io/leader"  # of locks of long ago, which have no service
_SETTLE_SECONDS = 1.0


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    controller = _Endpoints(context)
    await context.synced()
    controller.look_at_leftovers()
    await controller.run()


class _Endpoints:
    def __init__(self, context: ControllerContext) -> None:
        self._client = context.client
        self._recorder = context.recorder
        self._batch_seconds = context.options.endpoint_updates_batch_period
        self._triggers = Triggers()
        self._pacing = Pacing(context.clock)
        self._outdated: dict[str, str] = {}  # by service, the version that was last written over
        self._services = context.informers.of(SERVICES)
        self._pods = context.informers.of(PODS)
        self._endpoints = context.informers.of(ENDPOINTS)
        self._controller = Controller(
            context.name,
            self._reconcile,
            workers=context.options.concurrent_endpoint_syncs,
            clock=context.clock,
            metrics=context.metrics,
        )
        self._queue = self._controller.queue
        self._services.on_change(self._on_service)
        self._pods.on_change(self._on_pod)
        self._endpoints.on_change(self._on_endpoints)

    async def run(self) -> None:
        await self._controller.run()

    def look_at_leftovers(self) -> None:
        """Endpoints whose service was deleted while nobody watched are found once, at the start."""
        for one in self._endpoints.list():
            if _LEADER not in annotations_of(one):
                self._queue.add(key_of(one))

    def _on_service(self, old: Tree | None, new: Tree | None) -> None:
        if (known := new or old) is not None:
            self._queue.add(key_of(known))

    def _on_pod(self, old: Tree | None, new: Tree | None) -> None:
        for key in services_concerned(self._services, old, new):
            self._queue.add_after(key, max(self._batch_seconds, self._pacing.wait(key)))

    def _on_endpoints(self, old: Tree | None, new: Tree | None) -> None:
        if new is None and old is not None:
            self._queue.add(key_of(old))

    async def _reconcile(self, key: str) -> float | None:
        service = self._services.get(key)
        if service is None:
            await self._delete(key)
            return None
        if not takes_pods(service):
            return None
        current = self._endpoints.get(key)
        if current is not None and self._outdated.get(key) == resource_version(current):
            return _SETTLE_SECONDS  # the cache does not show what was written
        with self._pacing.look(key):
            pods = self._pods.list(namespace(service))
            wanted, is_same = await aside(len(pods), self._compared, service, pods, current)
        if is_same:
            return None
        try:
            await self._write(key, current, wanted)
        except FAILURES as exc:
            if is_ending_namespace(exc):
                return None
            word, subject = ("create", f"for service {key}") if current is None else ("update", key)
            reason, text = f"FailedTo{word.capitalize()}Endpoint", f"Failed to {word} endpoint {subject}: {exc}"
            self._recorder.event(current if current is not None else wanted, "Warning", reason, text)
            raise
        return None

    def _compared(self, service: Tree, pods: Sequence[Tree], current: Tree | None) -> tuple[dict[str, Any], bool]:
        """The Endpoints to write, and whether the `current` ones say the same."""
        selected = [pod for pod in pods if is_selected(service, labels_of(pod))]
        wanted = _wanted(service, selected, current, self._triggers.observe(service, selected))
        return wanted, current is not None and _says_the_same(current, wanted)

    async def _write(self, key: str, current: Tree | None, wanted: dict[str, Any]) -> None:
        if current is None:
            await self._client.create(ENDPOINTS, wanted, namespace(wanted))
            return
        written = await self._client.replace(ENDPOINTS, wanted)
        if resource_version(written) != resource_version(current):
            self._outdated[key] = resource_version(current)

    async def _delete(self, key: str) -> None:
        self._triggers.forget(key)
        self._outdated.pop(key, None)
        self._pacing.forget(key)
        if self._endpoints.get(key) is None:
            return
        in_namespace, endpoints_name = split_key(key)
        try:
            await self._client.delete(ENDPOINTS, endpoints_name, in_namespace)
        except APIError as exc:
            if exc.code != 404:
                raise


def _wanted(service: Tree, pods: Iterable[Tree], current: Tree | None, since: str) -> dict[str, Any]:
    subsets = subsets_of(service, pods)
    shortened = truncated(subsets)
    replaced = {TRIGGER_TIME: since, OVER_CAPACITY: "truncated" if shortened is not None else ""}
    kept = annotations_of(current) if current is not None else {}
    annotations = {**kept, **replaced}
    meta = dict(current["metadata"]) if current is not None else _new_metadata(service)
    meta["labels"] = endpoints_labels(service)
    meta["annotations"] = {key: value for key, value in annotations.items() if value or key not in replaced}
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": meta,
        "subsets": subsets if shortened is None else shortened,
    }


def _new_metadata(service: Tree) -> dict[str, Any]:
    return {"name": service["metadata"]["name"], "namespace": namespace(service)}


def _says_the_same(current: Tree, wanted: Tree) -> bool:
    """Whether a write would change more than the time that it is about."""
    same_labels = _without_headless(current) == _without_headless(wanted)
    same_capacity = (OVER_CAPACITY in annotations_of(current)) == (OVER_CAPACITY in annotations_of(wanted))
    return same_labels and same_capacity and _comparable(current) == _comparable(wanted)


def _without_headless(obj: Tree) -> dict[str, str]:
    return {key: value for key, value in labels_of(obj).items() if key != HEADLESS}


def _comparable(obj: Tree) -> list[dict[str, Any]]:
    """The subsets in an order of their own, and without the versions of pods that others write."""
    subsets = [
        {key: [_plain(item) for item in items] for key, items in subset.items() if items}
        for subset in obj.get("subsets") or ()
    ]
    return sorted(subsets, key=repr)


def _plain(item: Tree) -> dict[str, Any]:
    target = item.get("targetRef")
    if target is None:
        return dict(item)
    return {**item, "targetRef": {key: value for key, value in target.items() if key != "resourceVersion"}}
