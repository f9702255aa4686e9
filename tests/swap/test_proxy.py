"""Kubernetes' kube-proxy on hk's API server, in a network namespace of its own: connections to a service arrive.

As root. The API server stays on the machine's loopback; a socket file leads to it from the namespace.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import _tools
import pytest
from _clusters import eventually
from _peers import MixedCluster, open_mixed, program

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import ENDPOINT_SLICES, SERVICES

pytestmark = pytest.mark.anyio

NODE = "one"
POD = "10.188.9.9"  # an address in the namespace, where a web server listens
PORT = 8443  # in the namespace, which is nobody else's

# What runs in the namespace: a relay to the socket file, and a pod of sorts.
INSIDE = f"""
import asyncio, sys
async def pipe(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def relay(reader, writer):
    there = await asyncio.open_unix_connection(sys.argv[1])
    await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer), return_exceptions=True)
async def page(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 5\\r\\n\\r\\nhello")
    writer.close()
async def main():
    await asyncio.start_server(relay, "127.0.0.1", {PORT})
    await asyncio.start_server(page, "{POD}", 8080)
    await asyncio.Event().wait()
asyncio.run(main())
"""
ASK = """
import sys, urllib.request
print(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=2).read().decode())
"""


class Namespace:
    """A network of the test's own, with the addresses of a node and of a pod in it."""

    def __init__(self, socket: Path) -> None:
        setup = (
            "ip link set lo up && ip link add pods type veth peer name far && ip link set far up && ip link set pods up"
            f" && ip address add {POD}/24 dev pods && ip route add default dev pods && exec"
        )
        self._process = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", f'{setup} "$@"', "sh", sys.executable, "-c", INSIDE, str(socket)],
            stdin=subprocess.DEVNULL,
        )
        self.enter = ("nsenter", f"--net=/proc/{self._process.pid}/ns/net")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*self.enter, *command], capture_output=True, text=True, timeout=60, check=False)
        assert self._process.poll() is None, "the namespace's program has ended"
        return done

    def ask(self, url: str) -> str:
        """What a web server answers to those inside; "" where none is reached."""
        return self.run(sys.executable, "-c", ASK, url).stdout.strip()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@asynccontextmanager
async def reachable_by(path: Path, url: str) -> AsyncIterator[None]:
    """Let a socket file lead to a server on loopback."""
    parts = urlsplit(url)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, answer = await asyncio.open_connection(parts.hostname, parts.port), writer
            await asyncio.gather(_pipe(reader, there[1]), _pipe(there[0], answer), return_exceptions=True)

    async with await asyncio.start_unix_server(relay, path):
        yield


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[MixedCluster]:
    program("proxy")
    if os.geteuid() != 0:
        pytest.skip("network namespaces of this kind need root")
    async with open_mixed(["proxy"], tmp_path, lambda: _tools.kubectl()[0]) as cluster:
        await cluster.start_controller_manager(upstream=False)
        await cluster.start_hollow(NODE)
        yield cluster


async def test_connections_to_a_service_arrive_at_its_pods(cluster: MixedCluster, tmp_path: Path) -> None:
    nft = _tools.nft()
    socket = tmp_path / "api.sock"
    async with reachable_by(socket, kubeconfig.read(cluster.kubeconfig).server):
        namespace = Namespace(socket)
        try:
            config = cluster.identity("system:kube-proxy")
            path = os.pathsep.join([str(nft.parent), os.environ["PATH"], "/usr/sbin", "/sbin"])
            peer = cluster.run_peer(
                "proxy",
                f"--kubeconfig={config}",
                f"--master=https://127.0.0.1:{PORT}",
                f"--hostname-override={NODE}",
                "--proxy-mode=nftables",
                "--cluster-cidr=10.188.0.0/16",
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0",
                "--healthz-bind-address=127.0.0.1:10256",
                "--metrics-bind-address=127.0.0.1:10249",
                before=(*namespace.enter, shutil.which("env") or "env", f"PATH={path}"),
            )
            metadata = {"name": "web", "namespace": "default"}
            service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
            port = {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}
            made = await cluster.client.create(SERVICES, {**service, "spec": {"ports": [port]}}, "default")
            url = f"http://{made['spec']['clusterIP']}/"
            labels = {"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "test"}
            slice_ = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**metadata, "labels": labels},
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                "endpoints": [{"addresses": [POD], "conditions": {"ready": True}, "nodeName": NODE}],
            }
            await cluster.client.create(ENDPOINT_SLICES, slice_, "default")

            async def answered() -> bool:
                peer.check()
                return await asyncio.to_thread(namespace.ask, url) == "hello"

            await eventually(answered)
            rules = namespace.run(str(nft), "list", "table", "ip", "kube-proxy").stdout
            assert made["spec"]["clusterIP"] in rules

            await cluster.client.delete(ENDPOINT_SLICES, "web", "default")

            async def refused() -> bool:
                return await asyncio.to_thread(namespace.ask, url) == ""

            await eventually(refused)
            assert peer.complaints([r"nftables|nodePortAddresses|conntrack|sysctl|[Nn]ode IP|localhost|kernel"]) == []
            await peer.stop()
        finally:
            namespace.close()
