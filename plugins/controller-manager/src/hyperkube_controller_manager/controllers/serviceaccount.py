"""Service accounts: every namespace has its `default`.

Source: k8s.io/kubernetes/pkg/controller/serviceaccount/serviceaccounts_controller.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.podcontrol import is_ending_namespace
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import NAMESPACES, SERVICE_ACCOUNTS
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.workqueue import WorkQueue

__all__ = ["run"]

Tree = Mapping[str, Any]

_NAME = "default"


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    queue: WorkQueue[str] = WorkQueue(context.clock, name="serviceaccount", metrics=context.metrics)
    namespaces = context.informers.of(NAMESPACES)
    accounts = context.informers.of(SERVICE_ACCOUNTS, fields=f"metadata.name={_NAME}")

    async def reconcile(name: str) -> None:
        namespace = namespaces.get(name)
        if namespace is None or (namespace.get("status") or {}).get("phase") != "Active":
            return
        if accounts.get(f"{name}/{_NAME}") is not None:
            return
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _NAME, "namespace": name}}
        try:
            await context.client.create(SERVICE_ACCOUNTS, account)
        except APIError as exc:
            if exc.reason != "AlreadyExists" and not is_ending_namespace(exc):
                raise

    def on_namespace(_: Tree | None, new: Tree | None) -> None:
        if new is not None:
            queue.add(meta.name(new))

    def on_account(old: Tree | None, new: Tree | None) -> None:
        if new is None and old is not None:
            queue.add(meta.namespace(old))

    namespaces.on_change(on_namespace)
    accounts.on_change(on_account)
    await context.synced()
    await Controller(context.name, reconcile, queue=queue, clock=context.clock).run()
