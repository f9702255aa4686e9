"""Writes without a server: what the write path asks of strategies, in its order."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from hyperkube_apiserver.admission import AdmissionSettings, Chain, Cluster, build_chain
from hyperkube_apiserver.admissionplugins import chosen
from hyperkube_apiserver.authn import SERVER, Identity
from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.offering import Offering
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_apiserver.registry.catalog import strategies
from hyperkube_apiserver.registry.conversions import Version, versions
from hyperkube_apiserver.registry.strategy import Reservation, Strategy, WriteContext
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_core.testing import VirtualClock
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.storage.memory import MemoryStore

NOW = "2026-01-01T00:00:00Z"
NAMESPACE = "t-u1"
ADMIN = Identity("admin", "uid1", ("system:masters", "system:authenticated"))

Tree = dict[str, Any]
Key = tuple[str, str, str]


class Writer:
    """Creates and changes objects of every kind, storing none."""

    def __init__(self, kinds: Mapping[Key, Strategy]) -> None:
        self.strategies = kinds
        self.versions = versions(load_kinds())
        self._admission = admission_of_an_empty_cluster()

    def strategy(self, resource: str, group: str = "") -> Strategy:
        return next(one for key, one in self.strategies.items() if (key[0], key[2]) == (group, resource))

    def shown(self, strategy: Strategy, tree: Tree) -> Tree:
        """An object that was written, in the version of its strategy."""
        version = self._version(strategy)
        return tree if version is None else version.from_stored(tree)

    def _version(self, strategy: Strategy) -> Version | None:
        resource = strategy.kind.resource
        return self.versions.get((resource.group, resource.version, resource.resource))

    def _read(self, strategy: Strategy, given: Tree) -> Tree:
        tree = copy.deepcopy(given)
        Schemas.load().walker(strategy.kind.definition).walk(tree)
        (tree.get("metadata") or {}).pop("managedFields", None)  # the write path has entries of its own by then
        version = self._version(strategy)
        if version is None:
            return tree
        version.default(tree)
        return version.to_stored(tree)

    def create(self, strategy: Strategy, given: Tree, *, dry_run: bool = False) -> tuple[Tree, list[FieldError]]:
        tree, errors, reservation = self.begin(strategy, given, dry_run=dry_run)
        if errors:
            reservation.release()
        else:
            reservation.commit()
        return tree, errors

    def begin(
        self, strategy: Strategy, given: Tree, *, dry_run: bool = False
    ) -> tuple[Tree, list[FieldError], Reservation]:
        tree = self._read(strategy, given)
        namespace = NAMESPACE if strategy.kind.resource.namespaced else ""
        strategy.default(tree)
        self._admit(strategy, Operation.CREATE, tree)
        object_meta.before_create(tree, namespace=namespace, now=NOW)
        context = WriteContext(now=NOW, namespace=namespace, dry_run=dry_run, identity=ADMIN)
        reservation = strategy.begin_create(tree, context)
        strategy.prepare_for_create(tree, context)
        return tree, strategy.validate(tree), reservation

    def update(
        self, strategy: Strategy, old: Tree, given: Tree, subresource: str = ""
    ) -> tuple[Tree, list[FieldError]]:
        tree = self._read(strategy, given)
        strategy.default(tree)
        self._admit(strategy, Operation.UPDATE, tree, old, subresource)
        namespace = meta.namespace(old)
        object_meta.before_update(tree, old, namespace=namespace)
        context = WriteContext(now=NOW, namespace=namespace, subresource=subresource)
        strategy.prepare_for_update(tree, copy.deepcopy(old), context)
        reservation = strategy.begin_update(tree, copy.deepcopy(old), context)
        errors = strategy.validate_update(tree, old, subresource)
        if errors:
            reservation.release()
        else:
            reservation.commit()
        return tree, errors

    def _admit(
        self, strategy: Strategy, operation: Operation, tree: Tree, old: Tree | None = None, subresource: str = ""
    ) -> None:
        attributes = Attributes(
            kind=strategy.kind,
            operation=operation,
            name=meta.name(tree),
            namespace=NAMESPACE if strategy.kind.resource.namespaced else "",
            subresource=subresource,
            obj=tree,
            old=copy.deepcopy(old),
            identity=SERVER,
            warn=lambda text: None,
        )
        with suppress(StopIteration):  # nothing is waited for
            self._admission.admit(attributes).send(None)


def admission_of_an_empty_cluster() -> Chain:
    """The plugins that are on, but for those that need a namespace and an account."""
    caches = [WatchCache(kind, lambda tree: {}) for kind in load_kinds().values() if kind.is_stored]
    clock = VirtualClock()
    cluster = Cluster(caches, Hub(MemoryStore(clock), caches, clock), clock)
    cluster.offering = Offering(load_kinds())
    plugins = chosen(disable=("NamespaceLifecycle", "ServiceAccount"))
    return build_chain(cluster, AdmissionSettings(plugins=plugins))


@pytest.fixture
def writer() -> Writer:
    return Writer(strategies(load_kinds()))
