"""Has garbage removed again and again, and for whoever needs room.

Source: StartGarbageCollection in k8s.io/kubernetes/pkg/kubelet/kubelet.go.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NoReturn

from hyperkube_kubelet.garbage.containers import ContainerCollector
from hyperkube_kubelet.garbage.errors import GarbageLeft
from hyperkube_kubelet.garbage.images import ImageCollector
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.telling import Recorder
from hyperkube_machinery.clock import Clock

__all__ = ["Garbage"]

log = logging.getLogger(__name__)

CONTAINER_SECONDS = 60.0
IMAGE_SECONDS = 300.0


class Garbage:
    """Dead containers and unused images of one node."""

    def __init__(
        self,
        containers: ContainerCollector,
        images: ImageCollector,
        recorder: Recorder,
        node: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """`node`: what events are about."""
        self._containers = containers
        self._images = images
        self._recorder = recorder
        self._node = node
        self._clock = clock

    async def follow_containers(self) -> NoReturn:
        """Remove containers until cancelled."""
        while True:
            try:
                await self._containers.collect()
            except (GarbageLeft, RuntimeFailure) as exc:
                log.warning("containers that have ended are left: %s", exc)
                self._recorder.event(self._node, "Warning", "ContainerGCFailed", str(exc))
            await self._clock.sleep(CONTAINER_SECONDS)

    async def follow_images(self) -> NoReturn:
        """See which images are used, and remove others, until cancelled. That it fails is told the second time."""
        failed = False
        while True:
            try:
                if self._images.idle:
                    await self._images.look()
                else:
                    await self._images.collect()
                failed = False
            except (GarbageLeft, RuntimeFailure) as exc:
                log.warning("images are left that should go: %s", exc)
                if failed:
                    self._recorder.event(self._node, "Warning", "ImageGCFailed", str(exc))
                failed = True
            await self._clock.sleep(IMAGE_SECONDS)

    async def remove_dead_containers(self) -> None:
        """Raises RuntimeFailure."""
        try:
            await self._containers.remove_unused()
        except GarbageLeft as exc:
            log.warning("%s", exc)

    async def remove_unused_images(self) -> None:
        """Raises RuntimeFailure."""
        try:
            await self._images.remove_unused()
        except GarbageLeft as exc:
            log.warning("%s", exc)
