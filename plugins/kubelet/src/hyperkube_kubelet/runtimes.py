"""The runtimes there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hyperkube_kubelet.options import Options
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_machinery.clock import Clock

__all__ = ["runtime_open"]

POD_CIDR = "10.244.0.0/24"


@asynccontextmanager
async def runtime_open(options: Options, clock: Clock) -> AsyncIterator[Runtime]:
    """The runtime that the flags choose; what it runs goes on after the block, if it runs anything.

    Raises RuntimeFailure where it can't be had.
    """
    if options.container_runtime == "hollow":
        from hyperkube_kubelet.runtime.hollow import HollowRuntime

        hollow = HollowRuntime(clock, pod_cidr=options.pod_cidr or POD_CIDR)
        try:
            yield hollow
        finally:
            await hollow.close()
        return
    raise NotImplementedError
