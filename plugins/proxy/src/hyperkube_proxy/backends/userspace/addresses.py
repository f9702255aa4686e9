"""Services' addresses, made local to the network that they are listened for in."""

from __future__ import annotations

import ipaddress
import logging
import sys
from collections.abc import Collection

from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_proxy import netroutes

__all__ = ["LocalAddresses"]

log = logging.getLogger(__name__)


class LocalAddresses:
    """The addresses that this proxy made local in one network; a start finds those of the one before."""

    def __init__(self, network: PodNetwork) -> None:
        self._network = network
        self._there: set[str] | None = None  # None: not looked yet
        self._forbidden = False

    async def add(self, wanted: Collection[str]) -> None:
        """Have `wanted` be local; where that may not be done, say so once."""
        there = await self._known()
        missing = sorted(address for address in wanted if address not in there and not _is_loopback(address))
        if missing and not self._forbidden and await self._change("add", missing):
            there.update(missing)

    async def keep_only(self, wanted: Collection[str]) -> None:
        """Let go of all but `wanted`."""
        there = await self._known()
        gone = sorted(there.difference(wanted))
        if gone and await self._change("delete", gone):
            there.difference_update(gone)

    def forget(self) -> None:
        """Look again what is there."""
        self._there = None
        self._forbidden = False

    async def _known(self) -> set[str]:
        if self._there is None:
            listed = await self._network.run(_program("list"))
            self._there = set(listed.stdout.decode().split()) if listed.exit_code == 0 else set()
        return self._there

    async def _change(self, command: str, addresses: list[str]) -> bool:
        done = await self._network.run(_program(command), "\n".join(addresses).encode())
        if done.exit_code == 0:
            return True
        if not self._forbidden:
            self._forbidden = True
            log.warning(
                "services' own addresses cannot be had in this network (%s); they are reached through relays alone",
                done.stderr.decode(errors="replace").strip(),
            )
        return False


def _program(command: str) -> list[str]:
    return [sys.executable, "-I", "-S", netroutes.__file__, command]


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
