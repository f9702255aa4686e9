"""One version of a kind that is stored in another.

A request's object is read and completed in the request's version, converted, and from then on it is an object of the
version that is stored: strategy, admission and store see that alone. A reader is answered in its own version; what an
object looks like there is encoded once, and kept with the cache's item of it.

Conversions are total: whatever decodes in one version has an equivalent in the other. They do not wait for anything.
One that must be waited for, a webhook's, puts what it was answered into `Item.versions` before the item is read.
Source: k8s.io/apimachinery/pkg/runtime (codecs convert through an internal version, which is the stored one here).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.conversions import autoscaling, events
from hyperkube_apiserver.representation import decode_body, encode_body
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery.schema import Schemas

__all__ = ["Conversion", "ShownVersion", "Version", "versions"]

Tree = dict[str, Any]
Key = tuple[str, str, str]


class ShownVersion(Protocol):
    """A version in which objects are shown otherwise than they are stored."""

    @property
    def api_version(self) -> str:
        """`group/version`."""

    def body(self, item: Item) -> bytes:
        """The body of an object that a cache holds, made once."""

    def converted(self, body: bytes) -> bytes:
        """A body that a registry answers with."""

    def item(self, item: Item) -> Item:
        """`item` with its body in this version."""


class Conversion(Protocol):
    """What two versions make of each other's objects. Trees come and go without a type, and are not changed."""

    def default(self, tree: Tree) -> None:
        """Fill in, in place, what this version's defaults are before an object is converted."""

    def to_stored(self, tree: Tree) -> Tree:
        """An object of this version as one of the stored version."""

    def from_stored(self, tree: Tree) -> Tree:
        """The other way."""


class Version:
    """What is served of a kind in a version that it is not stored in."""

    def __init__(self, kind: Kind, stored_key: Key, stored: Kind, conversion: Conversion) -> None:
        self.kind = kind
        self.stored_key = stored_key
        self._conversion = conversion
        self._type = _type_of(kind)
        self._stored_type = _type_of(stored)
        self._walker = Schemas.load().walker(kind.definition)
        self._stored_walker = Schemas.load().walker(stored.definition)

    @property
    def api_version(self) -> str:
        """What field ownership calls this version."""
        return self.kind.resource.api_version

    def default(self, tree: Tree) -> None:
        """Complete an object of a request, in place."""
        self._conversion.default(tree)

    def to_stored(self, tree: Tree) -> Tree:
        """An object of this version as it is stored."""
        return self._stored_type | self._stored_walker.read(self._conversion.to_stored(_untyped(tree)))[0]

    def from_stored(self, tree: Tree) -> Tree:
        """A stored object as this version has it."""
        return self._type | self._walker.read(self._conversion.from_stored(_untyped(tree)))[0]

    def body(self, item: Item) -> bytes:
        """The body of an object that a cache holds, made once."""
        if item.versions is None:
            item.versions = {}
        body = item.versions.get(self.api_version)
        if body is None:
            body = item.versions[self.api_version] = self.converted(item.body)
        return body

    def converted(self, body: bytes) -> bytes:
        """A body of the stored version as one of this."""
        return encode_body(self.from_stored(decode_body(body)))

    def item(self, item: Item) -> Item:
        """`item` with its body in this version."""
        body = self.body(item)
        return Item(item.key, item.namespace, item.name, item.revision, body, item.labels, item.fields)


_CONVERSIONS: Mapping[Key, Conversion] = {
    ("autoscaling", "v1", "horizontalpodautoscalers"): autoscaling.HorizontalPodAutoscalerV1(),
    ("events.k8s.io", "v1", "events"): events.EventV1(),
}


def versions(kinds: Mapping[Key, Kind]) -> dict[Key, Version]:
    """The versions among `kinds` that are stored as another of them."""
    return {
        key: Version(kind, kind.stored_as, kinds[kind.stored_as], _CONVERSIONS[key])
        for key, kind in kinds.items()
        if kind.stored_as is not None
    }


def _type_of(kind: Kind) -> Tree:
    return {"kind": kind.resource.kind, "apiVersion": kind.resource.api_version}


def _untyped(tree: Tree) -> Tree:
    return {name: value for name, value in tree.items() if name not in ("kind", "apiVersion")}
