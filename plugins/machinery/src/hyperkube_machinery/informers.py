"""Caches that follow the API server, shared by all who read the same in a server.

    informers = Informers(client, clock)
    pods = informers.of(PODS, indexes={"node": lambda pod: [pod["spec"].get("nodeName", "")]})
    pods.on_change(lambda old, new: ...)
    async with informers.running():
        await informers.synced()

What a cache shows was true at some moment, and moments never go back; it may be old. Of every object's last change the
handlers are told, one change after the other, yet not of each change between. Objects share what they have in common,
so that who changes one changes others: copy first, and deeply.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import NoReturn, TypeAlias

from hyperkube_machinery import meta
from hyperkube_machinery.cache import Cache, Indexer, Tree, key_of, split_key
from hyperkube_machinery.client import Client, WatchEvent
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import Companions, companions
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.reflector import Reflector
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.sharing import SharedParts

__all__ = ["Handler", "Informer", "Informers", "drop_managed_fields", "key_of", "split_key"]

log = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[Tree | None, Tree | None], None]
"""(None, new): added; (old, new): changed; (old, None): gone, `old` being its last state as far as it is known."""

_GUARDED = "KUBE_CACHE_MUTATION_DETECTOR"
"""The variable by which caches find out who changes what they show: for tests, for it costs much.

Source: k8s.io/client-go/tools/cache/mutation_detector.go
"""

_SLICE_SECONDS = 0.002
"""How long changes are passed on before others have their turn."""


def drop_managed_fields(obj: Tree) -> Tree:
    """`obj` without what only who applies reads, often half of it."""
    obj["metadata"].pop("managedFields", None)
    return obj


class CacheChanged(Exception):
    """Somebody changed what belongs to all."""


class Informer(Cache):
    """A cache of one resource, or of a part of it, that follows the API server while `running`."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        resource: Resource,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        keep: Callable[[Tree], Tree] = drop_managed_fields,
        indexes: Mapping[str, Indexer] | None = None,
        metadata_only: bool = False,
    ) -> None:
        """`keep` may change the object that it gets; what it returns has the same metadata.name and namespace."""
        super().__init__(indexes)
        self.resource = resource
        self._clock = clock
        self._transform = keep
        self._parts = SharedParts()
        self._handlers: list[Handler] = []
        self._texts: dict[str, bytes] | None = {} if os.environ.get(_GUARDED) == "true" else None
        self._synced = asyncio.Event()
        self._reflector = Reflector(
            client,
            clock,
            resource,
            self,
            namespace=namespace,
            labels=labels,
            fields=fields,
            metadata_only=metadata_only,
        )

    @property
    def synced(self) -> bool:
        """Whether everything that was there at the beginning is here, and the handlers were told."""
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """Which state of the server this is; "" before the first."""
        return self._reflector.resource_version

    async def wait_synced(self) -> None:
        await self._synced.wait()

    def on_change(self, handler: Handler) -> None:
        """Call `handler` with every change from now on, and at once with what is here already, as added.

        It is called in the order of changes, after the cache shows them, and must not wait; what it raises is logged.
        """
        self._handlers.append(handler)
        for obj in self.list():
            _call(handler, None, obj)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Informer]:
        """Follow the server for the length of the block."""
        async with companions(self.follow()):
            yield self

    async def follow(self) -> NoReturn:
        """Until cancelled; nothing but that ends it."""
        await self._reflector.follow()

    def put(self, key: str, obj: Tree) -> Tree | None:
        if self._texts is not None:
            self._check(key)
            self._texts[key] = encode(obj)
        return super().put(key, obj)

    def remove(self, key: str) -> Tree | None:
        if self._texts is not None:
            self._check(key)
            self._texts.pop(key, None)
        return super().remove(key)

    def _check(self, key: str) -> None:
        """Raise CacheChanged if somebody has changed an object while it was here."""
        known, text = self.get(key), (self._texts or {}).get(key)
        if known is not None and text is not None and text != encode(known):
            raise CacheChanged(
                f"{self.resource.qualified} {key} was changed in the cache: whoever did that must copy it first\n"
                f"it was {text.decode()}\nit is  {encode(known).decode()}"
            )

    # The Sink of its reflector.

    def keep(self, obj: Tree) -> Tree:
        known = self.get(key_of(obj))
        if known is not None and _same(known, obj):
            return known
        kept = self._transform(obj)
        self._parts.share(kept)
        return kept

    async def replace(self, objects: Mapping[str, Tree]) -> None:
        slices = _Slices(self._clock)
        for key in self.keys():
            if key not in objects:
                self._tell(self.remove(key), None)
                await slices.breathe()
        for key, obj in objects.items():
            if self.get(key) is not obj:
                self._tell(self.put(key, obj), obj)
                await slices.breathe()
        self._synced.set()

    async def apply(self, events: Iterable[WatchEvent]) -> None:
        slices = _Slices(self._clock)
        for kind, obj in events:
            key = key_of(obj)
            if kind == "DELETED":
                if self.remove(key) is not None:
                    self._tell(self._transform(obj), None)
            else:
                kept = self.keep(obj)
                if (old := self.get(key)) is not kept:
                    self.put(key, kept)
                    self._tell(old, kept)
            await slices.breathe()

    def _tell(self, old: Tree | None, new: Tree | None) -> None:
        for handler in self._handlers:
            _call(handler, old, new)


class _Slices:
    """Lets others have the loop between changes, where there are many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.monotonic() + _SLICE_SECONDS

    async def breathe(self) -> None:
        if self._clock.monotonic() >= self._until:
            await self._clock.sleep(0)
            self._until = self._clock.monotonic() + _SLICE_SECONDS


def _same(known: Tree, obj: Tree) -> bool:
    """Versions of an object differ in this, and so do objects that had one name after the other."""
    version = meta.resource_version(obj)
    return bool(version) and version == meta.resource_version(known) and meta.uid(obj) == meta.uid(known)


def _call(handler: Handler, old: Tree | None, new: Tree | None) -> None:
    try:
        handler(old, new)
    except Exception:
        obj = new or old or {}
        log.exception("a handler failed for %s %s", obj.get("kind"), key_of(obj))


class Informers:
    """The informers of one server, each there once."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._informers: dict[object, Informer] = {}
        self._companions: Companions | None = None

    def of(
        self,
        resource: Resource,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        keep: Callable[[Tree], Tree] = drop_managed_fields,
        indexes: Mapping[str, Indexer] | None = None,
        *,
        metadata_only: bool = False,
    ) -> Informer:
        """The informer of this selection, with these indexes beside those it has; it runs as soon as the others do."""
        identity = (resource.group, resource.version, resource.resource, namespace, labels, fields, keep, metadata_only)
        informer = self._informers.get(identity)
        if informer is not None:
            for name, indexer in (indexes or {}).items():
                informer.add_index(name, indexer)
            return informer
        informer = self._informers[identity] = Informer(
            self._client,
            self._clock,
            resource,
            namespace=namespace,
            labels=labels,
            fields=fields,
            keep=keep,
            indexes=indexes,
            metadata_only=metadata_only,
        )
        if self._companions is not None:
            self._start(informer, self._companions)
        return informer

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Informers]:
        """Follow the server for the length of the block, once."""
        async with companions() as beside:
            self._companions = beside
            try:
                for informer in self._informers.values():
                    self._start(informer, beside)
                yield self
            finally:
                self._companions = None

    async def synced(self) -> None:
        """Wait until all that there are now are synced."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    @staticmethod
    def _start(informer: Informer, beside: Companions) -> None:
        beside.start(informer.follow(), name=f"informer of {informer.resource.qualified}")
