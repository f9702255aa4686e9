"""One definition of custom resources, as it is served: a cache, and a resource for each version.

It stands for the definition as it was at one time. One whose spec or names changed is another, with a cache of its own
that is filled anew when it is asked for: nothing that was cached of the old one is shown by the rules of the new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.authz.forbidden import forbidden_because
from hyperkube_apiserver.call import ScaleShape, Served
from hyperkube_apiserver.customresources.described import condition_holds, ending_kind, kinds_of
from hyperkube_apiserver.customresources.items import CustomCache
from hyperkube_apiserver.customresources.scaling import CustomScale, replicas_paths
from hyperkube_apiserver.customresources.versions import CustomVersion, Schemas
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.generic import LONG_BYTES
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.item import Item

if TYPE_CHECKING:
    from hyperkube_apiserver.crd.schema import CustomSchema
    from hyperkube_apiserver.customresources.conversion import Conversion
    from hyperkube_apiserver.customresources.surroundings import Surroundings
    from hyperkube_apiserver.registry.generic import Registry

__all__ = ["CustomResource", "CustomServed"]

Tree = dict[str, Any]


class CustomResource:
    """What a definition makes the server offer."""

    def __init__(self, item: Item, definition: Mapping[str, Any], around: Surroundings) -> None:
        """`definition` is what `item` holds; it is not kept, for the schemas in it may be large."""
        self.name = item.name
        self._item = item
        self._around = around
        self.stored_kind, kinds = kinds_of(definition)
        self.ending = condition_holds(definition, "Terminating")
        self.offered = tuple(CustomServed(kind, self) for kind in kinds)
        self.withdrawn = False
        self.parting: Callable[[], None] | None = None  # called once the definition is gone, or another
        self._requests = 0

    @property
    def is_large(self) -> bool:
        """Whether the schemas take some milliseconds to compile."""
        return len(self._item.body) > LONG_BYTES

    def refer_to(self, item: Item) -> None:
        """Look into `item` from now on, which says the same of what is served."""
        self._item = item

    def end(self, *, ending: bool) -> None:
        """Let nothing be made any longer, for the definition is being deleted."""
        self.ending = ending

    @cached_property
    def cache(self) -> CustomCache:
        """Of the objects; made when it is first asked for, and filled by `open`."""
        resource = self.stored_kind.resource
        traffic = self._around.traffic(resource.group, resource.version, resource.resource)
        return CustomCache(self.stored_kind, self.field_values, traffic)

    @property
    def open(self) -> bool:
        """Whether the cache shows what there is."""
        return "cache" in self.__dict__ and self.cache.live

    async def opened(self) -> None:
        """Fill the cache, unless the definition is gone, or another by now."""
        if not self.withdrawn:
            await self._around.hub.open(self.cache)

    def close(self) -> None:
        """Let go of those who watch, and of the cache once no request needs it: the definition is gone, or another."""
        self.withdrawn = True
        if self.parting is not None:
            self.parting()
        if "cache" in self.__dict__:
            for watcher in self.cache.watchers:
                watcher.finish()
        self._let_go()

    def enter(self) -> None:
        self._requests += 1

    def leave(self) -> None:
        self._requests -= 1
        if self.withdrawn:
            self._let_go()

    def _let_go(self) -> None:
        if not self._requests and "cache" in self.__dict__:
            self._around.hub.drop(self.cache)

    @cached_property
    def schemas(self) -> Schemas:
        """Of all versions, by `group/version`."""
        from hyperkube_apiserver.crd.schema import CustomSchema  # few servers have custom resources

        definition = self.definition()
        group = self.stored_kind.resource.group

        def of(name: str) -> CustomSchema:
            return CustomSchema.of(definition, name, lambda: self._schema_of(name))

        return {f"{group}/{one['name']}": of(one["name"]) for one in definition["spec"]["versions"]}

    @cached_property
    def conversion(self) -> Conversion:
        """How objects get from one version to another."""
        return self._around.conversion(self.definition()["spec"].get("conversion") or {}, self.name)

    @cached_property
    def stored(self) -> CustomServed:
        """The version that objects are stored in, be it served or not."""
        return CustomServed(self.stored_kind, self)

    def definition(self) -> Tree:
        """The definition; the caller's."""
        return decode_body(self._item.body)

    def version_of(self, kind: Kind) -> CustomVersion:
        return CustomVersion(kind, self.schemas, self.conversion)

    def registry_of(self, version: CustomVersion) -> Registry:
        from hyperkube_apiserver.customresources.registry import CustomRegistry
        from hyperkube_apiserver.customresources.strategy import CustomStrategy

        return CustomRegistry(
            version,
            CustomStrategy(version, self.field_values),
            self.cache,
            self._around.hub,
            self._around.store(version.kind),
            schemas=self.schemas,
            admission=self._around.admission,
            may_create=self._may_create,
        )

    def _may_create(self, name: str) -> None:
        """Raise APIError 403 while the definition is being deleted."""
        if self.ending:
            why = "create not allowed while custom resource definition is terminating"
            resource = self.stored_kind.resource
            raise forbidden_because(resource.group, resource.resource, name, why)

    def field_values(self, tree: Tree) -> dict[str, str]:
        """By what an object can be selected beside its name, in any version."""
        values: dict[str, str] = {}
        for schema in self._selecting:
            values.update(schema.selected_by(tree))
        return values

    @cached_property
    def _selecting(self) -> Sequence[CustomSchema]:
        return [schema for schema in self.schemas.values() if schema.selectable_fields]

    def scale_of(self, version: str) -> CustomScale | None:
        """Where objects of `version` have their replicas; None where the definition doesn't say."""
        spec = self.definition()["spec"]
        found = next(one for one in spec["versions"] if one["name"] == version)
        scale = (found.get("subresources") or {}).get("scale")
        return CustomScale.of_version(scale, replicas_paths(spec["group"], spec["versions"])) if scale else None

    def _schema_of(self, version: str) -> Mapping[str, Any] | None:
        for one in self.definition()["spec"]["versions"]:
            if one["name"] == version:
                found: Mapping[str, Any] | None = (one.get("schema") or {}).get("openAPIV3Schema")
                return found
        return None

    def __iter__(self) -> Iterator[CustomServed]:
        return iter(self.offered)


class CustomServed(Served):
    """One version of a custom resource, for those who answer requests."""

    def __init__(self, kind: Kind, resource: CustomResource) -> None:
        self.kind = kind
        self.resource = resource
        self._compiled = not resource.is_large  # a small schema is compiled in passing

    @property
    def told(self) -> Kind:
        return ending_kind(self.kind) if self.resource.ending else self.kind

    @property
    def cache(self) -> CustomCache:  # type: ignore[override]
        return self.resource.cache

    @cached_property
    def version(self) -> CustomVersion:  # type: ignore[override]
        return self.resource.version_of(self.kind)

    @cached_property
    def registry(self) -> Registry:
        return self.resource.registry_of(self.version)

    @property
    def schema(self) -> CustomSchema:
        return self.version.schema

    @cached_property
    def scale(self) -> ScaleShape | None:
        return self.resource.scale_of(self.kind.resource.version)

    @property
    def open(self) -> bool:
        return self._compiled and self.resource.open

    async def opened(self) -> None:
        await self.resource.opened()
        if not self._compiled:
            await asyncio.to_thread(self.schema.compile)
            self._compiled = True

    def enter(self) -> None:
        self.resource.enter()

    def leave(self) -> None:
        self.resource.leave()

    @property
    def waits(self) -> bool:
        return self.version.waits

    async def ready(self, items: Sequence[Item]) -> None:
        await self.version.ready(items)
