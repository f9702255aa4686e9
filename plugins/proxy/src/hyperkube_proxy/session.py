"""The proxy in one pods' network, as long as there is that network.

Where the pods' network is one of its own, its agent may come later than the proxy, and be replaced by one of a new
network: then everything is made anew in that.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.podnetwork import Description, PodNetwork, pod_network
from hyperkube_proxy import netroutes
from hyperkube_proxy.backends.nftables import NFTablesBackend, Terms, works
from hyperkube_proxy.backends.userspace import UserspaceBackend
from hyperkube_proxy.conntrack import StaleFlows
from hyperkube_proxy.facts import NodeFacts, local_sources, node_port_addresses, relay_addresses
from hyperkube_proxy.healthcheck import Health, ServiceHealth
from hyperkube_proxy.hostaddresses import host_addresses
from hyperkube_proxy.instruments import Instruments
from hyperkube_proxy.inward import InwardRelays
from hyperkube_proxy.loopback import HOST, LoopbackRelays, StatusFile
from hyperkube_proxy.model import Endpoint, Family, PortName, Protocol, ServiceName
from hyperkube_proxy.options import PRIMARY, Options
from hyperkube_proxy.othermodes import remove_iptables, remove_ipvs
from hyperkube_proxy.parts import Part, Routes, SyncError
from hyperkube_proxy.reach import Reach
from hyperkube_proxy.relaying.openings import Relays
from hyperkube_proxy.sysctls import processors, set_sysctls, wanted

__all__ = ["ModeUnavailable", "Session", "Surroundings"]

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_ADDRESSES_SECONDS = 2.0

Inside = Callable[[Endpoint, Protocol], Endpoint]


def _as_it_is(endpoint: Endpoint, protocol: Protocol) -> Endpoint:
    return endpoint


_Identity = tuple[int, int, int] | None


def identity(path: Path | None) -> _Identity:
    """What tells the agent's socket from that of the next agent; None where it isn't there, or is the host."""
    try:
        status = path.stat() if path is not None else None
    except OSError:
        return None
    return None if status is None else (status.st_dev, status.st_ino, status.st_ctime_ns)


async def described(network: PodNetwork, clock: Clock, path: Path | None) -> tuple[Description, _Identity]:
    """What kind of network it is, once its agent is there, and which agent that is."""
    told = False
    while True:
        agent = identity(path)
        try:
            return await network.describe(), agent
        except OSError as exc:
            if not told:
                told = True
                log.info("waiting for the pods' network at %s: %s", path, exc)
            await clock.sleep(_LOOK_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a session is given by the server."""

    options: Options
    clock: Clock
    relays: Relays
    instruments: Instruments
    health: Health
    on_health_port_failure: Callable[[ServiceName, str], None]
    service_cidrs: Callable[[], Sequence[str]] = tuple  # where services' addresses are from, as far as is known

    @property
    def path(self) -> Path | None:
        """Of the agent's socket; None where the pods' network is the host's."""
        return self.options.pod_network


class Session:
    """What follows the routes in one network."""

    def __init__(self, given: Surroundings, agent: _Identity, building: _Building) -> None:
        self._given = given
        self._agent = agent
        self.parts = building.parts()
        self.mode = building.mode
        self._node_ports, self._began = building.node_ports, building.node_ports()
        self.depends_on_node = building.depends_on_node  # whether its parts are others where the node's addresses are

    async def _close(self) -> None:
        await self._given.relays.close()
        for part in self.parts:
            if isinstance(part, ServiceHealth | UserspaceBackend):
                with suppress(OSError):  # a network that is gone has taken all with it
                    await part.close()
            elif isinstance(part, NFTablesBackend):
                part.close()

    async def over(self) -> None:
        """Return once the network is another one, or gone; the host's own only has other addresses."""
        path, clock = self._given.path, self._given.clock
        if path is None:
            while self.mode != "nftables" or self._node_ports() == self._began:
                await clock.sleep(_ADDRESSES_SECONDS)
            log.info("node ports are open at other addresses of this machine now")
            return
        while identity(path) == self._agent:
            await clock.sleep(_LOOK_SECONDS)
        log.warning("the pods' network at %s is gone", path)

    @classmethod
    @asynccontextmanager
    async def open(cls, given: Surroundings, node: NodeFacts) -> AsyncIterator[Session]:
        """The parts for the network that is there, once it is; relays that they opened are closed with the block.

        Raises ModeUnavailable where the mode that was asked for can't be had, and NetworkUnavailable where the network
        goes away meanwhile.
        """
        network = pod_network(given.path)
        description, agent = await described(network, given.clock, given.path)
        mode = await _chosen(given.options.mode, network, description)
        log.info("proxying by %s in the pods' network (%s)", mode, description.mode)
        families = await _families(network) if mode == "nftables" else ()
        if mode == "nftables" and description.mode == "host":
            await _take_over(given.options, network)
        given.instruments.use(families or ("IPv4",))
        given.health.use(families or ("IPv4",))
        session = cls(given, agent, _Building(given, node, network, description, mode, families))
        try:
            yield session
        finally:
            await session._close()


class ModeUnavailable(Exception):
    """The mode that was asked for can't be had here."""


async def _chosen(mode: str, network: PodNetwork, description: Description) -> str:
    """The mode that is meant, or that `auto` comes to."""
    if mode not in ("auto", "nftables"):
        return mode
    if description.mode == "loopback":
        reason = "pods have addresses of loopback, to which the kernel redirects nothing"
    else:
        reason = await works(network)
    if not reason:
        return "nftables"
    if mode == "nftables":
        raise ModeUnavailable(f"nftables cannot be used: {reason}")
    log.info("nftables cannot be used: %s", reason)
    return "userspace"


async def _take_over(options: Options, network: PodNetwork) -> None:
    """Have this machine's kernel do nothing but what nftables tells it; what can't be had of that is told of."""
    set_sysctls(wanted(options, processors()))
    try:
        await remove_iptables(network)
        await remove_ipvs(network)
    except (OSError, SyncError) as exc:
        log.warning("what kube-proxy left in its other modes is still there: %s", exc)


async def _families(network: PodNetwork) -> Sequence[Family]:
    """Those that the kernel knows; IPv4 is one, for `_chosen` has asked."""
    reason = await works(network, "IPv6")
    if reason:
        log.info("services of IPv6 are left out: %s", reason)
        return ("IPv4",)
    return ("IPv4", "IPv6")


class _Building:
    """Makes the parts of a session."""

    def __init__(
        self,
        given: Surroundings,
        node: NodeFacts,
        network: PodNetwork,
        description: Description,
        mode: str,
        families: Sequence[Family],
    ) -> None:
        """`families` have a table each."""
        self._given = given
        self._node = node
        self._network = network
        self._description = description
        self.mode = mode
        self._families = families
        self._reach = Reach(network, description, given.options.cluster_cidr.split(","))
        self._machine = host_addresses()

    @property
    def depends_on_node(self) -> bool:
        apart = self._description.mode == "namespace"  # where the node's address is the agent's
        return not apart and (self.mode == "nftables" or PRIMARY in self._given.options.nodeport_addresses)

    def parts(self) -> list[Part]:
        """In the order in which they follow the routes."""
        given, parts = self._given, list[Part]()
        if self.mode == "nftables":
            parts += self._nftables_parts()
        elif self.mode == "userspace":
            at = relay_addresses(given.options, self._description, self._node, self._machine)
            parts.append(UserspaceBackend(self._network, self._reach, given.relays, given.clock, node_addresses=at))
        if given.options.relay_status_file is not None:
            file = StatusFile(given.options.relay_status_file)
            parts.append(LoopbackRelays(self._reach, given.relays, given.clock, file))
        hosts = self._health_hosts()
        parts.append(ServiceHealth(given.clock, given.health, hosts, on_failure=given.on_health_port_failure))
        return parts

    def _nftables_parts(self) -> list[Part]:
        given, parts = self._given, list[Part]()
        inside: Inside = _as_it_is
        if self._description.mode == "namespace":
            gateway = self._description.gateway
            inward = InwardRelays(self._network, gateway, self._reach, given.relays, given.clock)
            parts += [_Prepared(self._network, self._description.bridge), inward]
            inside = inward.inside
        for family in self._families:
            failures, cleanup_failures = given.instruments.nftables_failures(family)
            backend = NFTablesBackend(
                self._network,
                given.clock,
                self._terms(family),
                failures=failures,
                cleanup_failures=cleanup_failures,
                inside=inside,
            )
            parts.append(backend)
        flows = [StaleFlows(self._network, family, given.clock, given.instruments, inside) for family in self._families]
        return [*parts, *flows]

    def _terms(self, family: Family) -> Terms:
        options, version = self._given.options, 4 if family == "IPv4" else 6
        return Terms(
            family=family,
            masquerade_bit=options.mark_bit,
            masquerade_all=options.masquerade_all,
            locals=local_sources(options, self._description, self._node, family),
            node_addresses=self._node_port_addresses(family),
            node_ip=self._node.address(family),
            service_cidrs=tuple(cidr for cidr in self._given.service_cidrs() if (":" in cidr) == (version == 6)),
        )

    def node_ports(self) -> tuple[tuple[str, ...] | None, ...]:
        """Where rules are to open node ports, with the addresses that this machine has now."""
        options, description, node, now = self._given.options, self._description, self._node, host_addresses()
        return tuple(node_port_addresses(options, description, node, now, family) for family in self._families)

    def _node_port_addresses(self, family: Family) -> tuple[str, ...] | None:
        return node_port_addresses(self._given.options, self._description, self._node, self._machine, family)

    def _health_hosts(self) -> dict[Family, tuple[str, ...]]:
        """Where health check ports are opened: where node ports are, on the host."""
        if self._description.mode == "namespace":
            return {"IPv4": (HOST,)}
        if self.mode != "nftables":
            at = relay_addresses(self._given.options, self._description, self._node, self._machine)
            return {"IPv4": at or (HOST,)}
        everywhere: dict[Family, str] = {"IPv4": "0.0.0.0", "IPv6": "::"}
        found = {family: self._node_port_addresses(family) for family in self._families}
        return {family: (everywhere[family],) if at is None else at for family, at in found.items()}


class _Prepared:
    """The pods' network, such that rules see all that pods send."""

    def __init__(self, network: PodNetwork, bridge: str) -> None:
        self._network = network
        self._bridge = bridge

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> None:
        """Raises SyncError where it can't be had."""
        if changed is None:
            done = await self._network.run([sys.executable, "-I", "-S", netroutes.__file__, "prepare", self._bridge])
            if done.exit_code != 0:
                raise SyncError(f"cannot prepare {self._bridge}: {done.stderr.decode(errors='replace').strip()}")
