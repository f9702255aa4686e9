"""Relays of UDP: each client's datagrams go to one endpoint while they keep coming."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol, cast

from hyperkube_machinery.clock import Clock
from hyperkube_proxy.relaying.balancer import Balancer, Target

__all__ = ["DatagramRelay", "DatagramRelays", "Reach"]

log = logging.getLogger(__name__)

IDLE_SECONDS = 120.0
"""How long a client's flow is kept that nothing is sent on. Source: the kernel's nf_conntrack_udp_timeout_stream."""

_SWEEP_SECONDS = 10.0
_HELD = 64
"""Datagrams of a new client that wait for its socket; those beyond are lost, as datagrams may be."""

Address = tuple[Any, ...]


class Reach(Protocol):
    def __call__(self, host: str, port: int, /) -> Awaitable[socket.socket]:
        """A UDP socket that is connected to the endpoint, non-blocking. Raises OSError."""


class DatagramRelays:
    """All UDP relays of a proxy, and the owner of their flows."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._relays: set[DatagramRelay] = set()

    @property
    def flows(self) -> int:
        return sum(len(relay.flows) for relay in self._relays)

    async def open(
        self, sock: socket.socket, balancer: Balancer, reach: Reach, *, admits: Callable[[str], bool] | None = None
    ) -> DatagramRelay:
        """Relay what arrives at the bound socket `sock`, which is the relay's from here on."""
        relay = DatagramRelay(self, balancer, reach, admits)
        try:
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: relay, sock=sock)
        except BaseException:
            sock.close()
            raise
        self._relays.add(relay)
        return relay

    async def sweep(self) -> NoReturn:
        """Let go of idle flows until cancelled."""
        while True:
            await self.clock.sleep(_SWEEP_SECONDS)
            for relay in self._relays:
                relay.drop_idle(self.clock.monotonic() - IDLE_SECONDS)

    async def close(self) -> None:
        for relay in list(self._relays):
            relay.close()
        for task in list(self._tasks):
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)

    # What relays call.

    def forget(self, relay: DatagramRelay) -> None:
        self._relays.discard(relay)

    def own(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("relaying datagrams failed", exc_info=exc)


class DatagramRelay(asyncio.DatagramProtocol):
    """One bound socket, and a flow for each client."""

    def __init__(
        self, relays: DatagramRelays, balancer: Balancer, reach: Reach, admits: Callable[[str], bool] | None
    ) -> None:
        self._relays = relays
        self._balancer = balancer
        self._reach = reach
        self._admits = admits
        self._transport: asyncio.DatagramTransport | None = None
        self.flows: dict[Address, _Flow] = {}
        self.address: tuple[str, int] = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.address = self._transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, address: Address) -> None:
        if self._admits is not None and not self._admits(address[0]):
            return
        flow = self.flows.get(address)
        if flow is None:
            flow = self.flows[address] = _Flow(self, address)
            self._relays.own(self._begin(flow))
        flow.used = self._relays.clock.monotonic()
        flow.send(data)

    def error_received(self, exc: Exception) -> None:
        """A client that sent something is gone; there is nobody to tell."""

    async def _begin(self, flow: _Flow) -> None:
        client = flow.client[0]
        for target in self._balancer.candidates(client):
            try:
                sock = await self._reach(*target)
            except OSError as exc:
                log.debug("the endpoint %s:%d cannot be reached: %s", *target, exc)
                continue
            flow.target = target
            try:
                await asyncio.get_running_loop().create_datagram_endpoint(lambda: flow, sock=sock)
            except BaseException:
                sock.close()
                raise
            self._balancer.keep(client, target)
            if self.flows.get(flow.client) is not flow:  # dropped meanwhile
                flow.close()
            return
        self.end(flow)

    def reply(self, data: bytes, flow: _Flow) -> None:
        flow.used = self._relays.clock.monotonic()
        if self._transport is not None:
            self._transport.sendto(data, flow.client)

    def end(self, flow: _Flow) -> None:
        if self.flows.get(flow.client) is flow:
            del self.flows[flow.client]
        flow.close()

    def drop_idle(self, since: float) -> None:
        """End the flows that nothing was sent on after `since`, on the monotonic clock."""
        self.drop(lambda flow: flow.used < since)

    def drop(self, which: Callable[[_Flow], bool]) -> None:
        """End the flows that `which` is true of."""
        for flow in [flow for flow in self.flows.values() if which(flow)]:
            self.end(flow)

    def drop_strays(self) -> None:
        """End the flows whose endpoint is no target any more: unlike connections they would never end by themselves."""
        targets = self._balancer.targets
        self.drop(lambda flow: flow.target is not None and flow.target not in targets)

    def close(self) -> None:
        self.drop(lambda flow: True)
        if self._transport is not None:
            self._transport.close()
        self._relays.forget(self)


class _Flow(asyncio.DatagramProtocol):
    """One client's datagrams to its endpoint, and the answers."""

    __slots__ = ("_held", "_relay", "_transport", "client", "target", "used")

    def __init__(self, relay: DatagramRelay, client: Address) -> None:
        self._relay = relay
        self._transport: asyncio.DatagramTransport | None = None
        self._held: deque[bytes] = deque(maxlen=_HELD)
        self.client = client
        self.target: Target | None = None
        self.used = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        while self._held:
            self._transport.sendto(self._held.popleft())

    def send(self, data: bytes) -> None:
        if self._transport is None:
            self._held.append(data)
        else:
            self._transport.sendto(data)

    def datagram_received(self, data: bytes, address: Address) -> None:
        self._relay.reply(data, self)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there any more: the client's next datagram chooses anew."""
        self._relay.end(self)

    def close(self) -> None:
        if self._transport is not None:
            with suppress(OSError):
                self._transport.close()
