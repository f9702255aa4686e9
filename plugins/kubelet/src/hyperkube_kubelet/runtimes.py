"""The runtimes there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, cast

from hyperkube_kubelet.options import Options
from hyperkube_kubelet.runtime.errors import ImageUnavailable
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.process.images import HOST_IMAGE, StoredImage, host_image
from hyperkube_kubelet.runtime.values import FilesystemUsage, Image
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
    from hyperkube_kubelet.runtime.process.runtime import process_runtime
    from hyperkube_kubelet.runtime.process.starting import Settings

    network = cast(Literal["auto", "namespace", "loopback", "host"], options.network)  # as the flag has checked
    settings = Settings(root_dir=options.root_dir, network=network, pod_cidr=options.pod_cidr or POD_CIDR)
    async with process_runtime(settings, HostImages(), clock) as runtime:
        yield runtime


class HostImages:
    """The machine itself as the only image."""

    async def find(self, reference: str) -> Image | None:
        known = {HOST_IMAGE, *host_image().image.tags, host_image().image.id}
        return host_image().image if reference in known else None

    async def prepare(self, reference: str) -> StoredImage:
        if await self.find(reference) is None:
            raise ImageUnavailable(f"there is no image {reference}")
        return host_image()

    async def images(self) -> list[Image]:
        return [host_image().image]

    async def remove(self, reference: str) -> None:
        """It can't be."""

    async def usage(self) -> FilesystemUsage:
        return FilesystemUsage(Path("/"), 0, 0)
