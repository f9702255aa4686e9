"""The write path of one version of a custom resource, whose objects are converted only as they are stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyperkube_apiserver.crd.schema import CustomTyping
from hyperkube_apiserver.customresources.owners import ConvertedVersions, RenamedVersions, Unconverted, Unconvertible
from hyperkube_apiserver.customresources.versions import CustomVersion, Schemas
from hyperkube_apiserver.registry.apiextensions.gonumbers import as_written, may_differ
from hyperkube_apiserver.registry.apiextensions.sameness import same
from hyperkube_apiserver.registry.attributes import AdmissionControl
from hyperkube_apiserver.registry.generic import Guard, Registry, Warn, Written
from hyperkube_apiserver.registry.ownership import copied
from hyperkube_apiserver.registry.strategy import Strategy, WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, FieldError
from hyperkube_machinery.storage.interface import Store

__all__ = ["CustomRegistry"]

_CONVERSIONS = 64
"""The most that one write has converted to tell its owners: two or three for a version that fields are owned in."""

Tree = dict[str, Any]


class _Unsettled(bytes):
    """What is stored and reads back as something else.

    What was applied may hold nulls and fields to be pruned, and a status that was taken away may have a default.
    """


class CustomRegistry(Registry):
    """The objects of one definition, to be written in `version`, and answered in it."""

    def __init__(
        self,
        version: CustomVersion,
        strategy: Strategy,
        cache: WatchCache,
        hub: Hub,
        store: Store,
        *,
        schemas: Schemas,
        admission: AdmissionControl,
        may_create: Callable[[str], None],
    ) -> None:
        """`may_create` refuses, by raising, to make an object of a name."""
        super().__init__(
            version.kind,
            strategy,
            cache,
            hub,
            store,
            admission=admission,
            versions=_versions(cache.kind.resource.api_version, schemas, version),
            typing=CustomTyping(schemas, version.api_version),
        )
        self.version = version
        self._may_create = may_create

    async def create(
        self, tree: Tree, context: WriteContext, warn: Warn, *, guard: Guard | None = None, owned: bool = False
    ) -> Written:
        self._may_create(meta.name(tree))
        return await super().create(tree, context, warn, guard=guard, owned=owned)

    def _refuse(self, tree: Tree, errors: list[FieldError], name: str = "") -> None:
        if errors:  # in the name of what the object says it is
            group = tree.get("apiVersion", "").rpartition("/")[0]
            raise APIError.invalid(group, tree.get("kind", ""), name or meta.name(tree), errors)

    def admitted(self, tree: Tree, *, field_validation: str = "Ignore") -> Tree:
        self.version.schema.check(tree, field_validation=field_validation)
        return tree

    async def converted(self, tree: Tree, api_version: str) -> Tree:
        return await self.version.tree_of(copied(tree), api_version)

    def _completed(self, tree: Tree, old: Tree | None, context: WriteContext, *, owned: bool) -> Tree:
        try:
            return super()._completed(tree, old, context, owned=owned)
        except Unconvertible:  # who owns what can't be told any more
            tree["metadata"].pop("managedFields", None)
            return tree

    async def _made(self, make: Callable[[], Tree], size: int = 0) -> Tree:
        failures: list[bytes] = []
        try:
            for _ in range(_CONVERSIONS):
                try:
                    return await super()._made(make, size)
                except Unconverted as need:
                    assert isinstance(self.versions, ConvertedVersions)
                    if (failure := await self.versions.fetch(need)) is not None:
                        failures.append(failure)
            return make()
        except Unconvertible as exc:
            raise exc.error from exc
        finally:
            if isinstance(self.versions, ConvertedVersions):
                self.versions.forget(failures)

    async def _prepare(self, item: Item) -> None:
        await self.version.ready((item,))

    def _tree(self, item: Item) -> Tree:
        resource = self.kind.resource
        return {"kind": resource.kind, "apiVersion": resource.api_version, **decode_body(self.version.body(item))}

    def _body(self, item: Item) -> bytes:
        return self.version.body(item)

    async def _encoded(self, tree: Tree) -> bytes:
        """What is stored for `tree`, which becomes what is read back."""
        stored = self.stored_kind.resource.api_version
        if tree.get("apiVersion") != stored:
            tree = await self.version.tree_of(copied(tree), stored)
        encoded = self._encode(tree)
        if may_differ(encoded):
            tree.update(as_written(tree))
            encoded = self._encode(tree)
        return encoded if self.version.is_settled(tree) else _Unsettled(encoded)

    async def _answer(self, stored: bytes, revision: int | None) -> bytes:
        body = await super()._answer(stored, revision)
        if isinstance(stored, _Unsettled):
            body = self.version.restored(body, self.stored_kind)
        if self.stored_kind.resource.api_version == self.version.api_version:
            return body
        return await self.version.shown(self.stored_kind, body)

    def _is_same(self, tree: Tree, old: Tree) -> bool:
        return tree == old and same(tree, old)  # 1 is not true

    async def _is_unfinished(self, item: Item, old: Tree) -> bool:
        """Whether the object is stored otherwise than it would be now: in another version, or of another schema."""
        return not self.version.is_stored_as(item, self.stored_kind)


def _versions(stored: str, schemas: Schemas, version: CustomVersion) -> RenamedVersions:
    return ConvertedVersions(stored, schemas, version) if version.waits else RenamedVersions(stored, schemas)
