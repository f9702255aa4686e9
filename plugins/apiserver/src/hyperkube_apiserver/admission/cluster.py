"""What plugins see of the cluster beside the object they are asked about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from hyperkube_apiserver.authz import AlwaysDeny, Authorizer, PromptAuthorizer, deciding
from hyperkube_apiserver.call import Served
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.offering import Offering
from hyperkube_apiserver.registry.generic import Registry
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_apiserver.webhooks.routing import Routing
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving import metrics

if TYPE_CHECKING:
    from hyperkube_apiserver.webhooks.caller import WebhookCaller
    from hyperkube_apiserver.webhooks.identities import Identities

__all__ = ["Cluster"]

Tree = dict[str, Any]
T = TypeVar("T")


class Cluster:
    """The stored objects, as the watch caches hold them, and who may do what.

    The write path brings the caches up to date before it asks a plugin, so that where upstream looks into the store
    once more, for its caches lag, there is nothing more to see here.
    """

    def __init__(self, caches: Iterable[WatchCache], hub: Hub, clock: Clock) -> None:
        self._caches: Mapping[tuple[str, str], WatchCache] = {
            (cache.kind.resource.group, cache.kind.resource.resource): cache for cache in caches
        }
        self.hub = hub
        self.clock = clock
        self.offering: Offering  # all that is served, custom resources too; given once it is there
        self.namespaces: Callable[[], Registry]  # for the plugin that makes them; given once there are registries
        self.quotas: Callable[[], Registry]  # for the plugin that charges them
        self.authorizer: Authorizer = AlwaysDeny()  # until the server has one, nobody may do anything
        self.routing = Routing()  # how services are reached; the server may know better
        self.metrics = metrics.Registry()  # where plugins count; the server's, once there is one
        self._callers: list[WebhookCaller] = []
        self._instruments: dict[Callable[[metrics.Registry], Any], Any] = {}

    def instruments(self, make: Callable[[metrics.Registry], T]) -> T:
        """What plugins count with, made once in a server, when the first of them has something to count."""
        found = self._instruments.get(make)
        if found is None:
            found = self._instruments[make] = make(self.metrics)
        made: T = found
        return made

    @cached_property
    def webhooks(self) -> WebhookCaller:
        """Calls what objects name. Made when the first of them does."""
        return self.caller(None)

    def caller(self, identities: Identities | None) -> WebhookCaller:
        """One that calls as somebody, or as nobody."""
        from hyperkube_apiserver.webhooks.caller import WebhookCaller
        from hyperkube_apiserver.webhooks.services import Services

        made = WebhookCaller(Services(self, self._routed), self._routed, self.clock, identities=identities)
        self._callers.append(made)
        return made

    def _routed(self) -> Routing:
        return self.routing

    def close(self) -> None:
        """Hang up on whom plugins called."""
        for caller in self._callers:
            caller.close()

    def cache(self, group: str, resource: str) -> WatchCache:
        """The cache of a resource that is built in."""
        return self._caches[group, resource]

    def item(self, resource: str, name: str, namespace: str = "", *, group: str = "") -> Item | None:
        """An object as it is stored."""
        cache = self._caches[group, resource]
        return cache.get(cache.kind.key(namespace, name))

    def find(self, resource: str, name: str, namespace: str = "", *, group: str = "") -> Tree | None:
        """An object, without its type, for the caller to do with as it likes."""
        item = self.item(resource, name, namespace, group=group)
        return decode_body(item.body) if item is not None else None

    def get(self, resource: str, name: str, namespace: str = "", *, group: str = "") -> Tree:
        """The same; raises 404, in the words of upstream's caches, for what is not there."""
        found = self.find(resource, name, namespace, group=group)
        if found is None:
            one = self._caches[group, resource].kind.resource
            raise APIError.not_found(replace(one, resource=one.singular), name)
        return found

    def missing(self, resource: str, name: str, *, group: str = "") -> APIError:
        """404 in the words of the API."""
        return APIError.not_found(self._caches[group, resource].kind.resource, name)

    def having(self, resource: str, words: bytes, *, group: str = "") -> Iterator[Tree]:
        """The objects in whose bytes `words` stand, which spares decoding all the others."""
        for item in self._caches[group, resource].items():
            if words in item.body:
                yield decode_body(item.body)

    def items(self, resource: str, namespace: str, *, group: str = "") -> Sequence[Item]:
        """The objects of a namespace, in order of their names, as they are stored."""
        return self._caches[group, resource].snapshot(namespace)

    def listed(self, resource: str, namespace: str, *, group: str = "") -> Iterator[Tree]:
        """The same, each decoded for the caller to do with as it likes."""
        for item in self.items(resource, namespace, group=group):
            yield decode_body(item.body)

    def count(self, resource: str, namespace: str, *, group: str = "") -> int:
        """How many there are in a namespace."""
        return self._caches[group, resource].count(namespace)

    def kinds_called(self, kind: str, *, group: str, version: str) -> list[Kind]:
        """The served resources whose objects are of `kind`, custom ones too."""
        return self.offering.called(kind, group=group, version=version)

    async def found(self, kind: Kind, name: str, namespace: str = "") -> Tree | None:
        """The object of a served kind, a custom one's too, in that version and with its type; None if there is none."""
        served = await self._opened(kind)
        item = served.cache.get(kind.key(namespace, name)) if served is not None else None
        if served is None or item is None:
            return None
        await served.ready([item])
        return served.shown(item)

    async def collected(self, kind: Kind, namespace: str = "") -> list[Tree]:
        """The objects of a served kind, of one namespace or all, as with `found`."""
        served = await self._opened(kind)
        if served is None:
            return []
        items = served.cache.snapshot(namespace)
        await served.ready(items)
        return list(map(served.shown, items))

    async def _opened(self, kind: Kind) -> Served | None:
        resource = kind.resource
        key = resource.group, resource.version, resource.resource
        while (served := self.offering.served.get(key)) is not None and not served.open:
            await served.opened()
        return served

    def deciding(self, check: Callable[[PromptAuthorizer], T]) -> T | Awaitable[T]:
        """What `check` says, which asks the authorizer: at once, or to be awaited where that has to be waited for.

        It may be run more than once, so it must do nothing but decide.
        """
        return deciding(self.authorizer, check)
