"""Admission without a server: plugins, asked about requests to a cluster of the test's."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from hyperkube_apiserver.admission import AdmissionSettings, Chain, Cluster, build_chain
from hyperkube_apiserver.admissionplugins import chosen
from hyperkube_apiserver.authn import SERVER, Identity
from hyperkube_apiserver.authz import AlwaysAllow, Decision
from hyperkube_apiserver.authz.attributes import Attributes as Question
from hyperkube_apiserver.kinds import Kind, load_kinds
from hyperkube_apiserver.offering import Offering
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_apiserver.registry.strategy import Strategy
from hyperkube_apiserver.representation import encode_stored
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_core.testing import VirtualClock
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.storage.interface import Change, Entry, Revision
from hyperkube_machinery.storage.memory import MemoryStore

Tree = dict[str, Any]


class Allowing:
    """Allows questions about these names of resources, verbs or objects, and denies the others with a reason."""

    def __init__(self, *words: str) -> None:
        self._words = frozenset(words)

    def authorize(self, identity: Identity, info: Question) -> Decision:
        words = {info.verb, info.resource, info.name, f"{info.verb} {info.name}"}
        return Decision(bool(words & self._words), "because")


class World:
    """Some objects, and the plugins that are asked about requests beside them."""

    def __init__(self, store: MemoryStore, clock: VirtualClock) -> None:
        self.clock = clock
        self.kinds = {
            (kind.resource.group, kind.resource.resource): kind
            for kind in load_kinds().values()
            if kind.stored_as is None
        }
        self.caches = {
            key: WatchCache(kind, Strategy(kind).field_values) for key, kind in self.kinds.items() if kind.is_stored
        }
        hub = Hub(store, self.caches.values(), clock)
        self.cluster = Cluster(self.caches.values(), hub, clock)
        self.cluster.offering = Offering(load_kinds())
        self.cluster.authorizer = AlwaysAllow()
        self.settings = AdmissionSettings()
        self.identity = SERVER
        self.warnings: list[str] = []
        self.notes: dict[str, str] = {}  # for auditors
        self._revision = 0

    def kind(self, address: str) -> Kind:
        """The kind that is called `pods` or `leases.coordination.k8s.io`."""
        resource, _, group = address.partition(".")
        return self.kinds[group, resource]

    def add(self, address: str, name: str, namespace: str = "", **fields: Any) -> Tree:
        """Store an object."""
        kind = self.kind(address)
        metadata = {"name": name, "uid": f"uid-{name}", **fields.pop("metadata", {})}
        if namespace:
            metadata["namespace"] = namespace
        tree = {"metadata": metadata, **fields}
        self._revision += 1
        revision, key = Revision(self._revision), kind.key(namespace, name)
        entry = Entry(key, encode_stored(kind, copy.deepcopy(tree)), revision, revision, 1)
        self.caches[kind.resource.group, kind.resource.resource].apply(Change(key, revision, entry, None))
        return tree

    def chain(self, plugins: str | Iterable[str]) -> Chain:
        """One of these plugins, for more than one request."""
        settings = AdmissionSettings(
            plugins=(plugins,) if isinstance(plugins, str) else tuple(plugins),
            not_ready_seconds=self.settings.not_ready_seconds,
            unreachable_seconds=self.settings.unreachable_seconds,
            configurations=self.settings.configurations,
        )
        return build_chain(self.cluster, settings)

    async def ask(
        self,
        plugins: str | Iterable[str] | Chain,
        address: str,
        obj: Tree | None,
        *,
        old: Tree | None = None,
        operation: Operation | None = None,
        subresource: str = "",
        name: str | None = None,
        namespace: str = "",
        dry_run: bool = False,
    ) -> Tree:
        """What a chain of `plugins` makes of a request; an APIError is its refusal."""
        kind = self.kind(address)
        if operation is None:
            operation = Operation.DELETE if obj is None else Operation.UPDATE if old is not None else Operation.CREATE
        obj = copy.deepcopy(obj)
        attributes = Attributes(
            kind=kind,
            operation=operation,
            name=meta.name(obj or old or {}) if name is None else name,
            namespace=namespace or ("ns" if kind.resource.namespaced else ""),
            subresource=subresource,
            obj=obj,
            old=copy.deepcopy(old),
            identity=self.identity,
            dry_run=dry_run,
            warn=self.warnings.append,
            annotate=self._note,
        )
        chain = plugins if isinstance(plugins, Chain) else self.chain(plugins)
        await chain.admit(attributes)
        await chain.validate(attributes)
        assert attributes.old == old, "what is there is never changed"
        return attributes.obj or {}

    def _note(self, key: str, value: str, level: str = "Metadata", /) -> None:
        self.notes.setdefault(key, value)

    def forget(self) -> None:
        """Forget warnings and notes."""
        self.warnings.clear()
        self.notes.clear()

    async def refusal(self, plugins: str | Iterable[str], address: str, obj: Tree | None, **request: Any) -> str:
        """The message of a refusal with 403, or with the code `code`; without it the test fails."""
        code = request.pop("code", 403)
        with pytest.raises(APIError) as caught:
            await self.ask(plugins, address, obj, **request)
        assert caught.value.code == code, caught.value.status
        return str(caught.value)

    async def unaffected(self, off: str, address: str, obj: Tree | None, **request: Any) -> bool:
        """Whether the request passes unchanged once all are asked but `off` and those that need what is not there."""
        needy = ("ServiceAccount", "Priority", "DefaultTolerationSeconds", "NamespaceLifecycle", "PodSecurity")
        others = chosen(disable={off, *needy})
        return await self.ask(others, address, obj, **request) == (obj or {})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = VirtualClock()
    async with MemoryStore.open(clock=clock) as store:
        world = World(store, clock)
        world.cluster.hub.revision = await store.revision()  # nothing else is ever written there
        yield world


@pytest.fixture
def allowing() -> type[Allowing]:
    return Allowing
