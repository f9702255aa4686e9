"""Pods outlive their kubelet on purpose. They don't outlive their cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperkube_cluster.layout import Layout
    from hyperkube_machinery.clock import Clock

__all__ = ["end_pods"]


async def end_pods(layout: Layout, clock: Clock) -> None:
    """Ask the kubelet's reaper to end, with all the pods that it holds, and return once it has."""
