"""A small pods' network with real sockets: a bridge, and pods behind it, in namespaces that need no root.

    ┌ namespace of the node's ─────────────┐
    │ hk0 10.244.0.1/24                    │      each pod: a namespace of its own, 10.244.0.N/32
    │  ├── veth2 ── pod 10.244.0.2         │      (and everything else behind the gateway)
    │  └── veth3 ── pod 10.244.0.3         │
    └──────────────────────────────────────┘

Each of these namespaces has an agent; the tests hold sockets of all of them in one event loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import _tools

from hyperkube_machinery.podnetwork import AgentNetwork, Completed

_AGENT = Path(__file__).with_name("_netagent.py")
_SECONDS = 20.0

GATEWAY = "10.244.0.1"
POD_CIDR = "10.244.0.0/24"
BRIDGE = "hk0"
_A_POD = json.dumps({"mode": "host", "gateway": "", "pod_cidr": "", "bridge": ""})


@cache
def unavailable() -> str:
    """Why there can't be such a network on this machine; "" where there can."""
    probe = ["unshare", "-Urnpf", "--kill-child", "--mount-proc", "ip", "link", "add", "hk0", "type", "bridge"]
    try:
        done = subprocess.run(probe, env=_environment(), capture_output=True, check=False, timeout=_SECONDS)
    except OSError as exc:
        return str(exc)
    return done.stderr.decode() if done.returncode else ""


def _environment(*folders: Path) -> dict[str, str]:
    """With `folders` on the path, and where administrators' programs are, as on nobody else's."""
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return {**os.environ, "PATH": path}


class Answers:
    """A TCP server that says who it is to whoever connects, and hangs up."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.peers: list[str] = []

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer.get_extra_info("peername")[0])
        writer.write(self.text.encode())
        writer.close()


class PodNet:
    """The network: `node` is the namespace that the bridge is in, `pods` are by their addresses."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.path = folder / "network.sock"
        self.node = AgentNetwork(self.path)
        self.pods: dict[str, AgentNetwork] = {}
        self._process = process
        self._servers: list[asyncio.Server] = []

    async def run(self, *argv: str, stdin: str = "") -> str:
        """What a program writes that is run in the node's namespace; a failure fails the test."""
        done: Completed = await self.node.run(argv, stdin.encode())
        assert done.exit_code == 0, f"{argv}: {done.stderr.decode()}"
        return done.stdout.decode()

    async def add_pod(self, number: int) -> AgentNetwork:
        """A pod at 10.244.0.`number`."""
        address, path, python = f"10.244.0.{number}", self.folder / f"{number}.sock", sys.executable
        path.unlink(missing_ok=True)
        started = f"unshare -n {python} {_AGENT} {path} '{_A_POD}' </dev/null >/dev/null 2>&1 & echo $!"
        pid = (await self.run("sh", "-c", started)).strip()
        await _answers(path)
        await self.run(
            "ip",
            "-batch",
            "-",
            stdin=f"link add veth{number} master {BRIDGE} up type veth peer name eth0 netns {pid}\n",
        )
        pod = self.pods[address] = AgentNetwork(path)
        inside = f"link set lo up\nlink set eth0 up\naddr add {address}/32 dev eth0\n"
        inside += f"route add default via {GATEWAY} dev eth0 onlink\n"
        done = await pod.run(["ip", "-batch", "-"], inside.encode())
        assert done.exit_code == 0, done.stderr
        return pod

    async def serve(self, address: str, port: int, text: str = "") -> Answers:
        """A server in a pod, which answers with its address or `text`."""
        answers = Answers(text or address)
        sock = await self.pods[address].listen(address, port)
        self._servers.append(await asyncio.start_server(answers, sock=sock))
        return answers

    def kill(self) -> None:
        """End the network with all that is in it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    async def close(self) -> None:
        for server in self._servers:
            server.close()
            await server.wait_closed()
        self.kill()


async def ask(dial: Callable[[], object], *, seconds: float = 5.0) -> str:
    """What a server says to a connection that `dial` makes, or the name of the error that it ends in."""
    try:
        async with asyncio.timeout(seconds):
            sock = await dial()  # type: ignore[misc]
            reader, writer = await asyncio.open_connection(sock=sock)
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()
    except OSError as exc:
        return type(exc).__name__


@asynccontextmanager
async def pod_net(folder: Path, *, pods: int = 3) -> AsyncIterator[PodNet]:
    """A network with pods at 10.244.0.2 and on, for the length of the block."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240
    path = folder / "network.sock"
    description = {"mode": "namespace", "gateway": GATEWAY, "pod_cidr": POD_CIDR, "bridge": BRIDGE}
    argv = ["unshare", "-Urnpf", "--kill-child", "--mount-proc", sys.executable, str(_AGENT), str(path)]
    path.unlink(missing_ok=True)
    process = subprocess.Popen(  # noqa: ASYNC220
        [*argv, json.dumps(description)], stdin=subprocess.DEVNULL, env=_environment(_tools.nft().parent)
    )
    net = PodNet(folder, process)
    try:
        await _answers(path)
        setup = f"link set lo up\nlink add {BRIDGE} type bridge\naddr add {GATEWAY}/24 dev {BRIDGE}\n"
        await net.run("ip", "-batch", "-", stdin=f"{setup}link set {BRIDGE} up\n")
        await net.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        await net.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start")
        for number in range(2, 2 + pods):
            await net.add_pod(number)
        yield net
    finally:
        await net.close()


@asynccontextmanager
async def agent(path: Path, description: str) -> AsyncIterator[Path]:
    """An agent of a network namespace without anything in it, which says of itself what it is told to."""
    argv = ["unshare", "-Urnpf", "--kill-child", "--mount-proc", sys.executable, str(_AGENT), str(path), description]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=_environment(_tools.nft().parent))  # noqa: ASYNC220
    try:
        await _answers(path)
        yield path
    finally:
        process.kill()
        process.wait()


async def _answers(path: Path) -> None:
    """Return once the agent at `path` is there."""
    async with asyncio.timeout(_SECONDS):
        while True:
            try:
                await AgentNetwork(path).describe()
                return
            except OSError:
                await asyncio.sleep(0.005)
