"""Calls to a runtime by CRI's names, each with the time that upstream gives it.

Source: k8s.io/cri-client/pkg (remote_runtime.go, remote_image.go).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.runtime.cri.failures import failure_of
from hyperkube_kubelet.runtime.cri.messages import MESSAGES
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.grpc import BadMessage, CallFailed, Channel

__all__ = ["CRIClient"]

Tree = dict[str, Any]

_IMAGE_CALLS = {"ListImages", "ImageStatus", "PullImage", "RemoveImage", "ImageFsInfo"}
_PACKAGE = "runtime.v1"


class CRIClient:
    """Asks a runtime, and who has its images, for which most are one."""

    def __init__(
        self,
        runtime: Channel,
        images: Channel,
        request_seconds: float,
        clock: Clock,
        counts: Counts | None = None,
    ) -> None:
        """Without `counts` nobody is told how often and how long it was asked."""
        self._clock = clock
        self._counts = counts
        self._runtime = runtime
        self._images = images
        self.request_seconds = request_seconds

    async def call(self, name: str, request: Mapping[str, Any] | None = None, *, seconds: float | None = None) -> Tree:
        """The answer to a call; `seconds` is how long it may take, 0 for ever. Raises RuntimeFailure."""
        began, failed = self._clock.monotonic(), True
        try:
            answer = await self._call(name, request, seconds)
            failed = False
            return answer
        finally:
            if self._counts is not None:
                self._counts.operation(name, self._clock.monotonic() - began, failed=failed)

    async def _call(self, name: str, request: Mapping[str, Any] | None, seconds: float | None) -> Tree:
        of_images = name in _IMAGE_CALLS
        channel = self._images if of_images else self._runtime
        method = f"/{_PACKAGE}.{'Image' if of_images else 'Runtime'}Service/{name}"
        limit = self.request_seconds if seconds is None else seconds
        try:
            answer = await channel.call(method, MESSAGES.encode(f"{name}Request", request or {}), seconds=limit)
            return MESSAGES.decode(f"{name}Response", answer)
        except CallFailed as exc:
            raise failure_of(name, exc) from exc
        except BadMessage as exc:
            raise RuntimeFailure(f"the runtime's answer to {name} can't be read: {exc}") from exc

    async def stream(self, method: str, request: bytes, answer: str) -> AsyncGenerator[Tree, None]:
        """The messages, of the kind `answer`, that a method tells until it ends. Raises RuntimeFailure."""
        try:
            async with aclosing(self._runtime.stream(method, request)) as messages:
                async for message in messages:
                    yield MESSAGES.decode(answer, message)
        except CallFailed as exc:
            raise failure_of(method.rpartition("/")[2], exc) from exc
        except BadMessage as exc:
            raise RuntimeFailure(f"what the runtime tells can't be read: {exc}") from exc
