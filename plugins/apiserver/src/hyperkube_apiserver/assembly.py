"""The API put together from its parts: every kind with its cache, strategy and registry, and the pipeline before them.

Nothing here knows how the server is started or what it listens on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from typing import Any

from hyperkube_apiserver.admission import DEFAULT_ADMISSION, AdmissionSettings, Cluster, build_chain
from hyperkube_apiserver.admission.measured import MeasuredAdmission
from hyperkube_apiserver.authz import RBAC
from hyperkube_apiserver.authz.bindings import GROUP as RBAC_GROUP
from hyperkube_apiserver.call import Served
from hyperkube_apiserver.customresources.conversion import Conversion, RenamingConversion
from hyperkube_apiserver.customresources.offered import CustomResources
from hyperkube_apiserver.customresources.surroundings import Surroundings
from hyperkube_apiserver.handlers.output import bookmark
from hyperkube_apiserver.kinds import Kind, load_kinds
from hyperkube_apiserver.offering import Key, Offering
from hyperkube_apiserver.operations.desk import Desk
from hyperkube_apiserver.operations.inflight import InFlight
from hyperkube_apiserver.operations.instruments import Instruments
from hyperkube_apiserver.operations.lifecycle import Lifecycle
from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry.allocation import Network
from hyperkube_apiserver.registry.attributes import AdmissionControl
from hyperkube_apiserver.registry.catalog import strategies
from hyperkube_apiserver.registry.conversions import Version, versions
from hyperkube_apiserver.registry.core.addressrecords import StoredAddresses
from hyperkube_apiserver.registry.core.serviceholding import cluster_ips
from hyperkube_apiserver.registry.core.services import Services
from hyperkube_apiserver.registry.generic import Registry
from hyperkube_apiserver.registry.strategy import DEFAULT_POLICY, Policy, Strategy, WriteContext
from hyperkube_apiserver.registry.versioned import VersionRegistry
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.requestinfo import RequestInfo
from hyperkube_apiserver.storage.measured import MeasuredStore, Operation
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.gauges import register_caches
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_apiserver.watchcache.item import Event, Item
from hyperkube_apiserver.watchcache.watcher import Watcher
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.release import KUBERNETES
from hyperkube_machinery.storage.interface import Store

__all__ = ["API", "Settings", "assemble", "follow_holdings", "follow_roles", "front_desk", "send_bookmarks"]

log = logging.getLogger(__name__)

NAMESPACES: Key = ("", "v1", "namespaces")
QUOTAS: Key = ("", "v1", "resourcequotas")
SERVICES: Key = ("", "v1", "services")
ENDPOINTS: Key = ("", "v1", "endpoints")
DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
IP_ADDRESSES: Key = ("networking.k8s.io", "v1", "ipaddresses")
SERVICE_CIDRS: Key = ("networking.k8s.io", "v1", "servicecidrs")
_SERVICE_NETWORK = IPv4Network("10.0.0.0/24")
_DEVICES = "resource.k8s.io"
_REGISTRATION = "admissionregistration.k8s.io"
_ROLES = ("roles", "rolebindings", "clusterroles", "clusterrolebindings")


@dataclass(frozen=True, slots=True)
class API:
    """What is offered, and the hub that feeds the caches of it."""

    offering: Offering
    hub: Hub
    instruments: Instruments
    admission: AdmissionControl
    cluster: Cluster  # as admission sees it
    addresses: StoredAddresses  # of services
    custom: CustomResources

    @property
    def kinds(self) -> Mapping[Key, Kind]:
        """Every kind that is served, as it is at any time."""
        return self.offering.kinds

    @property
    def served(self) -> Mapping[Key, Served]:
        """Every resource that is stored, as it is at any time."""
        return self.offering.served

    def resource(self, group: str, name: str) -> Served:
        """The served resource `name` of `group`, in the version it is stored in. KeyError if there is none."""
        found = self.offering.stored(group, name)
        if found is None:
            raise KeyError((group, name))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the API is told of the cluster it is for."""

    event_ttl_seconds: float = 3600.0
    policy: Policy = DEFAULT_POLICY
    admission: AdmissionSettings = DEFAULT_ADMISSION
    service_networks: Sequence[Network] = (_SERVICE_NETWORK,)  # one of each family at most, the default one first
    node_ports: range = range(30000, 32768)

    @property
    def service_address(self) -> str:
        """The address of the service `kubernetes`: the first of the default range."""
        return str(self.service_networks[0][1])


def assemble(store: Store, clock: Clock, settings: Settings) -> API:
    """Put the API together over `store`; the caches are empty until the hub runs."""
    kinds = load_kinds()
    by_kind = strategies(
        kinds, policy=settings.policy, service_networks=settings.service_networks, node_ports=settings.node_ports
    )
    stored = {key: kind for key, kind in kinds.items() if kind.is_stored}
    instruments = Instruments(version=KUBERNETES)
    caches = {
        key: WatchCache(kind, _field_values(by_kind, key), instruments.traffic(*key)) for key, kind in stored.items()
    }
    hub = Hub(store, caches.values(), clock)
    register_caches(instruments.registry, lambda: hub.caches)
    hub.on_bookmark(send_bookmarks)
    cluster = Cluster(caches.values(), hub, clock)
    cluster.metrics = instruments.registry
    admission = MeasuredAdmission(build_chain(cluster, settings.admission), instruments, clock.monotonic)
    others = versions(kinds)

    def registry(key: Key) -> Registry:
        kind = stored[key]
        ttl = settings.event_ttl_seconds if kind.resource.resource == "events" else None
        measured = _measured(store, instruments, clock, kind)
        made = Registry(kind, by_kind[key], caches[key], hub, measured, admission=admission, ttl_seconds=ttl)
        if key[0] == _DEVICES:
            from hyperkube_apiserver.registry.dynamicresources.rights import rights_of  # few ask for it

            made.rights = rights_of(kind, cluster)
        elif key[0] == _REGISTRATION:
            from hyperkube_apiserver.registry.admissionregistration.rights import rights_of as parameter_rights

            made.rights = parameter_rights(kind, cluster)
        for version in others.values():
            if version.stored_key == key:
                made.versions.add(version.api_version, version.to_stored, version.from_stored)
        return made

    served = {key: Served(kind, caches[key], partial(registry, key)) for key, kind in stored.items()}

    def version_registry(key: Key, version: Version) -> Registry:
        return VersionRegistry(version, by_kind[key], served[version.stored_key].registry)

    for key, version in others.items():
        cache = caches[version.stored_key]
        served[key] = Served(version.kind, cache, partial(version_registry, key, version), version)
    cluster.quotas = lambda: served[QUOTAS].registry
    cluster.namespaces = lambda: served[NAMESPACES].registry
    addresses = _record_addresses(served, hub, clock)
    offering = cluster.offering = Offering(kinds, served)

    def custom_store(kind: Kind) -> Store:
        return _measured(store, instruments, clock, kind)

    def conversion(said: Mapping[str, Any], definition: str) -> Conversion:
        if said.get("strategy") != "Webhook":
            return RenamingConversion()
        from hyperkube_apiserver.customresources.webhook import WebhookConversion  # few definitions have one

        return WebhookConversion(said["webhook"], lambda: cluster.webhooks)

    around = Surroundings(hub, custom_store, admission, instruments.traffic, conversion)
    return API(offering, hub, instruments, admission, cluster, addresses, CustomResources(offering, around))


def _field_values(by_kind: Mapping[Key, Strategy], key: Key) -> Callable[[dict[str, Any]], Mapping[str, str]]:
    return lambda tree: by_kind[key].field_values(tree)


def _record_addresses(served: Mapping[Key, Served], hub: Hub, clock: Clock) -> StoredAddresses:
    """Have the cluster IPs of services recorded; a service takes its records and its endpoints along when it goes."""
    services, records, endpoints = served[SERVICES], served[IP_ADDRESSES], served[ENDPOINTS]
    strategy = services.registry.strategy
    assert isinstance(strategy, Services)
    addresses = StoredAddresses(records.registry, records.cache, services.cache, strategy, hub, clock)

    async def take_along(service: dict[str, Any], context: WriteContext) -> None:
        await addresses.forget(cluster_ips(service["spec"]))
        try:
            # Else a new service of the same name might be met at the addresses of the old one.
            await endpoints.registry.delete(meta.name(service), DeleteOptions(), context, log.warning)
        except APIError as exc:
            if exc.code != 404:
                raise

    services.registry.after_removal = take_along
    return addresses


def _measured(store: Store, instruments: Instruments, clock: Clock, kind: Kind) -> MeasuredStore:
    def operation(name: str) -> Operation:
        labels = (name, kind.resource.group, kind.resource.resource)
        return Operation(instruments.store_durations.labels(*labels), instruments.store_errors.labels(*labels))

    create, update, delete = map(operation, ("create", "update", "delete"))
    return MeasuredStore(store, create=create, update=update, delete=delete, monotonic=clock.monotonic)


def front_desk(
    api: API, clock: Clock, *, in_flight: InFlight | None = None, lifecycle: Lifecycle | None = None
) -> Desk:
    """The front desk of a server of `api`."""

    def knows(info: RequestInfo) -> bool:
        kind = api.kinds.get((info.group, info.version, info.resource))
        return kind is not None and (not info.subresource or kind.subresource(info.subresource) is not None)

    def deprecated(info: RequestInfo) -> bool:
        return bool(api.kinds[info.group, info.version, info.resource].deprecation)

    return Desk(api.instruments, clock, knows=knows, deprecated=deprecated, in_flight=in_flight, lifecycle=lifecycle)


def follow_holdings(api: API) -> None:
    """Tell the strategy of services what stored ones hold, such as ports, and from now on what is let go."""
    services = api.served[SERVICES]
    strategy = services.registry.strategy
    assert isinstance(strategy, Services)
    for item in services.cache.items():
        strategy.loaded(decode_body(item.body))
    services.cache.observe(_removal_observer(strategy))
    _follow_ranges(api)
    _follow_definitions(api)


def _follow_definitions(api: API) -> None:
    """Offer what definitions of custom resources define, from now on."""
    cache = api.resource(*DEFINITIONS).cache
    for item in cache.items():
        api.custom.take(item, decode_body(item.body))
    cache.observe(api.custom.observe)


def _follow_ranges(api: API) -> None:
    """Have cluster IPs come from the ServiceCIDRs that there are."""
    cache, strategy = api.served[SERVICE_CIDRS].cache, api.served[SERVICES].registry.strategy
    assert isinstance(strategy, Services)
    offer = strategy.addresses.offer

    def observe(event: Event) -> None:
        item = event.item or event.previous
        assert item is not None
        offer(item.name, decode_body(event.item.body) if event.item is not None else None)

    for item in cache.items():
        offer(item.name, decode_body(item.body))
    cache.observe(observe)


def _removal_observer(strategy: Services) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        if event.item is None and event.previous is not None:
            strategy.removed(decode_body(event.previous.body))

    return observe


def follow_roles(api: API, rbac: RBAC) -> None:
    """Load the roles and bindings into `rbac`, and keep them there as they change."""
    resources = {name: api.resource(RBAC_GROUP, name) for name in _ROLES}
    trees = {name: [decode_body(item.body) for item in served.cache.items()] for name, served in resources.items()}
    rbac.replace(**trees)
    for name, served in resources.items():
        served.cache.observe(_role_observer(rbac, name))


def _role_observer(rbac: RBAC, resource: str) -> Callable[[Event], None]:
    def observe(event: Event) -> None:
        item = event.item or event.previous
        assert item is not None
        rbac.apply(resource, item.key, decode_body(event.item.body) if event.item is not None else None)

    return observe


def send_bookmarks(cache: WatchCache, revision: int, watchers: Iterable[Watcher]) -> None:
    """Tell watchers of a resource how far they have come, apart from those that began in the future."""
    item: Item | None = None
    for watcher in watchers:
        if revision >= watcher.after:
            item = item or bookmark(cache.kind, revision)
            watcher.send_item("BOOKMARK", item)
