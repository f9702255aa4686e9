"""The proxy beside a real API server: pods in namespaces of their own reach services, and so does the machine."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import _podnet
import pytest
from _clusters import Cluster, Process, eventually, open_cluster
from _podnet import GATEWAY, PodNet, ask, pod_net

from hyperkube_machinery.builtin import ENDPOINT_SLICES, SERVICES
from hyperkube_machinery.podnetwork import HostNetwork

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(_podnet.unavailable()), reason=f"no namespaces here: {_podnet.unavailable()}"),
]

A, B, C = "10.244.0.2", "10.244.0.3", "10.244.0.4"
NODE = "node-1"


class Proxied:
    """A cluster with pods and a proxy."""

    def __init__(self, cluster: Cluster, net: PodNet | None, mode: str, folder: Path) -> None:
        self.cluster = cluster
        self.net = cast(PodNet, net)  # None until there is one, at the same place
        self.pod_network = folder / "net" / "network.sock"
        self.mode = mode
        self.relays = folder / "relays.json"
        self.proxy: Any = None

    @property
    def flags(self) -> list[str]:
        return [
            f"--proxy-mode={self.mode}",
            f"--pod-network={self.pod_network}",
            f"--relay-status-file={self.relays}",
            f"--hostname-override={NODE}",
            "--healthz-bind-address=127.0.0.1:0",
            "--metrics-bind-address=127.0.0.1:0",
            "--min-sync-period=10ms",
            "--kube-api-qps=-1",
        ]

    async def start(self) -> None:
        self.proxy = await self.cluster.start("proxy", *self.flags)

    async def service(self, name: str, *addresses: str, port: int = 8080, **spec: Any) -> str:
        """Create a service with these endpoints; its address."""
        body = {"metadata": {"name": name}, "spec": {"ports": [{"port": 80, "targetPort": port}], **spec}}
        made = await self.cluster.client.create(SERVICES, body, "default")
        await self.cluster.client.create(ENDPOINT_SLICES, self.slice(name, addresses, port), "default")
        return cast(str, made["spec"]["clusterIP"])

    def slice(self, name: str, addresses: Sequence[str], port: int = 8080) -> dict[str, Any]:
        endpoints = [{"addresses": [ip], "nodeName": NODE, "conditions": {"ready": True}} for ip in addresses]
        return {
            "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": port, "protocol": "TCP"}],
            "endpoints": endpoints,
        }

    async def lead(self, name: str, *addresses: str) -> None:
        """Let the service have other endpoints."""
        body = {"endpoints": self.slice(name, addresses)["endpoints"]}
        await self.cluster.client.patch(ENDPOINT_SLICES, f"{name}-1", body, "default")

    async def ask(self, pod: str, address: str, port: int = 80) -> str:
        return await ask(partial(self.net.pods[pod].dial, address, port), seconds=5)

    async def ask_relay(self, key: str) -> str:
        """What the service says on this machine's loopback."""
        host, _, port = json.loads(self.relays.read_bytes()).get(key, "127.0.0.1:1").partition(":")
        return await ask(partial(HostNetwork().dial, host, int(port)))


@pytest.fixture(params=["nftables", "userspace"])
def mode(request: pytest.FixtureRequest) -> str:
    return cast(str, request.param)


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[PodNet]:
    async with pod_net(tmp_path / "net") as net:
        for pod in (A, B, C):
            await net.serve(pod, 8080)
        yield net


@pytest.fixture
async def proxied(cluster: Cluster, net: PodNet, mode: str, tmp_path: Path) -> Proxied:
    proxied = Proxied(cluster, net, mode, tmp_path)
    await proxied.start()
    return proxied


async def test_a_service_is_reached_by_pods_and_by_the_machine(proxied: Proxied) -> None:
    address = await proxied.service("web", A, B, C)

    async def answered_by_all() -> bool:
        return {await proxied.ask(A, address) for _ in range(9)} >= {A, B, C}

    async def in_turn() -> bool:
        return Counter([await proxied.ask_relay("default/web/80") for _ in range(9)]) == {A: 3, B: 3, C: 3}

    await eventually(answered_by_all)
    await eventually(in_turn)


async def test_endpoints_come_and_go(proxied: Proxied) -> None:
    address = await proxied.service("web", A)

    async def answers(*expected: str) -> bool:
        return {await proxied.ask(C, address) for _ in range(4)} == set(expected)

    await eventually(partial(answers, A))
    await proxied.lead("web", B)
    await eventually(partial(answers, B))
    await proxied.lead("web")
    await eventually(partial(answers, "ConnectionRefusedError"))
    await proxied.cluster.client.delete(SERVICES, "web", "default")
    await eventually(lambda: "default/web/80" not in json.loads(proxied.relays.read_bytes()))


async def test_a_node_port_is_open_inside_and_on_loopback(proxied: Proxied) -> None:
    await proxied.service("web", B, type="NodePort")
    made = await proxied.cluster.client.get(SERVICES, "web", "default")
    number = made["spec"]["ports"][0]["nodePort"]

    async def open_inside() -> bool:
        return await proxied.ask(A, GATEWAY, number) == B

    async def open_here() -> bool:
        return await proxied.ask_relay("default/web/80") == B

    await eventually(open_inside)
    await eventually(open_here)
    assert json.loads(proxied.relays.read_bytes())["default/web/80"] == f"127.0.0.1:{number}"


async def test_clients_stay_with_their_endpoint(proxied: Proxied) -> None:
    address = await proxied.service("web", A, B, C, sessionAffinity="ClientIP")

    async def is_open() -> bool:
        return await proxied.ask(A, address) in (A, B, C)

    await eventually(is_open)
    for client in (A, B):
        assert len({await proxied.ask(client, address) for _ in range(10)}) == 1


async def test_pods_reach_the_api_server_though_it_is_not_in_their_network(
    net: PodNet, mode: str, tmp_path: Path
) -> None:
    async with open_cluster(
        "process", tmp_path, Path, "--allow-loopback-endpoints", "--advertise-address=127.0.0.1"
    ) as cluster:
        proxied = Proxied(cluster, net, mode, tmp_path)
        await proxied.start()
        service = await cluster.client.get(SERVICES, "kubernetes", "default")
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE

        async def version() -> bytes:
            sock = await net.pods[A].dial(service["spec"]["clusterIP"], 443)
            reader, writer = await asyncio.open_connection(sock=sock, ssl=unverified, server_hostname="kubernetes")
            writer.write(b"GET /version HTTP/1.1\r\nHost: kubernetes\r\nConnection: close\r\n\r\n")
            try:
                return await asyncio.wait_for(reader.read(), 5)
            finally:
                writer.close()

        assert b'"gitVersion"' in await version()


async def test_the_proxy_waits_for_the_pods_network_and_follows_it_to_the_next(
    cluster: Cluster, mode: str, tmp_path: Path
) -> None:
    proxied = Proxied(cluster, None, mode, tmp_path)
    starting = asyncio.ensure_future(proxied.start())
    address = await proxied.service("web", A)
    for _ in range(2):
        async with pod_net(tmp_path / "net", pods=2) as proxied.net:
            await proxied.net.serve(A, 8080)

            async def is_open() -> bool:
                return await proxied.ask(B, address) == A

            await eventually(is_open)
            await starting


async def test_a_killed_proxy_leaves_connections_alone_or_is_soon_back(
    processes: Cluster, net: PodNet, mode: str, tmp_path: Path
) -> None:
    proxied = Proxied(processes, net, mode, tmp_path)
    await proxied.start()
    listening = await net.pods[B].listen(B, 8081)
    address = await proxied.service("web", B, port=8081)
    loop = asyncio.get_running_loop()

    async def connected() -> Any:
        try:
            return await net.pods[A].dial(address, 80)
        except OSError:
            return None

    client = await eventually(connected)
    server, _ = await loop.sock_accept(listening)
    with listening, client, server:
        relays = json.loads(proxied.relays.read_bytes())
        await cast(Process, proxied.proxy).kill()
        if mode == "nftables":
            await loop.sock_sendall(client, b"still there")
            assert await asyncio.wait_for(loop.sock_recv(server, 100), 5) == b"still there"
            (await net.pods[A].dial(address, 80)).close()
        before = loop.time()
        await proxied.start()
        (await eventually(connected)).close()
        print(f"{mode}: new connections {loop.time() - before:.2f} s after the start")
        assert json.loads(proxied.relays.read_bytes()) == relays
        if mode == "nftables":
            await loop.sock_sendall(server, b"and so am I")
            assert await asyncio.wait_for(loop.sock_recv(client, 100), 5) == b"and so am I"


async def test_a_proxy_that_starts_again_touches_nothing_that_is_right(
    processes: Cluster, net: PodNet, tmp_path: Path
) -> None:
    proxied = Proxied(processes, net, "nftables", tmp_path)
    await proxied.start()
    await proxied.service("web", A, B)

    async def listed() -> str:
        return await net.run("nft", "-a", "list", "ruleset")

    async def has_web() -> str:
        found = await listed()
        return found if f"{B} . 8080" in found else ""

    before = await eventually(has_web)
    await cast(Process, proxied.proxy).kill()
    await proxied.start()
    assert await listed() == before, "handles would be others if anything had been made anew"


async def test_cleanup_leaves_nothing_in_the_kernel(processes: Cluster, net: PodNet, mode: str, tmp_path: Path) -> None:
    proxied = Proxied(processes, net, mode, tmp_path)
    await proxied.start()
    await cast(Process, proxied.proxy).kill()
    argv = [sys.executable, "-m", "hyperkube_core", "proxy", "--cleanup", f"--pod-network={net.path}"]
    cleaning = await asyncio.create_subprocess_exec(*argv)
    assert await cleaning.wait() == 0
    assert await net.run("nft", "list", "ruleset") == ""
    assert "proto 104" not in await net.run("ip", "route", "show", "table", "local")


async def test_relays_that_are_stopped_leave_nothing_and_rules_stay(proxied: Proxied) -> None:
    address = await proxied.service("web", B)

    async def is_open() -> bool:
        return await proxied.ask(A, address) == B

    await eventually(is_open)
    await proxied.proxy.stop()
    assert "proto 104" not in await proxied.net.run("ip", "route", "show", "table", "local")
    assert await is_open() is (proxied.mode == "nftables")


async def test_relays_alone_leave_the_network_as_it_is(cluster: Cluster, net: PodNet, tmp_path: Path) -> None:
    proxied = Proxied(cluster, net, "relays", tmp_path)
    await proxied.start()
    await proxied.service("web", B)

    async def answers() -> bool:
        return await proxied.ask_relay("default/web/80") == B

    await eventually(answers)
    assert await net.run("nft", "list", "ruleset") == ""
    assert "proto 104" not in await net.run("ip", "route", "show", "table", "all")
