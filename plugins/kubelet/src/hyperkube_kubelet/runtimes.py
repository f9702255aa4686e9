"""The runtimes there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.options import Options
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.quantity import Quantity

if TYPE_CHECKING:
    from hyperkube_kubelet.runtime.cri.runtime import Settings as CRISettings

__all__ = ["runtime_open"]

POD_CIDR = "10.244.0.0/24"
REQUEST_SECONDS = 120.0


@asynccontextmanager
async def runtime_open(options: Options, clock: Clock, counts: Counts) -> AsyncIterator[Runtime]:
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
    from hyperkube_kubelet.images.registries import Registries

    if options.uses_cri:
        from hyperkube_kubelet.images.references import with_tag
        from hyperkube_kubelet.runtime.cri.runtime import cri_runtime

        async with cri_runtime(_cri_settings(options), with_tag, clock, counts) as real:
            yield real
        return
    from hyperkube_kubelet.images.source import NodeImages
    from hyperkube_kubelet.runtime.process.runtime import process_runtime
    from hyperkube_kubelet.runtime.process.starting import Settings

    network = cast(Literal["auto", "namespace", "loopback", "host"], options.network)  # as the flag has checked
    settings = Settings(
        root_dir=options.root_dir,
        hidden=secrets_of(options),
        network=network,
        pod_cidr=options.pod_cidr or POD_CIDR,
        grace_seconds=options.orphan_grace_period,
        log_bytes=int(Quantity.parse(options.container_log_max_size).value),
        log_files=options.container_log_max_files,
    )
    images = NodeImages(options.root_dir, Registries(options.registry_config_dir), clock)
    async with process_runtime(settings, images, clock) as runtime:
        yield runtime


def _cri_settings(options: Options) -> CRISettings:
    """Raises RuntimeUnavailable where no runtime is named and none is found."""
    from hyperkube_kubelet.runtime.cri.discovery import find_socket, socket_of
    from hyperkube_kubelet.runtime.cri.runtime import Settings

    endpoint, images = options.container_runtime_endpoint, options.image_service_endpoint
    alone = options.kubeconfig is None and not options.master
    return Settings(
        socket=socket_of(endpoint) if endpoint else find_socket(),
        images_socket=socket_of(images) if images else None,
        request_seconds=options.runtime_request_timeout or REQUEST_SECONDS,
        log_bytes=int(Quantity.parse(options.container_log_max_size).value),
        log_files=options.container_log_max_files,
        addresses=None if options.network == "cni" else options.root_dir / "addresses",
        pod_cidr=options.pod_cidr or (POD_CIDR if alone else ""),  # an API server tells the node's
    )


def secrets_of(options: Options) -> tuple[Path, ...]:
    """What lets the kubelet in, so that containers that see this machine's files don't see it.

    A folder that is closed to others is taken as a whole: with a cluster's keys, other keys are kept.
    """
    files = [path for path in (options.kubeconfig, options.tls_private_key_file) if path is not None]
    found = {path.absolute().parent if _is_private(path.absolute().parent) else path.absolute() for path in files}
    return tuple(sorted(found))


def _is_private(folder: Path) -> bool:
    return folder.is_dir() and not folder.stat().st_mode & 0o077
