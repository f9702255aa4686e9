"""Ports of pods that are also to be reached on the node (hostPort): the kubelet listens there and passes bytes on.

They are TCP's alone, and on loopback unless hostIP names another address.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial

from hyperkube_kubelet.runtime.values import Sandbox, SandboxState
from hyperkube_machinery.podnetwork import PodNetwork

__all__ = ["HostPorts", "wanted_ports"]

log = logging.getLogger(__name__)

Place = tuple[str, int]  # an address and a port
_LOOPBACK = "127.0.0.1"
_PIECE = 64 << 10


def wanted_ports(sandboxes: Iterable[Sandbox]) -> dict[Place, Place]:
    """Where on the node to listen for which place in a pod; of two pods that want the same place the older has it."""
    wanted: dict[Place, Place] = {}
    for sandbox in sorted(sandboxes, key=lambda sandbox: sandbox.created_at):
        if sandbox.state is not SandboxState.READY or not sandbox.ips:
            continue
        for port in sandbox.config.ports:
            if port.host_port and port.protocol == "TCP":
                place = (port.host_ip or _LOOPBACK, port.host_port)
                wanted.setdefault(place, (sandbox.ips[0], port.container_port))
    return wanted


class HostPorts:
    """What is listened on. Connections end with the pod, or with the kubelet."""

    def __init__(self, network: PodNetwork) -> None:
        self._network = network
        self._servers: dict[Place, tuple[Place, asyncio.Server]] = {}
        self._connections: dict[asyncio.Task[None], Place] = {}
        self._changing = asyncio.Lock()

    async def hold(self, wanted: Mapping[Place, Place]) -> None:
        """Listen for `wanted` and for nothing else. A place that somebody else has is tried again the next time."""
        async with self._changing:
            for place, (target, server) in list(self._servers.items()):
                if wanted.get(place) != target:
                    del self._servers[place]
                    await self._end(place, server)
            for place, target in wanted.items():
                if place not in self._servers:
                    try:
                        server = await asyncio.start_server(partial(self._accept, place, target), *place)
                    except OSError as exc:
                        log.warning("cannot listen on host port %s:%d of a pod: %s", *place, exc.strerror or exc)
                        continue
                    self._servers[place] = (target, server)

    async def close(self) -> None:
        await self.hold({})

    async def _end(self, place: Place, server: asyncio.Server) -> None:
        server.close()
        ending = [task for task, of in self._connections.items() if of == place]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _accept(
        self, place: Place, target: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = place
        try:
            await self._relay(target, reader, writer)
        except OSError:
            pass  # whoever connected sees the end
        finally:
            del self._connections[task]
            writer.close()

    async def _relay(self, target: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made = await self._network.dial(*target)
        inner_reader, inner_writer = await asyncio.open_connection(sock=made)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, inner_writer))
                both.create_task(_pump(inner_reader, writer))
        finally:
            inner_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, and its end."""
    with suppress(ConnectionError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof()
