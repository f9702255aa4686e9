"""Objects by key and by index, as they were last seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from hyperkube_machinery import meta

__all__ = ["Cache", "Indexer", "Tree", "key_of", "split_key"]

Tree: TypeAlias = dict[str, Any]
Indexer: TypeAlias = Callable[[Tree], Iterable[str]]
"""The values that an object is found by."""

_Trees: TypeAlias = list[Tree]  # by another name, for a method has this one
_Texts: TypeAlias = list[str]

_NAMESPACE = ""  # the index that every cache has


def key_of(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` where the object is in no namespace."""
    about = obj["metadata"]
    namespace = about.get("namespace")
    name: str = about["name"]
    return f"{namespace}/{name}" if namespace else name


def split_key(key: str) -> tuple[str, str]:
    """Namespace, "" where there is none, and name."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


class Cache:
    """What it hands out belongs to all who read: nobody changes it."""

    def __init__(self, indexes: Mapping[str, Indexer] | None = None) -> None:
        self._objects: dict[str, Tree] = {}
        self._indexers: dict[str, Indexer] = {_NAMESPACE: lambda obj: (meta.namespace(obj),)}
        self._indexes: dict[str, dict[str, dict[str, Tree]]] = {_NAMESPACE: {}}
        for name, indexer in (indexes or {}).items():
            self.add_index(name, indexer)

    def add_index(self, name: str, indexer: Indexer) -> None:
        """Raises ValueError if another index has that name."""
        known = self._indexers.get(name)
        if known is indexer:
            return
        if known is not None:
            raise ValueError(f"there is another index {name!r}")
        self._indexers[name] = indexer
        index: dict[str, dict[str, Tree]] = {}
        for key, obj in self._objects.items():
            for value in indexer(obj):
                index.setdefault(value, {})[key] = obj
        self._indexes[name] = index

    def get(self, key: str) -> Tree | None:
        return self._objects.get(key)

    def list(self, namespace: str = "") -> _Trees:
        """All objects, or those of a namespace."""
        return self.by(_NAMESPACE, namespace) if namespace else [*self._objects.values()]

    def by(self, index: str, value: str) -> _Trees:
        """The objects that an index has under `value`. Raises KeyError for an index that isn't there."""
        return [*self._indexes[index].get(value, {}).values()]

    def values(self, index: str) -> _Texts:
        """The values under which an index has objects."""
        return [*self._indexes[index]]

    def keys(self) -> _Texts:
        return [*self._objects]

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: str) -> bool:
        return key in self._objects

    def __iter__(self) -> Iterator[Tree]:
        """All objects; nothing may be changed meanwhile."""
        return iter(self._objects.values())

    def put(self, key: str, obj: Tree) -> Tree | None:
        """Keep `obj`; returns what it takes the place of."""
        old = self._objects.get(key)
        self._objects[key] = obj
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            values = indexer(obj)
            if old is not None:
                values = {*values}
                for value in indexer(old):
                    if value not in values:
                        _remove(index, value, key)
            for value in values:
                index.setdefault(value, {})[key] = obj
        return old

    def remove(self, key: str) -> Tree | None:
        """Forget an object; returns it, None if there is none."""
        old = self._objects.pop(key, None)
        if old is not None:
            for name, indexer in self._indexers.items():
                for value in indexer(old):
                    _remove(self._indexes[name], value, key)
        return old


def _remove(index: dict[str, dict[str, Tree]], value: str, key: str) -> None:
    having = index.get(value)
    if having is not None:
        having.pop(key, None)
        if not having:
            del index[value]
