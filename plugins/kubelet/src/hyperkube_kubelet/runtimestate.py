"""Whether the runtime can run pods now.

Source: k8s.io/kubernetes/pkg/kubelet (updateRuntimeUp, runtimeState) and pkg/kubelet/pleg (Healthy).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import Image, RuntimeStatus
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.durations import format_duration

__all__ = ["RuntimeState"]

log = logging.getLogger(__name__)

SECONDS = 5.0
DOWN_SECONDS = 30.0
"""How long a runtime may not have said that it is ready before the node is not. Upstream's."""
UNSEEN_SECONDS = 180.0
"""How long it may not have been seen what runs. Upstream's."""
IMAGES_SECONDS = 5.0
"""How long the node's status waits for the list of images before it shows the last one."""


class RuntimeState:
    """What the runtime last said of itself."""

    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self._runtime = runtime
        self._clock = clock
        self.latest: RuntimeStatus | None = None
        self.failure = "the runtime has not answered yet"
        self._ready_at: float | None = None
        self._asking = False
        self._images: Sequence[Image] = ()

    @property
    def shown(self) -> RuntimeStatus:
        """What the node's status is to say of it; `troubles` tells what there is beside."""
        if self.latest is not None:
            return self.latest
        return RuntimeStatus(
            name=self.scheme, version="", ready=True, network_ready=False, network_message=self.failure
        )

    def troubles(self) -> tuple[str, ...]:
        """Why the runtime isn't relied on, whatever it last said; empty where it is."""
        found = []
        now = self._clock.monotonic()
        if self._ready_at is None:
            if self.latest is None:
                found.append("container runtime status check may not have completed yet")
        elif (self._asking or self.failure or not self.shown.ready) and now - self._ready_at >= DOWN_SECONDS:
            found.append("container runtime is down")
        seen = self._runtime.seen_at
        if seen is not None and now - seen > UNSEEN_SECONDS:
            ago, threshold = format_duration(round(now - seen, 3)), format_duration(UNSEEN_SECONDS)
            found.append(f"PLEG is not healthy: pleg was last seen active {ago} ago; threshold is {threshold}")
        return tuple(found)

    async def images(self) -> Sequence[Image]:
        """Those that the runtime has; while it doesn't answer, those that it had."""
        with suppress(RuntimeFailure, TimeoutError):
            self._images = await within(self._clock, IMAGES_SECONDS, self._runtime.images())
        return self._images

    @property
    def scheme(self) -> str:
        """What ids of its containers begin with in statuses."""
        return self.latest.name if self.latest is not None else "unknown"

    def network_trouble(self) -> str:
        """Why pods can have no network now, in upstream's words; "" where they can."""
        if self.latest is None:
            return self.failure
        if self.latest.network_ready:
            return ""
        return self.latest.network_message or self.latest.network_reason or "the runtime says so"

    async def look(self) -> None:
        """Ask the runtime."""
        self._asking = True
        try:
            self.latest, failure = await self._runtime.status(), ""
        except RuntimeFailure as exc:
            failure = str(exc)
            if not self.failure:
                log.error("Container runtime sanity check failed: %s", exc)
        else:
            if self.failure and self._ready_at is not None:
                log.info("the container runtime answers again")
            if self.latest.ready:
                self._ready_at = self._clock.monotonic()
        finally:
            self._asking = False
        self.failure = failure

    async def look_for(self, seconds: float) -> None:
        """Ask the runtime, and wait no longer than so long for its answer."""
        try:
            await within(self._clock, seconds, self.look())
        except TimeoutError:
            self.failure = f"the runtime has not answered within {format_duration(seconds)}"

    async def follow(self) -> NoReturn:
        """Ask again and again."""
        while True:
            await self.look()
            await self._clock.sleep(SECONDS)
