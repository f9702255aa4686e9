"""What the proxy takes: `python -m tests.bench.proxy`.

A thousand services with five endpoints each are brought into a pods' network of the bench's own, by rules and by
relays; then one endpoint changes. Last, what a relay carries, beside what a connection without one does.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.podnetwork import Description, HostNetwork
from hyperkube_machinery.serving.loop import new_event_loop
from hyperkube_proxy import netroutes
from hyperkube_proxy.backends.nftables import NFTablesBackend, Terms
from hyperkube_proxy.backends.userspace import UserspaceBackend
from hyperkube_proxy.changes import Model
from hyperkube_proxy.healthcheck import Health
from hyperkube_proxy.instruments import Instruments
from hyperkube_proxy.parts import Part
from hyperkube_proxy.reach import Reach
from hyperkube_proxy.relaying.balancer import Balancer
from hyperkube_proxy.relaying.openings import Relays
from hyperkube_proxy.relaying.streams import StreamRelay
from hyperkube_proxy.syncer import Syncer
from tests.bench.figures import report

sys.path.insert(0, str(Path(__file__).parent.parent / "_fixtures"))

import _podnet
from _podnet import PodNet, pod_net

SERVICES, ENDPOINTS, CHANGES = 1000, 5, 20
MEGABYTES, CONNECTIONS = 512, 1000
CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its limit; 0 is none. With `at_least` more is better."""

    what: str
    value: float
    unit: str
    limit: float = 0.0
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return not self.limit or (self.value >= self.limit if self.at_least else self.value <= self.limit)

    def __str__(self) -> str:
        word = "at least" if self.at_least else "at most"
        judged = f"   {'ok' if self.kept else 'MISSED'} ({word} {self.limit:g} {self.unit})" if self.limit else ""
        return f"{self.what:<56} {self.value:9.2f} {self.unit}{judged}"


def service(number: int) -> dict[str, Any]:
    """One of the services."""
    address = f"10.96.{number // 250}.{number % 250 + 1}"
    return {
        "metadata": {"namespace": "default", "name": f"service-{number}"},
        "spec": {"clusterIP": address, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    }


def endpoints(number: int, *, count: int = ENDPOINTS) -> dict[str, Any]:
    """Its endpoints."""
    first = number * ENDPOINTS
    addresses = [f"10.244.{n // 250}.{n % 250 + 1}" for n in range(first, first + count)]
    return {
        "metadata": {
            "namespace": "default",
            "name": f"service-{number}-1",
            "labels": {"kubernetes.io/service-name": f"service-{number}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [ip], "nodeName": "n", "conditions": {"ready": True}} for ip in addresses],
    }


def filled() -> Model:
    """The model, as informers have told it."""
    model = Model("n")
    for number in range(SERVICES):
        model.on_service(None, service(number))
        model.on_slice(None, endpoints(number))
    return model


async def sync_figures(name: str, parts: list[Part], *, first: float, change: float) -> list[Figure]:
    """How long it takes until everything is in step for the first time, and again after one endpoint's change."""
    began = CLOCK.monotonic()
    model = filled()
    health = Health(CLOCK, timeout_seconds=60)
    syncer = Syncer(model, CLOCK, Instruments(), health, min_seconds=0, longest_retry_seconds=1)
    syncer.use(parts)
    assert await syncer.sync()
    found = [Figure(f"{name}: {SERVICES} services, {ENDPOINTS} endpoints each", CLOCK.monotonic() - began, "s", first)]
    took = []
    for number in range(CHANGES):
        model.on_slice(endpoints(number), endpoints(number, count=ENDPOINTS - 1))
        began = CLOCK.monotonic()
        assert await syncer.sync()
        took.append(1000 * (CLOCK.monotonic() - began))
    found.append(Figure(f"{name}: one endpoint's change, median", statistics.median(took), "ms", change))
    return found


async def rules(net: PodNet) -> list[Figure]:
    """nftables."""
    failures, cleanup_failures = Instruments().nftables_failures("IPv4")
    backend = NFTablesBackend(
        net.node,
        CLOCK,
        Terms(),
        failures=failures,
        cleanup_failures=cleanup_failures,
    )
    return await sync_figures("nftables", [backend], first=2.0, change=20.0)


async def relays(net: PodNet) -> list[Figure]:
    """Userspace."""
    async with Relays.running(CLOCK) as opened:
        reach = Reach(net.node, Description("namespace", _podnet.GATEWAY, "10.244.0.0/16", _podnet.BRIDGE))
        backend = UserspaceBackend(net.node, reach, opened, CLOCK, node_addresses=())
        return await sync_figures("userspace", [backend], first=2.0, change=20.0)


async def carried() -> list[Figure]:
    """What goes through a relay on loopback."""
    async with Relays.running(CLOCK) as opened, swallowing() as target:
        balancer = Balancer(CLOCK.monotonic)
        balancer.update([target])
        network = HostNetwork()
        relay = await opened.open(network, "TCP", ("127.0.0.1", 0), balancer, Reach(network, Description("host")))
        assert isinstance(relay, StreamRelay)
        found = []
        for name, address in (("without a relay", target), ("through a relay", relay.address)):
            found.append(Figure(f"one connection {name}", await throughput(address), "MB/s"))
            found.append(Figure(f"connections {name}, one after the other", await connections(address), "1/s"))
        return found


async def throughput(address: tuple[str, int]) -> float:
    reader, writer = await asyncio.open_connection(*address)
    block = bytes(1 << 20)
    began = CLOCK.monotonic()
    for _ in range(MEGABYTES):
        writer.write(block)
        await writer.drain()
    writer.write_eof()
    await reader.read()
    writer.close()
    return MEGABYTES / (CLOCK.monotonic() - began)


async def connections(address: tuple[str, int]) -> float:
    began = CLOCK.monotonic()
    for _ in range(CONNECTIONS):
        reader, writer = await asyncio.open_connection(*address)
        writer.write_eof()
        await reader.read()
        writer.close()
    return CONNECTIONS / (CLOCK.monotonic() - began)


@asynccontextmanager
async def swallowing() -> AsyncIterator[tuple[str, int]]:
    """A server in a process of its own, which reads to the end and says so."""
    argv = [sys.executable, "-c", _SWALLOW]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield "127.0.0.1", int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


_SWALLOW = """
import asyncio
class Swallow(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def eof_received(self): self.transport.write(b"done"); self.transport.close()
async def main():
    server = await asyncio.get_running_loop().create_server(Swallow, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


async def measure() -> list[Figure]:
    found: list[Figure] = []
    if why := _podnet.unavailable():
        print(f"no namespaces here, so no pods' network: {why}")
    else:
        benches: list[Callable[[PodNet], Awaitable[list[Figure]]]] = [rules, relays]
        for bench in benches:
            with tempfile.TemporaryDirectory() as folder:
                async with pod_net(Path(folder), pods=0) as net:
                    await net.run(sys.executable, "-I", "-S", netroutes.__file__, "prepare", _podnet.BRIDGE)
                    found += await bench(net)
    return found + await carried()


def figures() -> Iterator[Figure]:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        yield from runner.run(measure())


if __name__ == "__main__":
    sys.exit(report(figures()))
