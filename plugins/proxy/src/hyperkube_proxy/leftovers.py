"""What a proxy leaves in the kernel, removed by --cleanup."""

from __future__ import annotations

import logging
from pathlib import Path

from hyperkube_machinery.podnetwork import pod_network
from hyperkube_proxy.backends import nftables, userspace
from hyperkube_proxy.othermodes import remove_iptables, remove_ipvs

__all__ = ["clean_up"]

log = logging.getLogger(__name__)


async def clean_up(path: Path | None) -> None:
    """Remove tables and local addresses from the pods' network.

    Connections that are there go on as long as others have the kernel translate addresses; else it stops to.
    From the machine's own network what kube-proxy left in any mode is removed too. Raises SyncError where the kernel
    refuses. A network of the pods' own that is gone has taken all with it.
    """
    network = pod_network(path)
    try:
        await network.describe()
    except OSError as exc:
        log.info("the pods' network is not there, nor is anything in it: %s", exc)
        return
    try:
        await nftables.cleanup(network)
        if path is None:
            await remove_iptables(network)
            await remove_ipvs(network)
    except OSError as exc:
        log.info("this kernel has no such rules: %s", exc.strerror or exc)
    await userspace.LocalAddresses(network).keep_only(())
