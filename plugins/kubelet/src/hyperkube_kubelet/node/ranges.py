"""Telling the runtime which range of addresses the node's pods have, as the node's object says it.

Source: k8s.io/kubernetes/pkg/kubelet (updatePodCIDR).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from hyperkube_kubelet.pauses import rest
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_machinery.clock import Clock

__all__ = ["RangeTeller"]

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0

Tree = Mapping[str, Any]


class RangeTeller:
    """Passes the range on when there is one, and again when it is another."""

    def __init__(self, runtime: Runtime, registered: Callable[[], Tree | None], clock: Clock) -> None:
        self._runtime = runtime
        self._registered = registered
        self._clock = clock
        self._news = asyncio.Event()

    def wake(self) -> None:
        """The node's object has changed."""
        self._news.set()

    async def run(self) -> NoReturn:
        told = ""
        while True:
            self._news.clear()
            wanted = _ranges(self._registered() or {})
            if wanted in ("", told):
                await self._news.wait()
                continue
            try:
                await self._runtime.use_pod_cidr(wanted)
            except RuntimeFailure as exc:
                log.warning("the runtime can't be told of the pods' range %s: %s", wanted, exc)
                await rest(self._clock, RETRY_SECONDS, self._news)
            else:
                log.info("pods have addresses of %s", wanted)
                told = wanted


def _ranges(node: Tree) -> str:
    spec: Tree = node.get("spec") or {}
    return ",".join(spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else []))
