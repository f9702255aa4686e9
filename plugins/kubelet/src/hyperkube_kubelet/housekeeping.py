"""Clearing away what is left of pods that are gone. Source: k8s.io/kubernetes/pkg/kubelet (HandlePodCleanups)."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Protocol

from hyperkube_kubelet.cgroups.errors import CgroupFailure
from hyperkube_kubelet.cgroups.tree import PodGroups
from hyperkube_kubelet.pods.sightings import Sightings
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime

__all__ = ["Housekeeper"]

log = logging.getLogger(__name__)

ORPHAN_GRACE = 1.0
"""Of a pod whose object is gone nobody knows any more how long it wants."""


class Leftovers(Protocol):
    """Folders of pods."""

    def pods_with_folders(self) -> set[str]: ...

    async def unmount(self, uid: str) -> None: ...


class Housekeeper:
    """Removes sandboxes, control groups, logs and folders of pods."""

    def __init__(
        self, runtime: Runtime, sightings: Sightings, volumes: Leftovers, logs: Path, groups: PodGroups
    ) -> None:
        self._runtime = runtime
        self._sightings = sightings
        self._volumes = volumes
        self._logs = logs
        self._groups = groups

    def leftovers(self) -> set[str]:
        """The uids of pods that something is left of."""
        folders = self._volumes.pods_with_folders()
        return {*self._sightings.uids(), *folders, *self._logged(), *self._groups.leftovers()}

    async def clear(self, uid: str) -> None:
        """Stop and remove all that is left of a pod; what can't be removed now is told, and left."""
        try:
            observed = await self._sightings.observe(uid)
            await asyncio.gather(*(self._runtime.stop_container(run.id, ORPHAN_GRACE) for run in observed.running))
            for sandbox in observed.sandboxes:
                await self._runtime.remove_sandbox(sandbox.id)
                self._sightings.remove(sandbox.id)
            await self._volumes.unmount(uid)
            await self._groups.remove(uid)
            for folder in self._logged().get(uid, ()):
                await self._runtime.remove_tree(folder)
        except (RuntimeFailure, CgroupFailure, OSError) as exc:
            log.warning("something is left of the pod with uid %s: %s", uid, exc)

    def _logged(self) -> dict[str, list[Path]]:
        """The folders of logs, by the uid that their names end in."""
        found: dict[str, list[Path]] = {}
        try:
            for folder in self._logs.iterdir():
                found.setdefault(folder.name.rpartition("_")[2], []).append(folder)
        except FileNotFoundError:
            pass
        return found
