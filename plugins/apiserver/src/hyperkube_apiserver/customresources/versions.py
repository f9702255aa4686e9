"""How stored custom resources look in one version: pruned, with defaults and converted, made once an object and kept.

What is stored may be of another version, and of another schema: it is made what its own version's schema has it be,
and then converted. An object that nothing of that changes, as is usual, shares the bytes it was stored as.
Source: k8s.io/apiextensions-apiserver/pkg/apiserver (customresource_handler.go, crdConversionRESTOptionsGetter).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.customresources.items import CustomItem
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.representation import decode_body, encode_body
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.schema import WrongType

if TYPE_CHECKING:
    from hyperkube_apiserver.crd.schema import CustomSchema
    from hyperkube_apiserver.customresources.conversion import Conversion
    from hyperkube_apiserver.watchcache.item import Item

__all__ = ["CustomVersion", "Schemas"]

Tree = dict[str, Any]
Schemas = Mapping[str, "CustomSchema"]
"""Of all versions of a definition, by `group/version`."""


class CustomVersion:
    """One served version of a custom resource."""

    def __init__(self, kind: Kind, schemas: Schemas, conversion: Conversion) -> None:
        self.kind = kind
        self.api_version = kind.resource.api_version
        self._schemas = schemas
        self._conversion = conversion

    @property
    def schema(self) -> CustomSchema:
        """What its objects hold."""
        return self._schemas[self.api_version]

    @property
    def waits(self) -> bool:
        """Whether objects of other versions must be made ready before they are shown."""
        return self._conversion.waits

    def body(self, item: Item) -> bytes:
        """The body in this version of an object that is `ready`, made once."""
        if isinstance(item, CustomItem) and item.settled and item.api_version == self.api_version:
            return item.body
        body = item.versions.get(self.api_version) if item.versions is not None else None
        return body if body is not None else self._kept(item, self._made(item))

    def fields(self, item: Item) -> Mapping[str, str] | None:
        """What an object is selected by in this version, None for one that must be made ready first."""
        if not isinstance(item, CustomItem) or item.api_version == self.api_version:
            return item.fields
        found = item.selected.get(self.api_version) if item.selected is not None else None
        if found is None and item.versions is not None and self.api_version in item.versions:
            found = {**item.fields, **self.schema.selected_by(decode_body(item.versions[self.api_version]))}
            item.selected = {**(item.selected or {}), self.api_version: found}
        return found

    def _kept(self, item: Item, body: bytes) -> bytes:
        """`body`, which is remembered as that of `item`; one that is stored as it is shown costs nothing."""
        if isinstance(item, CustomItem) and item.api_version == self.api_version and body is item.body:
            item.settled = True
        elif item.versions is None:
            item.versions = {self.api_version: body}
        else:
            item.versions[self.api_version] = body
        return body

    def converted(self, body: bytes) -> bytes:
        """A body that was written in this version, as it is answered."""
        return body

    def item(self, item: Item) -> Item:
        """`item` with its body in this version."""
        return item.with_body(self.body(item))

    def is_stored_as(self, item: Item, stored: Kind) -> bool:
        """Whether an object would be stored as it is, as one of `stored`, if it were written without a change."""
        version = stored.resource.api_version
        if not isinstance(item, CustomItem) or item.api_version != version:
            return False
        # What a webhook makes of an object and back is taken for the same; else fields may be lost on the way.
        there = CustomVersion(stored, self._schemas, self._conversion) if self.waits else self
        return there.body(item) is item.body

    async def ready(self, items: Sequence[Item]) -> None:
        """Have those converted for which a webhook must be asked. Raises APIError 500."""
        if not self._conversion.waits:
            return
        waiting = [
            item
            for item in items
            if isinstance(item, CustomItem)
            and item.api_version != self.api_version
            and self.api_version not in (item.versions or ())
        ]
        if not waiting:
            return
        trees = await self._conversion.converted([self._restored(item) for item in waiting], self.api_version)
        for item, tree in zip(waiting, trees, strict=True):
            self._kept(item, encode_body(self._coerced(tree)))

    async def tree_of(self, tree: Tree, api_version: str) -> Tree:
        """An object of any version as one of `api_version`. Changes `tree`."""
        if tree.get("apiVersion") == api_version:
            return tree
        if self._conversion.waits:
            (tree,) = await self._conversion.converted([tree], api_version)
        else:
            tree["apiVersion"] = api_version
        return self._coerced(tree)

    def is_settled(self, tree: Tree) -> bool:
        """Whether an object, as it is to be stored, is read back as it is."""
        schema = self._schemas.get(tree["apiVersion"])
        return schema is None or schema.is_settled(tree)

    def restored(self, body: bytes, stored: Kind) -> bytes:
        """A body of what is stored as an object of `stored`, as it is read back."""
        resource = stored.resource
        tree = {"kind": resource.kind, "apiVersion": resource.api_version, **decode_body(body)}
        self._schemas[resource.api_version].restore(tree)
        return encode_body(tree)

    async def shown(self, stored: Kind, body: bytes) -> bytes:
        """The body in this version of what is stored as an object of `stored`."""
        resource = stored.resource
        tree = {"kind": resource.kind, "apiVersion": resource.api_version, **decode_body(body)}
        return encode_body(await self.tree_of(tree, self.api_version))

    def _made(self, item: Item) -> bytes:
        if not isinstance(item, CustomItem):  # a bookmark, which holds nothing
            return item.body
        tree = self._restored(item)
        if item.api_version != self.api_version:
            if self._conversion.waits:
                raise AssertionError(f"{item.key} must be made ready before it is shown as {self.api_version}")
            tree["apiVersion"] = self.api_version
            tree = self._coerced(tree)
        for field in ("apiVersion", "kind"):
            del tree[field]
        return item.body if tree == decode_body(item.body) else encode_body(tree)

    def _restored(self, item: CustomItem) -> Tree:
        tree = item.tree()
        schema = self._schemas.get(item.api_version)
        if schema is not None:  # else its version is no longer one
            schema.restore(tree)
        return tree

    def _coerced(self, tree: Tree) -> Tree:
        schema = self._schemas.get(tree["apiVersion"])
        if schema is not None:
            try:
                schema.coerce(tree)
            except WrongType as error:
                raise APIError.of(500, "", str(error)) from error
        return tree
