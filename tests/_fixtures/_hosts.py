"""Machines of a test's own, as root: two nodes with pods, and a client outside, each in a network namespace.

                       lan 192.0.2.0/24, 2001:db8::/64
    ┌────────────┬─────────────────┬──────────────────┐
    client .100  one .11                              two .12
                  └ cbr0 10.244.1.1/24, fd00:244:1::1/64  └ cbr0 10.244.2.1/24, fd00:244:2::1/64
                     └ pods .2, .3                           └ pods .2, .3

The client sends what is for services by way of node `one`. Each namespace has an agent; the tests hold sockets of all
of them in one event loop. Nothing of the machine's own network is touched, and all is gone with the agents.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hyperkube_machinery.podnetwork import AgentNetwork

_AGENT = Path(__file__).with_name("_netagent.py")
_DESCRIPTION = json.dumps({"mode": "host", "gateway": "", "pod_cidr": "", "bridge": ""})
_SECONDS = 20.0
_SERVICES = ("10.96.0.0/16", "198.51.100.0/24", "203.0.113.0/24", "fd00:96::/112", "2001:db8:1::/64", "2001:db8:2::/64")
"""What the client takes `one` for the way to."""


def unavailable() -> str:
    """Why there can't be such machines here; "" where there can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "network namespaces of this kind need root on Linux"
    probe = ["unshare", "-n", "ip", "link", "add", "cbr0", "type", "bridge"]
    try:
        done = subprocess.run(probe, capture_output=True, check=False, timeout=_SECONDS)
    except OSError as exc:
        return str(exc)
    return done.stderr.decode() if done.returncode else ""


@dataclass
class Host:
    """A machine, or a pod."""

    name: str
    network: AgentNetwork
    pid: int  # of the agent, by whose namespace programs enter the network
    addresses: tuple[str, ...] = ()  # of IPv4, and of IPv6
    pods: dict[str, Host] = field(default_factory=dict)

    @property
    def inside(self) -> tuple[str, ...]:
        """What a command line begins with to run in this network."""
        return ("nsenter", f"--net=/proc/{self.pid}/ns/net")

    def address(self, family: str) -> str:
        return self.addresses[0 if family == "IPv4" else 1]

    async def ip(self, *lines: str) -> None:
        """Commands of `ip`; a failure fails the test."""
        done = await self.network.run(["ip", "-batch", "-"], "\n".join((*lines, "")).encode())
        assert done.exit_code == 0, f"{self.name}: {done.stderr.decode()}"

    async def run(self, *argv: str, stdin: str = "") -> str:
        done = await self.network.run(argv, stdin.encode())
        assert done.exit_code == 0, f"{self.name}: {argv}: {done.stderr.decode()}"
        return done.stdout.decode()

    async def set(self, name: str, value: str) -> None:
        await self.run("sh", "-c", f"echo {value} > /proc/sys/net/{name}")


class Hosts:
    """The machines of the picture above."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.wire: Host
        self.client: Host
        self.nodes: dict[str, Host] = {}

    @property
    def places(self) -> Mapping[str, Host]:
        """All from where services are asked for, by name: `client`, `one`, `one/a`."""
        found = {"client": self.client, **self.nodes}
        for name, node in self.nodes.items():
            found |= {f"{name}/{pod}": host for pod, host in node.pods.items()}
        return found

    async def open(self) -> None:
        self.wire = await self._host("wire")
        await self.wire.ip("link add lan type bridge", "link set lan up")
        self.client = await self._on_lan("client", 100)
        for number, name in enumerate(("one", "two"), 1):
            node = self.nodes[name] = await self._on_lan(name, 10 + number)
            for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                await node.set(setting, "1")
            for limit in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
                await node.set(limit, "0")  # else one refusal a second is told of, and tests are faster than that
            bridge = ["link add cbr0 type bridge", "link set cbr0 up", "link set lo up"]
            await node.ip(*bridge, *_address("cbr0", f"10.244.{number}.1/24", f"fd00:244:{number}::1/64"))
            for at, pod in enumerate(("a", "b"), 2):
                node.pods[pod] = await self._pod(node, number, f"{name}-{pod}", at)
        one, two = self.nodes.values()
        await one.ip("route add 10.244.2.0/24 via 192.0.2.12", "route add fd00:244:2::/64 via 2001:db8::12")
        await two.ip("route add 10.244.1.0/24 via 192.0.2.11", "route add fd00:244:1::/64 via 2001:db8::11")
        for cidr in _SERVICES:
            way = "2001:db8::11" if ":" in cidr else "192.0.2.11"
            await self.client.ip(f"route add {cidr} via {way}")
        for node in (one, two):  # what is no service's of theirs is not anybody's: it goes nowhere
            await node.ip("route add default via 192.0.2.254", "route add default via 2001:db8::254")
        for number in (1, 2):
            ways = [f"route add 10.244.{number}.0/24 via 192.0.2.1{number}"]
            await self.client.ip(*ways, f"route add fd00:244:{number}::/64 via 2001:db8::1{number}")

    async def _on_lan(self, name: str, number: int) -> Host:
        host = await self._host(name)
        await self.wire.ip(
            f"link add {name} type veth peer name eth0 netns {host.pid}", f"link set {name} master lan up"
        )
        await host.ip("link set lo up", "link set eth0 up")
        host.addresses = (f"192.0.2.{number}", f"2001:db8::{number}")
        await host.ip(*_address("eth0", f"192.0.2.{number}/24", f"2001:db8::{number}/64"))
        return host

    async def _pod(self, node: Host, number: int, name: str, at: int) -> Host:
        pod = await self._host(name)
        await node.ip(
            f"link add veth{at} type veth peer name eth0 netns {pod.pid}", f"link set veth{at} master cbr0 up"
        )
        await node.ip(f"link set veth{at} type bridge_slave hairpin on")
        await pod.ip("link set lo up", "link set eth0 up")
        pod.addresses = (f"10.244.{number}.{at}", f"fd00:244:{number}::{at}")
        await pod.ip(*_address("eth0", *(f"{ip}/{32 if '.' in ip else 128}" for ip in pod.addresses)))
        await pod.ip(
            f"route add default via 10.244.{number}.1 dev eth0 onlink",
            f"route add default via fd00:244:{number}::1 dev eth0 onlink",
        )
        return pod

    async def _host(self, name: str) -> Host:
        path = self._folder / f"{name}.sock"
        process = subprocess.Popen(  # noqa: ASYNC220
            ["unshare", "-n", sys.executable, str(_AGENT), str(path), _DESCRIPTION], stdin=subprocess.DEVNULL
        )
        self._stack.callback(_end, process)
        host = Host(name, AgentNetwork(path), process.pid)
        async with asyncio.timeout(_SECONDS):
            while True:
                with suppress(OSError):
                    await host.network.describe()
                    return host
                await asyncio.sleep(0.005)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _address(device: str, ip4: str, ip6: str) -> Iterator[str]:
    yield f"addr add {ip4} dev {device}"
    yield f"addr add {ip6} dev {device} nodad"


@asynccontextmanager
async def hosts(folder: Path) -> AsyncIterator[Hosts]:
    """The machines, for the length of the block."""
    async with AsyncExitStack() as stack:
        found = Hosts(stack, folder)
        await found.open()
        yield found


class Told:
    """A server that tells whoever connects its name and by which address it is seen: `one/a 192.0.2.100`."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{self.name} {writer.get_extra_info('peername')[0]}".encode())
        with suppress(OSError):
            await writer.drain()
            if await reader.read(1):  # it wants to stay
                while data := await reader.read(100):
                    writer.write(data)
                    await writer.drain()
        writer.close()


async def ask(dial: Callable[[], object], *, seconds: float = 5.0) -> tuple[str, str]:
    """Who answers a connection that `dial` makes, and how the client is seen; or the name of the error."""
    try:
        async with asyncio.timeout(seconds):
            sock = await dial()  # type: ignore[misc]
            reader, writer = await asyncio.open_connection(sock=sock)
            try:
                name, _, seen = (await reader.read(200)).decode().partition(" ")
                return name, seen
            finally:
                writer.close()
    except OSError as exc:
        return type(exc).__name__, ""
