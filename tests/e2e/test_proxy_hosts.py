"""The proxy on real nodes, as root: nftables on the host, and real connections between machines, in both families."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import _hosts
import _tools
import pytest
from _clusters import Cluster, Process, eventually, open_cluster
from _hosts import Host, Hosts, Told, ask, hosts

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import ENDPOINT_SLICES, NODES, SERVICES

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(_hosts.unavailable()), reason=f"no machines of that kind: {_hosts.unavailable()}"),
]

Tree = dict[str, Any]

FAMILIES = ("IPv4", "IPv6")
EXTERNAL = {"IPv4": "198.51.100.{}", "IPv6": "2001:db8:1::{}"}
BALANCED = {"IPv4": "203.0.113.{}", "IPv6": "2001:db8:2::{}"}
A, B, C = "one/a", "one/b", "two/a"  # the pods that serve
PORTS = {"web": 8080, "dns": 5353}


class Bench:
    """Machines, an API server, and a proxy on each node."""

    def __init__(self, machines: Hosts, cluster: Cluster, stack: AsyncExitStack) -> None:
        self.machines = machines
        self.cluster = cluster
        self.proxies: dict[str, Process] = {}
        self._stack = stack
        self._numbers = iter(range(1, 250))

    async def open(self) -> None:
        for name, node in self.machines.nodes.items():
            addresses = [{"type": "InternalIP", "address": address} for address in node.addresses]
            labels = {"topology.kubernetes.io/zone": f"zone-{name}"}
            number = 1 + list(self.machines.nodes).index(name)
            cidrs = [f"10.244.{number}.0/24", f"fd00:244:{number}::/64"]
            spec = {"podCIDRs": cidrs, "podCIDR": cidrs[0]}
            await self.cluster.client.create(NODES, {"metadata": {"name": name, "labels": labels}, "spec": spec})
            await self.cluster.client.patch(NODES, name, {"status": {"addresses": addresses}}, subresource="status")
            await self._lead_to_api_server(node)
            await self.start_proxy(name)
        for place in (A, B, C):
            pod = self.machines.places[place]
            for address in pod.addresses:
                sock = await pod.network.listen(address, PORTS["web"])
                server = await asyncio.start_server(Told(place), sock=sock)
                self._stack.callback(server.close)

    async def _lead_to_api_server(self, node: Host) -> None:
        """The API server is on the test's loopback; each node has a way there on its own."""
        port = int(kubeconfig.read(self.cluster.kubeconfig).server.rpartition(":")[2])
        sock = await node.network.listen("127.0.0.1", port)
        server = await asyncio.start_server(partial(_relay, port), sock=sock)
        self._stack.callback(server.close)

    async def start_proxy(self, name: str, *flags: str) -> Process:
        config = self.cluster.identity("system:kube-proxy")
        started = self.cluster.begin(
            "proxy",
            f"--kubeconfig={config}",
            f"--hostname-override={name}",
            "--cluster-cidr=10.244.0.0/16,fd00:244::/32",
            "--proxy-mode=nftables",
            "--min-sync-period=10ms",
            *flags,
            inside=self.machines.nodes[name].inside,
        )
        await started.ready()
        self.proxies[name] = started
        return started

    async def service(self, name: str, places: tuple[str, ...], **spec: Any) -> Tree:
        """A service of both families with endpoints at `places`."""
        given = {"type": "ClusterIP", "ports": [{"name": "web", "port": 80}], **spec}
        given = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": list(FAMILIES), **given}
        made = await self.cluster.client.create(SERVICES, {"metadata": {"name": name}, "spec": given}, "default")
        for family in FAMILIES:
            await self.endpoints(name, family, *[{"place": place} for place in places])
        return made

    async def endpoints(self, service: str, family: str, *endpoints: Tree, **ports: Any) -> None:
        """Have a service's endpoints be these."""
        name = f"{service}-{family.lower()}"
        slice_: Tree = {
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
            "addressType": family,
            "ports": [{"name": "web", "port": PORTS["web"], "protocol": "TCP", **ports}],
            "endpoints": [self._endpoint(family, **endpoint) for endpoint in endpoints],
        }
        client = self.cluster.client
        if name in {item["metadata"]["name"] for item in (await client.list(ENDPOINT_SLICES, "default")).items}:
            await client.patch(ENDPOINT_SLICES, name, {"endpoints": slice_["endpoints"]}, "default")
        else:
            await client.create(ENDPOINT_SLICES, slice_, "default")

    def _endpoint(self, family: str, place: str, **more: Any) -> Tree:
        conditions = {"ready": True, "serving": True, "terminating": False}
        return {
            "addresses": [self.machines.places[place].address(family)],
            "nodeName": place.partition("/")[0],
            "conditions": conditions,
            **more,
        }

    async def told(self) -> None:
        """Return once both proxies follow all that was written until now."""
        name = f"marker-{next(self._numbers)}"
        made = await self.service(name, (A, C))
        for place in ("one", "two"):
            for address in made["spec"]["clusterIPs"]:
                dial = partial(self.machines.places[place].network.dial, address, 80)

                async def answered(dial: partial[Any] = dial) -> bool:
                    return (await ask(dial, seconds=1))[0] in (A, C)

                await eventually(answered)


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


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        machines = await stack.enter_async_context(hosts(tmp_path_factory.mktemp("hosts")))
        folder = tmp_path_factory.mktemp("cluster")
        flags = ("--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",)
        opened = open_cluster("process", folder, lambda: _tools.kubectl()[0], *flags)
        cluster = await stack.enter_async_context(opened)
        bench = Bench(machines, cluster, stack)
        await bench.open()
        yield bench


@dataclass(frozen=True)
class Case:
    """Who answers whom."""

    service: str
    to: str  # cluster, external, balanced; or a place's address at the node port
    at: str
    expected: frozenset[str]  # who answers, or the error
    seen: str = ""  # how the client is: as itself, or as the node; "" is not looked at


def case(service: str, to: str, at: str, *expected: str, seen: str = "") -> Case:
    return Case(service, to, at, frozenset(expected), seen)


REFUSED, DROPPED = "ConnectionRefusedError", "TimeoutError"
CASES = [
    case("plain", "cluster", "one/a", A, C),
    case("plain", "cluster", "one/b", A, C, seen="itself"),
    case("plain", "cluster", "two/b", A, C, seen="itself"),
    case("plain", "cluster", "one", A, C, seen="node"),
    case("plain", "cluster", "client", A, C, seen="node"),
    case("hairpin", "cluster", "one/a", A, seen="node"),
    case("empty", "cluster", "one/a", REFUSED),
    case("empty", "cluster", "one", REFUSED),
    case("empty", "cluster", "client", REFUSED),
    case("inside", "cluster", "one/b", A, seen="itself"),
    case("inside", "cluster", "two/b", C, seen="itself"),
    case("inside", "cluster", "one", A),
    case("away", "cluster", "one/a", DROPPED),
    case("away", "cluster", "two/b", C),
    case("sticky", "cluster", "two/b", A, B, C),
    case("port", "one", "client", A, C, seen="node"),
    case("port", "two", "client", A, C, seen="node"),
    case("port", "one", "one/b", A, C),
    case("port", "two", "one/b", A, C),
    case("port", "one", "one", A, C),
    case("port", "two", "one", A, C),
    case("port", "loopback", "one", REFUSED),
    case("port", "bridge", "one", REFUSED),
    case("local-port", "one", "client", A, seen="itself"),
    case("local-port", "two", "client", C, seen="itself"),
    case("local-port", "one", "one/b", A, C),
    case("local-port", "one", "one", A, C, seen="node"),
    case("away-port", "one", "client", DROPPED),
    case("away-port", "two", "client", C, seen="itself"),
    case("away-port", "one", "one/b", C),
    case("empty", "one", "client", REFUSED),
    case("outside", "external", "client", A, C, seen="node"),
    case("outside", "external", "one/b", A, C),
    case("local-outside", "external", "client", A, seen="itself"),
    case("local-outside", "external", "two/b", A, C),
    case("empty", "external", "client", REFUSED),
    case("balancer", "balanced", "client", A, C, seen="node"),
    case("balancer", "balanced", "one/b", A, C),
    case("ranges", "balanced", "client", A, C),
    case("ranges", "balanced", "one/b", DROPPED),
    case("ranges", "balanced", "one", A, C),
    case("ranges", "cluster", "one/b", A, C),
    case("by-proxy", "balanced", "client", DROPPED),
    case("leaving", "cluster", "one/b", A),
    case("zoned", "cluster", "one/b", A),
    case("zoned", "cluster", "two/b", C),
    case("same-node", "cluster", "one/b", B),
    case("same-node", "cluster", "two/b", C),
    case("half-hinted", "cluster", "two/b", A, C),
]
NUMBERS = {name: number for number, name in enumerate(dict.fromkeys(each.service for each in CASES), 1)}


def specs(service: str) -> Tree:
    """What is particular about a service."""
    external = {"externalIPs": [EXTERNAL[family].format(NUMBERS[service]) for family in FAMILIES]}
    local = {"externalTrafficPolicy": "Local"}
    found: dict[str, Tree] = {
        "empty": {"type": "NodePort", **external},
        "inside": {"internalTrafficPolicy": "Local"},
        "away": {"internalTrafficPolicy": "Local"},
        "sticky": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 3600}}},
        "port": {"type": "NodePort"},
        "local-port": {"type": "NodePort", **local},
        "away-port": {"type": "NodePort", **local},
        "outside": external,
        "local-outside": {"type": "NodePort", **external, **local},
        "balancer": {"type": "LoadBalancer"},
        "ranges": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24", "2001:db8::/64"]},
        "by-proxy": {"type": "LoadBalancer"},
    }
    return found.get(service, {})


PLACES: dict[str, tuple[str, ...]] = {
    "hairpin": (A,),
    "empty": (),
    "away": (C,),
    "away-port": (C,),
    "sticky": (A, B, C),
    "leaving": (),
    "zoned": (),
    "same-node": (),
    "half-hinted": (),
}
LEAVING = {"ready": False, "serving": True, "terminating": True}
CONDITIONED: dict[str, list[Tree]] = {
    "leaving": [
        {"place": A, "conditions": LEAVING},
        {"place": C, "conditions": {"ready": False, "serving": False, "terminating": True}},
    ],
    "zoned": [
        {"place": A, "hints": {"forZones": [{"name": "zone-one"}]}},
        {"place": C, "hints": {"forZones": [{"name": "zone-two"}]}},
    ],
    "same-node": [
        {"place": B, "hints": {"forNodes": [{"name": "one"}], "forZones": [{"name": "zone-two"}]}},
        {"place": C, "hints": {"forNodes": [{"name": "two"}], "forZones": [{"name": "zone-one"}]}},
    ],
    "half-hinted": [{"place": A, "hints": {"forZones": [{"name": "zone-one"}]}}, {"place": C}],
}


@pytest.fixture(scope="module")
async def services(bench: Bench) -> dict[str, Tree]:
    """All services of the cases."""
    made = {}
    for name, number in NUMBERS.items():
        made[name] = await bench.service(name, PLACES.get(name, (A, C)), **specs(name))
        if specs(name).get("type") == "LoadBalancer":
            mode = "Proxy" if name == "by-proxy" else "VIP"
            ingress = [{"ip": BALANCED[family].format(number), "ipMode": mode} for family in FAMILIES]
            status = {"status": {"loadBalancer": {"ingress": ingress}}}
            await bench.cluster.client.patch(SERVICES, name, status, "default", subresource="status")
        for family in FAMILIES if name in CONDITIONED else ():
            await bench.endpoints(name, family, *CONDITIONED[name])
    await bench.told()
    return made


def _ids(case: Case) -> str:
    return f"{case.service}-to-{case.to}-at-{case.at.replace('/', '.')}"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("case", CASES, ids=_ids)
async def test_connections_lead_where_upstreams_would(
    bench: Bench, services: dict[str, Tree], case: Case, family: str
) -> None:
    client, service = bench.machines.places[case.at], services[case.service]
    dial = partial(client.network.dial, *_target(bench, service, case, family))
    if DROPPED in case.expected:
        assert (await ask(dial, seconds=0.4))[0] == DROPPED
        return
    answers: Counter[str] = Counter()
    for _ in range(40):
        name, seen = await ask(dial)
        answers[name] += 1
        _check_seen(bench, case, client, family, seen)
        if answers.keys() == case.expected and answers.total() >= 6:
            break
    if case.service == "sticky":
        assert len(answers) == 1
        assert answers.keys() <= case.expected
    else:
        assert answers.keys() == case.expected


def _target(bench: Bench, service: Tree, case: Case, family: str) -> tuple[str, int]:
    spec, number = service["spec"], NUMBERS[case.service]
    first = FAMILIES.index(family)
    if case.to == "cluster":
        return spec["clusterIPs"][first], 80
    if case.to in ("external", "balanced"):
        return (EXTERNAL if case.to == "external" else BALANCED)[family].format(number), 80
    own = {"loopback": ("127.0.0.1", "::1"), "bridge": ("10.244.1.1", "fd00:244:1::1")}
    addresses = own.get(case.to) or bench.machines.nodes[case.to].addresses
    return addresses[first], spec["ports"][0]["nodePort"]


def _check_seen(bench: Bench, case: Case, client: Host, family: str, seen: str) -> None:
    if case.seen == "itself":
        assert seen == client.address(family)
    elif case.seen == "node" and seen:
        nodes = {node.address(family) for node in bench.machines.nodes.values()}
        gateways = {"10.244.1.1", "10.244.2.1", "fd00:244:1::1", "fd00:244:2::1"}
        assert seen in nodes | gateways


async def test_addresses_that_are_no_services_are_dropped(bench: Bench, services: dict[str, Tree]) -> None:
    for address in ("10.96.255.254", "fd00:96::fffe"):
        dial = partial(bench.machines.places["one/a"].network.dial, address, 80)
        assert (await ask(dial, seconds=0.4))[0] == DROPPED


async def test_a_port_that_a_service_does_not_have_is_refused(bench: Bench, services: dict[str, Tree]) -> None:
    for address in services["plain"]["spec"]["clusterIPs"]:
        for place in ("one/a", "one", "client"):
            assert (await ask(partial(bench.machines.places[place].network.dial, address, 81)))[0] == REFUSED


@asynccontextmanager
async def connected(bench: Bench, at: str, address: str) -> AsyncIterator[tuple[str, Any]]:
    """A connection that stays, with who answers it."""
    sock = await bench.machines.places[at].network.dial(address, 80)
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        name = (await reader.read(200)).decode().partition(" ")[0]
        writer.write(b"!")

        async def echoes() -> bool:
            writer.write(b"x")
            await writer.drain()
            async with asyncio.timeout(5):
                return await reader.read(1) == b"x"

        yield name, echoes
    finally:
        writer.close()


async def test_connections_go_on_through_changes_and_kills(bench: Bench) -> None:
    made = await bench.service("lasting", (A, C))
    await bench.told()
    addresses = made["spec"]["clusterIPs"]
    async with AsyncExitStack() as stack:
        held = [
            await stack.enter_async_context(connected(bench, at, address))
            for at in ("one/b", "one", "two/b", "client")
            for address in addresses
            for _ in range(3)
        ]
        for family in FAMILIES:
            await bench.endpoints("lasting", family, {"place": B})
        await bench.told()
        assert all([await echoes() for _, echoes in held]), "their endpoints are not the service's any more"
        await bench.proxies["one"].kill()
        assert all([await echoes() for _, echoes in held]), "there is no proxy"
        assert (await ask(partial(bench.machines.places["one/a"].network.dial, addresses[0], 80)))[0] == B
        await bench.start_proxy("one")
        await bench.cluster.client.delete(SERVICES, "lasting", "default")
        await bench.told()
        assert all([await echoes() for _, echoes in held]), "there is no such service"


async def test_a_proxy_that_starts_again_writes_nothing(bench: Bench, services: dict[str, Tree]) -> None:
    await bench.told()
    node = bench.machines.nodes["one"]
    before = await node.run("nft", "-a", "list", "ruleset")
    await bench.proxies["one"].end(signal.SIGKILL)
    await bench.start_proxy("one")
    await bench.told()
    after = await node.run("nft", "-a", "list", "ruleset")

    def handles(listed: str) -> set[str]:
        passing = ("marker-", "lasting")  # services of other tests, whose chains may just be about to go
        return {
            line for line in listed.splitlines() if "# handle" in line and not any(name in line for name in passing)
        }

    assert handles(before) <= handles(after)


async def test_flows_of_datagrams_go_to_another_endpoint_when_theirs_is_gone(bench: Bench) -> None:
    loop = asyncio.get_running_loop()
    ports = [{"name": "web", "port": 53, "protocol": "UDP"}]
    made = await bench.service("dns", (), ports=ports, type="NodePort")
    for number, family in enumerate(FAMILIES):
        for place in (A, C):
            pod = bench.machines.places[place]
            server = await pod.network.datagram((pod.address(family), PORTS["dns"]))
            loop.add_reader(server, _answer, server, place)
            bench._stack.callback(_let_go, server)
        slice_ = f"dns-{family.lower()}"
        patch = {"ports": [{"name": "web", "port": PORTS["dns"], "protocol": "UDP"}]}
        await bench.cluster.client.patch(ENDPOINT_SLICES, slice_, patch, "default")
        await bench.endpoints("dns", family, {"place": A})
        await bench.told()
        node_port = made["spec"]["ports"][0]["nodePort"]
        targets = [
            ("one/b", (made["spec"]["clusterIPs"][number], 53)),
            ("client", (bench.machines.nodes["one"].address(family), node_port)),
        ]
        clients = [await bench.machines.places[at].network.datagram(remote=target) for at, target in targets]
        for client in clients:
            assert await _asked(client) == A
        await bench.endpoints("dns", family, {"place": C})
        await bench.told()
        for client in clients:
            assert await _asked(client) == C, "the same flow, of the same port"
            client.close()


def _answer(server: socket.socket, name: str) -> None:
    _, address = server.recvfrom(100)
    server.sendto(name.encode(), address)


def _let_go(server: socket.socket) -> None:
    asyncio.get_running_loop().remove_reader(server)
    server.close()


async def _asked(client: socket.socket) -> str:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, b"?")
    return (await asyncio.wait_for(loop.sock_recv(client, 100), 5)).decode()


async def test_a_load_balancer_is_told_which_nodes_have_endpoints(bench: Bench) -> None:
    spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    made = await bench.service("checked", (A, B, C), **spec)
    await bench.told()
    number = made["spec"]["healthCheckNodePort"]
    for node, count in (("one", 2), ("two", 1)):
        for address in bench.machines.nodes[node].addresses:
            assert await _get(bench, address, number) == (200, count)
    for family in FAMILIES:
        await bench.endpoints("checked", family, {"place": C})
    await bench.told()
    assert await _get(bench, bench.machines.nodes["one"].addresses[0], number) == (503, 0)


async def _get(bench: Bench, address: str, port: int) -> tuple[int, int]:
    sock = await bench.machines.client.network.dial(address, port)
    reader, writer = await asyncio.open_connection(sock=sock)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    writer.close()
    found = json.loads(body)
    assert found["service"] == {"namespace": "default", "name": "checked"}
    assert f"X-Load-Balancing-Endpoint-Weight: {found['localEndpoints']}".lower() in head.decode().lower()
    return int(head.split()[1]), found["localEndpoints"]


async def test_tracking_of_connections_is_set_up(bench: Bench) -> None:
    node = bench.machines.nodes["one"]
    await bench.proxies["one"].stop()
    started = await bench.start_proxy("one", "--conntrack-tcp-timeout-established=2h", "--conntrack-tcp-be-liberal")
    folder = "/proc/sys/net/netfilter"
    values = (await node.run("sh", "-c", f"cd {folder}; cat nf_conntrack_tcp_timeout_established *be_liberal")).split()
    assert values == ["7200", "1"]
    assert started.log.count("tracking of connections is left as it is") <= 1


async def test_node_ports_are_open_at_an_address_that_comes_later(bench: Bench, services: dict[str, Tree]) -> None:
    node, client = bench.machines.nodes["one"], bench.machines.client
    await bench.proxies["one"].stop()
    await bench.start_proxy("one", "--nodeport-addresses=192.0.2.64/26,2001:db8::/120")
    port = services["port"]["spec"]["ports"][0]["nodePort"]
    assert (await ask(partial(client.network.dial, node.address("IPv4"), port)))[0] == REFUSED
    await node.ip("addr add 192.0.2.77/32 dev eth0")

    async def answered() -> bool:
        return (await ask(partial(client.network.dial, "192.0.2.77", port)))[0] in (A, C)

    await eventually(answered)
    await node.ip("addr del 192.0.2.77/32 dev eth0")
    await bench.proxies["one"].stop()
    await bench.start_proxy("one")


async def test_leftovers_of_other_modes_go_and_others_rules_stay(bench: Bench) -> None:
    node = bench.machines.nodes["two"]
    if _missing(await node.network.run(["sh", "-c", "command -v iptables-restore"])):
        pytest.skip("iptables is missing")
    await bench.proxies["two"].stop()
    rules = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-ABC - [0:0]\n:MINE - [0:0]\n"
    rules += "-A PREROUTING -j KUBE-SERVICES\n-A PREROUTING -j MINE\n-A KUBE-SERVICES -j KUBE-SVC-ABC\nCOMMIT\n"
    await node.run("iptables-restore", "--noflush", stdin=rules)
    await node.ip("link add kube-ipvs0 type bridge")
    await bench.start_proxy("two", "--proxy-mode=ipvs")
    saved = await node.run("iptables-save", "-t", "nat")
    assert "KUBE-" not in saved
    assert "-A PREROUTING -j MINE" in saved
    assert "kube-ipvs0" not in await node.run("ip", "link")
    assert bench.proxies["two"].log.count("nftables acts in place of --proxy-mode=ipvs") == 1


def _missing(done: Any) -> bool:
    return bool(done.exit_code)


async def test_cleanup_leaves_nothing_but_the_connections(bench: Bench, services: dict[str, Tree]) -> None:
    node = bench.machines.nodes["two"]
    # As on any node: without anybody who translates addresses the kernel forgets how to.
    another = "table ip cni {\nchain out {\ntype nat hook postrouting priority 100 ;\noifname lo masquerade\n}\n}\n"
    await node.run("nft", "-f", "-", stdin=another)
    await bench.told()
    address = services["hairpin"]["spec"]["clusterIPs"][0]
    async with connected(bench, "two/b", address) as (_, echoes):
        await bench.proxies["two"].stop()
        assert "table ip6 kube-proxy" in await node.run("nft", "list", "tables")
        cleaning = bench.cluster.begin("proxy", "--cleanup", inside=node.inside)
        assert await cleaning.end(signal.SIGCONT) == 0, cleaning.log
        assert "kube-proxy" not in await node.run("nft", "list", "tables")
        assert await echoes()
    await bench.start_proxy("two")
    await bench.told()


ONE_PEM = re.compile(r"^-----BEGIN", re.M)


@pytest.fixture
def old_node(bench: Bench, tmp_path: Path) -> Path:
    """A kubeconfig as on a production node: files, one PEM for certificate and key, a context with a namespace."""
    access = kubeconfig.read(bench.cluster.identity("system:kube-proxy"))
    pem = tmp_path / "client.pem"
    assert access.certificate_pem is not None
    assert access.key_pem is not None
    pem.write_bytes(_bytes(access.certificate_pem) + _bytes(access.key_pem))
    ca = tmp_path / "ca.crt"
    assert access.ca_pem is not None
    ca.write_bytes(_bytes(access.ca_pem))
    path = tmp_path / "kubeconfig"
    user = {"client-certificate": str(pem), "client-key": str(pem)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"certificate-authority": str(ca), "server": "https://192.0.2.250:443"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "kube-system"}}],
    }
    path.write_text(json.dumps(document))
    return path


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


async def test_a_production_nodes_command_line_starts_it(
    bench: Bench, services: dict[str, Tree], old_node: Path
) -> None:
    server = kubeconfig.read(bench.cluster.kubeconfig).server
    await bench.proxies["one"].stop()
    started = bench.cluster.begin(
        "kube-proxy",
        f"--master={server}",
        f"--kubeconfig={old_node}",
        "--cluster-cidr=10.244.0.0/16",
        "--resource-container=",
        "--oom-score-adj=-998",
        "--v=2",
        "--feature-gates=DynamicKubeletConfig=false,ExperimentalCriticalPodAnnotation=true",
        "--iptables-sync-period=1m",
        "--iptables-min-sync-period=10s",
        "--ipvs-sync-period=1m",
        "--ipvs-min-sync-period=10s",
        "--hostname-override=one",
        inside=bench.machines.nodes["one"].inside,
    )
    await started.ready()
    address = services["hairpin"]["spec"]["clusterIPs"][0]
    assert (await ask(partial(bench.machines.places["one/b"].network.dial, address, 80)))[0] == A
    for gate in ("DynamicKubeletConfig", "ExperimentalCriticalPodAnnotation"):
        assert started.log.count(f"the feature gate {gate} has no effect") == 1
    await started.stop()
    await bench.start_proxy("one")


async def test_a_changed_configuration_ends_it(bench: Bench, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n"
    head += "clusterCIDR: 10.244.0.0/16,fd00:244::/32\nhostnameOverride: two\n"
    head += f"clientConnection: {{kubeconfig: {bench.cluster.identity('system:kube-proxy')}}}\n"
    config.write_text(head)
    await bench.proxies["two"].stop()
    started = bench.cluster.begin("proxy", f"--config={config}", inside=bench.machines.nodes["two"].inside)
    await started.ready()
    config.write_text(head + "nftables: {syncPeriod: 1m}\n")
    assert await started.end(signal.SIGCONT) == 1
    assert "was changed" in started.log
    await bench.start_proxy("two")
