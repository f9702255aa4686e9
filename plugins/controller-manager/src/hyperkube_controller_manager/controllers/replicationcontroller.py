"""Replication controllers, which replica sets were made after.

Source: k8s.io/kubernetes/pkg/controller/replication.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.controllers.replicaset import Replicas
from hyperkube_machinery.builtin import REPLICATION_CONTROLLERS
from hyperkube_machinery.selectors import LabelSelector, label_selector

__all__ = ["run"]


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    workers = context.options.concurrent_rc_syncs
    controller = Replicas(context, REPLICATION_CONTROLLERS, workers, selector_of=_selector_of, tells_terminating=False)
    await context.synced()
    await controller.run()


def _selector_of(owner: Mapping[str, Any]) -> LabelSelector:
    """A plain map of labels, which must all be there."""
    return label_selector({"matchLabels": owner["spec"].get("selector") or {}})
