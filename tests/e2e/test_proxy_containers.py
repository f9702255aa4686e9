"""The proxy beside a kubelet on a real containerd: rules on this machine, and services of pods on a bridge of CNI's.

It writes to this machine's own table `kube-proxy`, so it doesn't run where one is there already.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
from _clusters import Process, eventually
from _containerd import BUSYBOX, Containerd
from _nodes import NODE, RealNode

from hyperkube_machinery.builtin import SERVICES

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

SERVE = "mkdir -p /tmp/www; hostname > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
WAIT = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
_LEAVES = (
    "--conntrack-max-per-core=0",
    "--conntrack-tcp-timeout-established=0",
    "--conntrack-tcp-timeout-close-wait=0",
)
"""What is this machine's own stays as it is."""


def tables() -> str:
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout


class Proxies:
    """The proxy, which may be killed and started again."""

    def __init__(self, node: RealNode, cidr: str) -> None:
        self._node = node
        self._cidr = cidr
        self.running: Process

    async def start(self) -> None:
        self.running = await self._node.cluster.start_process(
            "proxy",
            f"--hostname-override={NODE}",
            "--proxy-mode=nftables",
            f"--cluster-cidr={self._cidr}",
            f"--nodeport-addresses={self._cidr}",  # the bridge's address is one of the node's
            "--healthz-bind-address=127.0.0.1:0",
            "--metrics-bind-address=127.0.0.1:0",
            "--oom-score-adj=0",
            *_LEAVES,
        )


@pytest.fixture
async def proxies(node: RealNode, containerd: Containerd) -> AsyncIterator[Proxies]:
    if "kube-proxy" in tables():
        pytest.skip("a proxy is at work on this machine")
    proxies = Proxies(node, containerd.pod_cidr)
    await proxies.start()
    yield proxies
    await proxies.running.stop()
    cleaning = node.cluster.begin("proxy", "--cleanup")
    await cleaning.end(signal.SIGCONT)
    assert "kube-proxy" not in tables()


async def created(node: RealNode, name: str, script: str) -> None:
    container = {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", script]}
    await node.create(name, {"containers": [container]}, labels={"app": name.partition("-")[0]})


async def asked(node: RealNode, pod: str, address: str) -> str:
    """Which pod answers, or why none does."""
    host, _, port = address.rpartition(":")
    # BusyBox's wget asks for names in libraries, of which the image has none.
    script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {host} {port} 2>&1 | tail -n 1; true"
    return (await node.kubectl("exec", pod, "--", "sh", "-c", script)).strip()


async def asked_here(address: str) -> str:
    """The same from the node itself."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(3):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = await reader.read(-1)
            writer.close()
    except OSError as exc:
        return type(exc).__name__
    return answer.decode().rpartition("\r\n\r\n")[2].strip()


async def test_pods_are_reached_by_their_service(node: RealNode, proxies: Proxies, containerd: Containerd) -> None:
    for name in ("web-0", "web-1"):
        await created(node, name, SERVE)
    await created(node, "client", WAIT)
    spec = {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    made = await node.client.create(SERVICES, {"metadata": {"name": "web"}, "spec": spec}, "default")
    await asyncio.gather(*(node.running(name) for name in ("web-0", "web-1", "client")))
    cluster = f"{made['spec']['clusterIP']}:80"
    own = ipaddress.ip_network(containerd.pod_cidr)[1]
    port = f"{own}:{made['spec']['ports'][0]['nodePort']}"
    seen: set[str] = set()

    async def both() -> bool:
        seen.add(await asked_here(cluster))
        return {"web-0", "web-1"} <= seen

    await eventually(both)
    assert {await asked(node, "client", cluster) for _ in range(8)} == {"web-0", "web-1"}
    assert "web-0" in {await asked(node, "web-0", cluster) for _ in range(8)}, "a pod reaches itself"
    assert await asked(node, "client", port) in ("web-0", "web-1")
    assert await asked_here(port) in ("web-0", "web-1")
    await proxies.running.kill()
    assert await asked(node, "client", cluster) in ("web-0", "web-1")
    await proxies.start()
    await node.delete("web-0", grace_seconds=1)

    async def one() -> bool:
        return {await asked_here(cluster) for _ in range(8)} == {"web-1"}

    await eventually(one)
    assert {await asked(node, "client", cluster) for _ in range(4)} == {"web-1"}
    await node.delete("web-1", grace_seconds=1)

    async def refused() -> bool:
        return await asked_here(cluster) == "ConnectionRefusedError"

    await eventually(refused)
    assert "refused" in await asked(node, "client", cluster)
    await node.client.delete(SERVICES, "web", "default")
    await node.emptied()
