"""What the syncer keeps in step with the routes, one part after another."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from hyperkube_proxy.model import PortName
from hyperkube_proxy.rules import Route

__all__ = ["Part", "Routes", "SyncError"]

Routes = Mapping[PortName, Route]


class SyncError(Exception):
    """Something of what a part should have done could not be done; it is tried again."""


class Part(Protocol):
    """One thing that follows the routes."""

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> float | None:
        """Follow `routes`, in which those of `changed` are new, different or gone; None: look at all, and at what is.

        Returns after how many seconds it would like another turn, if it would before anything changes. Raises
        SyncError, and OSError, once all that could be done is done; the next call then has None.
        """
