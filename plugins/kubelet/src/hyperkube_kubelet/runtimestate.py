"""Whether the runtime can run pods now. Source: k8s.io/kubernetes/pkg/kubelet (updateRuntimeUp)."""

from __future__ import annotations

import logging
from typing import NoReturn

from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import Image, RuntimeStatus
from hyperkube_machinery.clock import Clock

__all__ = ["RuntimeState"]

log = logging.getLogger(__name__)

SECONDS = 5.0


class RuntimeState:
    """What the runtime last said of itself."""

    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self.latest: RuntimeStatus | None = None
        self.failure = "the runtime has not answered yet"

    @property
    def shown(self) -> RuntimeStatus:
        """What the node's status is to say of it."""
        if self.latest is not None and not self.failure:
            return self.latest
        return RuntimeStatus(
            name=self.scheme,
            version=self.latest.version if self.latest is not None else "",
            ready=False,
            ready_reason="RuntimeUnavailable",
            ready_message=f"container runtime is down: {self.failure}",
            network_ready=False,
            network_message=self.failure,
        )

    async def images(self) -> list[Image]:
        """Those that the runtime has; none while it doesn't answer."""
        try:
            return await self._runtime.images()
        except RuntimeFailure:
            return []

    @property
    def scheme(self) -> str:
        """What ids of its containers begin with in statuses."""
        return self.latest.name if self.latest is not None else "unknown"

    def network_trouble(self) -> str:
        """Why pods can have no network now; "" where they can."""
        if self.latest is None:
            return self.failure
        if self.latest.network_ready:
            return ""
        return self.latest.network_message or self.latest.network_reason or "the runtime says so"

    async def look(self) -> None:
        """Ask the runtime."""
        try:
            self.latest, self.failure = await self._runtime.status(), ""
        except RuntimeFailure as exc:
            if not self.failure:
                log.error("the runtime doesn't answer: %s", exc)
            self.failure = str(exc)

    async def follow(self) -> NoReturn:
        """Ask again and again."""
        while True:
            await self.look()
            await self._clock.sleep(SECONDS)
