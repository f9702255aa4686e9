"""The authorities that pods are to believe the API server by, in a config map of every namespace.

Source: k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.podcontrol import is_ending_namespace
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import CONFIG_MAPS, NAMESPACES
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.workqueue import WorkQueue

__all__ = ["NAME", "run", "wanted"]

Tree = Mapping[str, Any]

NAME = "kube-root-ca.crt"
_ANNOTATION = "kubernetes.io/description"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the"
    " internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes"
    " clusters."
)


def wanted(current: Tree | None, namespace: str, authorities: str) -> dict[str, Any] | None:
    """The config map as it has to be written; None if it is fine."""
    data = {"ca.crt": authorities}
    if current is None:
        about: dict[str, Any] = {"name": NAME, "namespace": namespace, "annotations": {_ANNOTATION: _DESCRIPTION}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": data}
    annotations = meta.annotations_of(current)
    if current.get("data") == data and annotations.get(_ANNOTATION):
        return None
    about = {**meta.metadata(current), "annotations": {**annotations, _ANNOTATION: _DESCRIPTION}}
    return {**current, "metadata": about, "data": data}


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    queue: WorkQueue[str] = WorkQueue(context.clock, name="root_ca_cert_publisher", metrics=context.metrics)
    namespaces = context.informers.of(NAMESPACES)
    maps = context.informers.of(CONFIG_MAPS, fields=f"metadata.name={NAME}")

    async def reconcile(name: str) -> None:
        namespace = namespaces.get(name)
        if namespace is None or (namespace.get("status") or {}).get("phase") != "Active":
            return
        current = maps.get(f"{name}/{NAME}")
        changed = wanted(current, name, context.root_ca)
        if changed is None:
            return
        try:
            if current is None:
                await context.client.create(CONFIG_MAPS, changed)
            else:
                await context.client.replace(CONFIG_MAPS, changed)
        except APIError as exc:
            # The namespace may have gone, and the map come, faster than the caches hear of it.
            if exc.reason not in ("NotFound", "AlreadyExists") and not is_ending_namespace(exc):
                raise

    def on_namespace(_: Tree | None, new: Tree | None) -> None:
        if new is not None:
            queue.add(meta.name(new))

    def on_map(old: Tree | None, new: Tree | None) -> None:
        if (known := new or old) is not None:
            queue.add(meta.namespace(known))

    namespaces.on_change(on_namespace)
    maps.on_change(on_map)
    await context.synced()
    await Controller(context.name, reconcile, queue=queue, clock=context.clock).run()
