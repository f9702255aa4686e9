"""What a proxy leaves in the kernel, removed by --cleanup."""

from __future__ import annotations

import logging
from pathlib import Path

from hyperkube_machinery.podnetwork import pod_network
from hyperkube_proxy.backends import nftables, userspace

__all__ = ["clean_up"]

log = logging.getLogger(__name__)


async def clean_up(path: Path | None) -> None:
    """Remove tables and local addresses from the pods' network; connections that are there go on.

    Raises SyncError where the kernel refuses. A network of the pods' own that is gone has taken all with it.
    """
    network = pod_network(path)
    try:
        await network.describe()
    except OSError as exc:
        log.info("the pods' network is not there, nor is anything in it: %s", exc)
        return
    try:
        await nftables.cleanup(network)
    except FileNotFoundError:
        log.info("nft is not installed: there are no rules")
    await userspace.LocalAddresses(network).keep_only(())
