"""What the proxy takes on a node, as root: `python -m tests.bench.nodeproxy [kube-proxy]`.

A node of the bench's own, in a network namespace, and an API server with a thousand services of five endpoints each.
A proxy is started there; then endpoints change, one after the other; last, nothing happens. Where the path of a
kube-proxy is given it does the same for comparison, with nftables too.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import ENDPOINT_SLICES, NODES, SERVICES
from hyperkube_machinery.clock import SystemClock
from tests.bench.proxy import CHANGES, ENDPOINTS, Figure, endpoints, service
from tests.bench.proxy import SERVICES as COUNT

sys.path.insert(0, str(Path(__file__).parent.parent / "_fixtures"))

import _hosts
from _clusters import Cluster, open_cluster
from _hosts import Host, Hosts, hosts

CLOCK = SystemClock()
IDLE_SECONDS = 10.0
_AT_ONCE = 20
_METRICS_PORT = 10249
_TICKS = os.sysconf("SC_CLK_TCK")
_DURATION = "kubeproxy_sync_proxy_rules_duration_seconds"


class Running:
    """A proxy on the node."""

    def __init__(self, node: Host, process: asyncio.subprocess.Process) -> None:
        self._node = node
        self._process = process

    @property
    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS  # with those of programs that it has run

    @property
    def megabytes(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def metrics(self) -> str:
        sock = await self._node.network.dial("127.0.0.1", _METRICS_PORT)
        reader, writer = await asyncio.open_connection(sock=sock)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = (await reader.read(-1)).decode()
        writer.close()
        return text

    async def syncs(self) -> tuple[float, float]:
        """How many syncs of IPv4 there were, and how many seconds they took in all."""
        text = await self.metrics()
        found = [re.search(rf'^{_DURATION}_{what}{{ip_family="IPv4"}} (\S+)', text, re.M) for what in ("count", "sum")]
        count, total = (float(match[1]) if match else 0.0 for match in found)
        return count, total

    async def last(self) -> float:
        """When the rules were brought in step for the last time."""
        pattern = r'^kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} (\S+)'
        found = re.search(pattern, await self.metrics(), re.M)
        return float(found[1]) if found else 0.0


@asynccontextmanager
async def started(node: Host, argv: Sequence[str]) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(*node.inside, *argv, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield Running(node, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def filled(cluster: Cluster) -> None:
    client = cluster.client
    await client.create(NODES, {"metadata": {"name": "n"}})
    addresses = [{"type": "InternalIP", "address": "192.0.2.11"}]
    await client.patch(NODES, "n", {"status": {"addresses": addresses}}, subresource="status")
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        async with limit:
            await client.create(SERVICES, service(number), "default")
            await client.create(ENDPOINT_SLICES, endpoints(number), "default")

    await asyncio.gather(*map(one, range(1, COUNT + 1)))  # the first address is that of the service kubernetes


async def bench(name: str, node: Host, cluster: Cluster, argv: Sequence[str]) -> list[Figure]:
    own = name == "hk"
    began = CLOCK.monotonic()
    async with started(node, argv) as proxy:
        await _in_kernel(node, COUNT)
        up = CLOCK.monotonic() - began
        found = [Figure(f"{name}: {COUNT} services in the kernel, from the start of the process", up, "s")]
        await asyncio.sleep(2)
        took = []
        before_seconds = proxy.processor_seconds
        for number in range(1, CHANGES + 1):
            count, total = await proxy.syncs()
            fewer = endpoints(number, count=ENDPOINTS - 1)["endpoints"]
            patch = {"endpoints": fewer}
            await cluster.client.patch(ENDPOINT_SLICES, f"service-{number}-1", patch, "default")
            while (now := await proxy.syncs())[0] == count:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(0.05)
            took.append(1000 * (now[1] - total) / (now[0] - count))
            await asyncio.sleep(1.1)  # kube-proxy syncs once a second at most
        found.append(
            Figure(f"{name}: one endpoint's change, median sync", statistics.median(took), "ms", 20.0 if own else 0.0)
        )
        spent = 1000 * (proxy.processor_seconds - before_seconds) / CHANGES
        found.append(Figure(f"{name}: processor time for one endpoint's change, and its being asked for", spent, "ms"))
        before_seconds = proxy.processor_seconds
        await asyncio.sleep(IDLE_SECONDS)
        idle = 100 * (proxy.processor_seconds - before_seconds) / IDLE_SECONDS
        found.append(Figure(f"{name}: idle, of a core", idle, "%", 1.0 if own else 0.0))
        found.append(Figure(f"{name}: memory", proxy.megabytes, "MB", 90.0 if own else 0.0))
    for number in range(1, CHANGES + 1):
        patch = {"endpoints": endpoints(number)["endpoints"]}
        await cluster.client.patch(ENDPOINT_SLICES, f"service-{number}-1", patch, "default")
    await node.run("nft", "flush", "ruleset")
    return found


async def _in_kernel(node: Host, count: int) -> None:
    deadline = CLOCK.monotonic() + 60
    while CLOCK.monotonic() < deadline:
        listed = await node.network.run(["nft", "list", "map", "ip", "kube-proxy", "service-ips"])
        if listed.stdout.count(b"goto") >= count:
            return
        await asyncio.sleep(0.05)
    raise TimeoutError("the rules did not come")


async def measure(peer: str) -> list[Figure]:
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            machines: Hosts = await stack.enter_async_context(hosts(Path(folder)))
            node = machines.nodes["one"]
            flags = ("--storage-backend=memory", "--service-cluster-ip-range=10.96.0.0/16")
            opened = open_cluster("process", Path(folder) / "cluster", lambda: Path("kubectl"), *flags)
            cluster = await stack.enter_async_context(opened)
            await filled(cluster)
            port = int(kubeconfig.read(cluster.kubeconfig).server.rpartition(":")[2])
            sock = await node.network.listen("127.0.0.1", port)
            server = await asyncio.start_server(partial(_relay, port), sock=sock)
            stack.callback(server.close)
            given = [f"--kubeconfig={cluster.identity('system:kube-proxy')}", "--hostname-override=n"]
            given += ["--proxy-mode=nftables", "--cluster-cidr=10.244.0.0/16", "--conntrack-max-per-core=0"]
            found += await bench("hk", node, cluster, [sys.executable, "-m", "hyperkube_core", "proxy", *given])
            if peer:
                found += await bench("kube-proxy", node, cluster, [peer, *given])
    return found


async def _relay(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", port)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()

    await asyncio.gather(copy(reader, back), copy(there, writer))


if __name__ == "__main__":
    if why := _hosts.unavailable():
        print(f"no node of the bench's own: {why}")
        sys.exit(0)
    from tests.bench.figures import report

    sys.exit(report(asyncio.run(measure("".join(sys.argv[1:2])))))
