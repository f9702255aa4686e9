"""Whatever happens, in whatever order: what is in the kernel is what the model says, and as if it were made anew."""

from __future__ import annotations

import errno
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import _podnet
import pytest
from _podnet import PodNet, pod_net
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_machinery.serving.metrics import Counter as Metric
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_proxy.backends.nftables import NFTablesBackend, Terms, cleanup
from hyperkube_proxy.backends.nftables.kernel import Table
from hyperkube_proxy.backends.nftables.layout import TABLE, base
from hyperkube_proxy.backends.nftables.ruleset import Ruleset
from hyperkube_proxy.backends.nftables.services import of_route
from hyperkube_proxy.model import Endpoint, Locals, PortName, ServicePort
from hyperkube_proxy.netlink import Conversation, Message, Refused
from hyperkube_proxy.parts import SyncError
from hyperkube_proxy.rules import Place, Route, route

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(bool(_podnet.unavailable()), reason=f"no namespaces here: {_podnet.unavailable()}"),
]

TERMS = {
    "IPv4": Terms(locals=Locals("10.244.0.0/24"), node_addresses=("192.0.2.100",), node_ip="10.0.0.1"),
    "IPv6": Terms(family="IPv6", locals=Locals(interface="veth*"), masquerade_bit=3, service_cidrs=("fd00:1::/108",)),
}
IPS = {"IPv4": "10.96.0.{}", "IPv6": "fd00:1::{}"}
PODS = {"IPv4": "10.244.0.{}", "IPv6": "fd00:2::{}"}
OUTSIDE = {"IPv4": "192.0.2.{}", "IPv6": "2001:db8::{}"}
RANGES = {"IPv4": ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/25"), "IPv6": ("fd00::/8", "fd01::/16", "::/1")}


@dataclass(frozen=True)
class Service:
    """Have a service be so."""

    number: int
    protocol: str
    affinity_seconds: int
    node_port: bool
    external: bool
    balanced: bool
    ranges: int
    internal_local: bool
    external_local: bool
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True)
class Gone:
    number: int


def _endpoint(ready: bool, serving: bool, local: bool, number: int) -> Endpoint:
    return Endpoint(str(number), 8080, local, ready, ready or serving, not ready)


ENDPOINTS = st.lists(
    st.builds(_endpoint, st.booleans(), st.booleans(), st.booleans(), st.integers(2, 7)),
    max_size=4,
    unique_by=lambda endpoint: endpoint.ip,
).map(tuple)
NUMBERS = st.integers(1, 4)
STEPS = st.one_of(
    st.builds(
        Service,
        number=NUMBERS,
        protocol=st.sampled_from(["TCP", "UDP", "SCTP"]),
        affinity_seconds=st.sampled_from([0, 0, 5, 10800]),
        node_port=st.booleans(),
        external=st.booleans(),
        balanced=st.booleans(),
        ranges=st.integers(0, 3),
        internal_local=st.booleans(),
        external_local=st.booleans(),
        endpoints=ENDPOINTS,
    ),
    st.builds(Gone, NUMBERS),
    st.sampled_from(["refused", "started again", "meddled with"]),
)


@pytest.fixture(scope="module")
async def net(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PodNet]:
    async with pod_net(tmp_path_factory.mktemp("net"), pods=0) as net:
        yield net


@pytest.fixture(scope="module")
async def fresh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PodNet]:
    async with pod_net(tmp_path_factory.mktemp("fresh"), pods=0) as net:
        yield net


class Driven:
    """A backend that is led through steps."""

    def __init__(self, network: PodNetwork, family: Any) -> None:
        self.network = network
        self.family = family
        self.terms = TERMS[family]
        self.clock = VirtualClock()
        self.routes: dict[PortName, Route] = {}
        self.names: dict[int, PortName] = {}
        self.backend = self.new()
        self.changed: set[PortName] | None = None

    def new(self) -> NFTablesBackend:
        return NFTablesBackend(self.network, self.clock, self.terms, failures=Metric(""), cleanup_failures=Metric(""))

    def take(self, step: Service | Gone) -> None:
        """Change the routes as a service's change would."""
        changed = {name for name in (self.names.pop(step.number, None),) if name is not None}
        for name in changed:
            del self.routes[name]
        if isinstance(step, Service):
            port = self._port(step)
            endpoints = [endpoint._replace(ip=PODS[self.family].format(endpoint.ip)) for endpoint in step.endpoints]
            self.names[step.number] = port.name
            self.routes[port.name] = route(port, endpoints, Place("n"))
            changed.add(port.name)
        self.changed = None if self.changed is None else self.changed | changed

    def _port(self, step: Service) -> ServicePort:
        number, outside = step.number, OUTSIDE[self.family]
        return ServicePort(
            name=PortName("default", f"s{number}", "p", step.protocol, self.family),  # type: ignore[arg-type]
            cluster_ip=IPS[self.family].format(number % 3 + 1),  # some share one
            port=80 + number % 3,  # and its port too, as external addresses may be
            node_port=30000 + number if step.node_port else 0,
            external_ips=(outside.format(number),) if step.external else (),
            load_balancer_ips=(outside.format(number + 10),) if step.balanced else (),
            source_ranges=RANGES[self.family][: step.ranges],
            affinity_seconds=step.affinity_seconds,
            internal_local=step.internal_local,
            external_local=step.external_local,
        )

    async def sync(self) -> None:
        changed, self.changed = self.changed, set()
        try:
            await self.backend.sync(self.routes, changed)
        except SyncError:
            self.changed = None
            raise

    async def settle(self) -> None:
        """Bring it in step, and let what is stale go."""
        await self.sync()
        await self.clock.advance(2)
        await self.sync()

    async def meddle(self) -> None:
        ip = "ip" if self.family == "IPv4" else "ip6"
        for command in ("flush chain {} kube-proxy services", "flush map {} kube-proxy service-ips",
                        "delete set {} kube-proxy hairpin-connections"):  # fmt: skip
            await self.network.run(["nft", *command.format(ip).split()])
        self.changed = None

    async def in_kernel(self) -> dict[str, Any]:
        table = Table(self.network, self.family, TABLE)
        found = await table.read()
        table.close()
        assert found is not None
        return summary(found)

    async def listed(self) -> list[str]:
        """As nft tells it, in no order."""
        ip = "ip" if self.family == "IPv4" else "ip6"
        done = await self.network.run(["nft", "-j", "list", "table", ip, "kube-proxy"])
        return sorted(json.dumps(_plain(entry), sort_keys=True) for entry in json.loads(done.stdout)["nftables"])


def _plain(value: Any) -> Any:
    """Without numbers that the kernel gives, and with sets' elements in an order."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if key not in ("handle", "expires")}
    if isinstance(value, list):
        inner = [_plain(item) for item in value]
        return inner if any(isinstance(item, dict) and "match" in item for item in inner) else sorted(inner, key=repr)
    return value


def summary(ruleset: Ruleset) -> dict[str, Any]:
    return {
        "chains": {name: (chain.comments, chain.hook) for name, chain in ruleset.chains.items()},
        "sets": ruleset.sets,
        "elements": ruleset.elements,
    }


def expected(driven: Driven) -> dict[str, Any]:
    """The base, and each service's part in the order of their names: an element of several is the first one's."""
    parts = [of_route(driven.routes[name], driven.terms) for name in sorted(driven.routes, reverse=True)]
    return summary(base(driven.terms).joined(parts))


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=12))
async def test_the_kernel_has_what_the_model_says_after_every_step(
    net: PodNet, fresh: PodNet, monkeypatch: pytest.MonkeyPatch, family: str, steps: list[Any]
) -> None:
    driven = Driven(net.node, family)
    try:
        await driven.settle()
        for step in steps:
            if step == "refused":
                with monkeypatch.context() as patched:
                    patched.setattr(Conversation, "transact", refuse)
                    driven.changed = None
                    await driven.meddle()
                    with pytest.raises(SyncError):
                        await driven.sync()
            elif step == "meddled with":
                await driven.meddle()
            elif step == "started again":
                driven.backend.close()
                driven.backend, driven.changed = driven.new(), None
            else:
                driven.take(step)
            await driven.settle()
            assert await driven.in_kernel() == expected(driven)
        anew = Driven(fresh.node, family)
        anew.routes = driven.routes
        await anew.settle()
        assert await driven.listed() == await anew.listed()
        anew.backend.close()
    finally:
        driven.backend.close()
        for network in (net.node, fresh.node):
            await cleanup(network)


def refuse(conversation: Conversation, messages: Sequence[Message]) -> None:
    raise Refused(errno.EBUSY, messages[0])
