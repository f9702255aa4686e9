"""The administrator's way to a cluster's API server."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.client import Client, connect

if TYPE_CHECKING:
    from hyperkube_cluster.layout import Layout
    from hyperkube_machinery.clock import Clock

__all__ = ["administrator"]


def administrator(layout: Layout, clock: Clock) -> AbstractAsyncContextManager[Client]:
    """A client that may do everything, for the length of the block. Raises KubeconfigError."""
    return connect(kubeconfig.read(layout.kubeconfig("admin")), clock=clock, user_agent="hk-up")
