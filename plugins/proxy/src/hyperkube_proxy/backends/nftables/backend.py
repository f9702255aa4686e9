"""Keeps a table of nftables in step with the routes, touching only what has to change.

unknown ──read back──▶ known ──routes changed──▶ one transaction ──▶ known
▲                                                  │
└───────────────────── refused ────────────────────┘
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from hyperkube_machinery.clock import Clock
from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_machinery.serving.metrics import Counter
from hyperkube_proxy.backends.nftables.changeset import Scope, Step, changes, whole
from hyperkube_proxy.backends.nftables.kernel import Table
from hyperkube_proxy.backends.nftables.layout import TABLE, Terms, base
from hyperkube_proxy.backends.nftables.naming import is_of_service
from hyperkube_proxy.backends.nftables.ruleset import Chain, Element, Key, Ruleset
from hyperkube_proxy.backends.nftables.services import of_route
from hyperkube_proxy.model import Endpoint, Family, PortName, Protocol, ServicePort
from hyperkube_proxy.parts import Routes, SyncError
from hyperkube_proxy.rules import Route
from hyperkube_proxy.slices import aside

__all__ = ["NFTablesBackend", "cleanup", "works"]

log = logging.getLogger(__name__)

_K = TypeVar("_K")
_V = TypeVar("_V")

_PROBE = "hk-probe"

_STALE_SECONDS = 1.0
"""How long after its last reference a chain is deleted: Linux before 6.2 notices a little late that it is gone."""


class NFTablesBackend:
    """The table of one family."""

    def __init__(
        self,
        network: PodNetwork,
        clock: Clock,
        terms: Terms,
        *,
        failures: Counter,
        cleanup_failures: Counter,
        inside: Callable[[Endpoint, Protocol], Endpoint] | None = None,
    ) -> None:
        """`inside` says where in the network an endpoint is reached, if not where it says itself."""
        self._clock = clock
        self._terms = terms
        self._failures = failures
        self._cleanup_failures = cleanup_failures
        self._inside = inside
        self._table = Table(network, terms.family, TABLE)
        self._base = base(terms)
        self._there: Ruleset | None = None  # None: not known
        self._wanted = _Wanted(self._base)
        self._stale: dict[str, float] = {}  # chains that are empty, with when they came to be

    async def sync(self, routes: Routes, changed: Collection[PortName] | None) -> float | None:
        """Follow `routes`. Raises SyncError where the kernel refuses; all is looked at anew then."""
        family = self._terms.family
        try:
            await self._delete_stale()
            if changed is None or self._there is None:
                await self._sync_all([route for name, route in routes.items() if name.family == family])
            else:
                some = {name: routes.get(name) for name in changed if name.family == family}
                await self._sync_some(self._there, some)
        except BaseException:
            self._there = None
            self._stale.clear()
            raise
        return _STALE_SECONDS if self._stale else None

    def close(self) -> None:
        """Hang up on the kernel; the rules stay."""
        self._table.close()

    async def _sync_all(self, routes: Sequence[Route]) -> None:
        found = await self._read()
        there = Ruleset() if found is None else found
        plan = await asyncio.to_thread(self._plan_all, there, routes)
        # Whatever may be there under this name is not what it should be.
        await self._apply([*([_anew(self._table)] if found is None else []), *plan.steps])
        self._there, self._wanted = there, plan.wanted
        await asyncio.to_thread(self._note, there, plan.scope)

    def _plan_all(self, there: Ruleset, routes: Iterable[Route]) -> _Plan:
        wanted = _Wanted(self._base)
        for route in routes:
            wanted.put(route.port.name, self._of(route))
        return self._plan(there, wanted, whole(there, wanted.table))

    async def _sync_some(self, there: Ruleset, routes: dict[PortName, Route | None]) -> None:
        plan = await aside(len(routes), self._plan_some, there, routes)
        await self._apply(plan.steps)
        await aside(len(routes), self._note, there, plan.scope)

    def _plan_some(self, there: Ruleset, routes: dict[PortName, Route | None]) -> _Plan:
        scopes = [self._wanted.put(name, self._of(route)) for name, route in routes.items()]
        return self._plan(there, self._wanted, _joined(scopes))

    def _plan(self, there: Ruleset, wanted: _Wanted, scope: Scope) -> _Plan:
        return _Plan(wanted, scope, changes(self._table.encoder, there, wanted.table, scope))

    def _of(self, route: Route | None) -> Ruleset:
        if route is None:
            return Ruleset()
        inside, protocol = self._inside, route.port.protocol
        if inside is None:
            return of_route(route, self._terms)
        cluster, local = (
            tuple(inside(endpoint, protocol) for endpoint in endpoints) for endpoints in (route.cluster, route.local)
        )
        return of_route(replace(route, cluster=cluster, local=local), self._terms)

    def _note(self, there: Ruleset, scope: Scope) -> None:
        """Remember that what is in `scope` is now as it was wanted."""
        wanted, now = self._wanted.table, self._clock.monotonic()
        for name in scope.chains:
            if name in wanted.chains:
                there.chains[name] = wanted.chains[name]
                self._stale.pop(name, None)
            elif is_of_service(name) and name in there.chains:
                there.chains[name] = Chain()
                self._stale.setdefault(name, now)
            else:
                there.chains.pop(name, None)
        for name in scope.sets:
            if name in wanted.sets:
                there.sets[name] = wanted.sets[name]
            else:
                there.sets.pop(name, None)
                there.elements.pop(name, None)
        for name, key in scope.elements:
            element = wanted.elements.get(name, {}).get(key)
            if element is not None:
                there.elements.setdefault(name, {})[key] = element
            elif name in there.elements:
                there.elements[name].pop(key, None)

    async def _delete_stale(self) -> None:
        before = self._clock.monotonic() - _STALE_SECONDS
        due = [name for name, since in self._stale.items() if since <= before]
        if self._there is None or not due:
            return
        try:
            await self._apply([(self._table.encoder.delete_chain(name),) for name in due])
        except SyncError as exc:
            self._cleanup_failures.inc()
            log.warning("cannot delete chains that nothing refers to: %s", exc)
            self._there = None
            return
        for name in due:
            del self._stale[name]
            del self._there.chains[name]

    async def _read(self) -> Ruleset | None:
        """What is in the kernel; None where that can't be gone on from."""
        found = await self._table.read()
        if found is None:
            return None
        for name, chain in found.chains.items():
            wanted = self._base.chains.get(name)
            if chain.hook != (wanted.hook if wanted is not None else None):
                log.warning("the chain %s of the table %s is not this proxy's: making the table anew", name, TABLE)
                return None
        for name, kind in found.sets.items():
            if name in self._base.sets and kind != self._base.sets[name]:
                log.warning("the set %s of the table %s is not this proxy's: making the table anew", name, TABLE)
                return None
        return found

    async def _apply(self, steps: list[Step]) -> None:
        try:
            await self._table.apply(steps)
        except SyncError:
            self._failures.inc()
            raise


def _anew(table: Table) -> Step:
    encoder = table.encoder
    return encoder.add_table(), encoder.delete_table(), encoder.add_table()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is wanted, and how to get there."""

    wanted: _Wanted
    scope: Scope
    steps: list[Step]


def _joined(scopes: list[Scope]) -> Scope:
    return Scope(
        chains={name for scope in scopes for name in scope.chains},
        sets={name for scope in scopes for name in scope.sets},
        elements={element for scope in scopes for element in scope.elements},
    )


class _Wanted:
    """The table as it should be, made of the base and a part for each service's port."""

    def __init__(self, base: Ruleset) -> None:
        self.table = base.copy()
        self._parts: dict[PortName, Ruleset] = {}
        self._claims: dict[tuple[str, Key], dict[PortName, Element]] = {}

    def put(self, name: PortName, part: Ruleset) -> Scope:
        """Have `part` be what `name` adds, in place of what it did; what may be different then."""
        before = self._parts.get(name, Ruleset())
        scope = whole(before, part)
        self._parts[name] = part
        for chain in scope.chains:
            _put(self.table.chains, chain, part.chains.get(chain))
        for set_ in scope.sets:
            _put(self.table.sets, set_, part.sets.get(set_))
        for container, key in scope.elements:
            self._claim(name, container, key, part.elements.get(container, {}).get(key))
        return scope

    def _claim(self, name: PortName, container: str, key: Key, element: Element | None) -> None:
        """An element may be several ports': theirs is what the first of them says, whoever came first."""
        claims = self._claims.setdefault((container, key), {})
        _put(claims, name, element)
        if not claims:
            del self._claims[container, key]
        _put(self.table.elements[container], key, claims[min(claims)] if claims else None)


def _put(mapping: dict[_K, _V], key: _K, value: _V | None) -> None:
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value


async def works(network: PodNetwork, family: Family = "IPv4") -> str:
    """Why nftables can't be used in `network`; "" where it can."""
    terms, net = Terms(family=family), "192.0.2." if family == "IPv4" else "2001:db8::"
    name = PortName("default", "probe", "", "TCP", family)
    port = ServicePort(name=name, cluster_ip=f"{net}1", port=1, node_port=1, affinity_seconds=10800)
    endpoints = (Endpoint(f"{net}2", 1, local=True), Endpoint(f"{net}3", 1))
    probe = base(terms).joined([of_route(Route(port, cluster=endpoints, anywhere=True), terms)])
    table = Table(network, family, _PROBE)
    try:
        await table.apply([_anew(table), *changes(table.encoder, Ruleset(), probe, whole(Ruleset(), probe))])
        await table.apply([(table.encoder.delete_table(),)])
    except OSError as exc:
        return exc.strerror or str(exc)
    except SyncError as exc:
        return str(exc)
    finally:
        table.close()
    return ""


async def cleanup(network: PodNetwork) -> None:
    """Remove the tables from the kernel. Raises SyncError where that can't be done, OSError without such a kernel."""
    families: tuple[Family, ...] = ("IPv4", "IPv6")
    for family in families:
        table = Table(network, family, TABLE)
        try:
            await table.apply([(table.encoder.add_table(), table.encoder.delete_table())])
        finally:
            table.close()
