"""What plugins make of stored objects, kept until one of these changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.offering import Offering
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_apiserver.watchcache.item import Event, Item

if TYPE_CHECKING:
    from hyperkube_apiserver.admission.rules import Sort

__all__ = ["BySort", "Following", "Readings"]

Tree = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")

_MOST_READINGS = 1024


class Readings(Generic[T]):
    """What `read` makes of single objects, each kept as long as its object stays as it is; for nobody to change."""

    def __init__(self, read: Callable[[Item], T]) -> None:
        self._read = read
        self._kept: dict[str, tuple[Item, T]] = {}

    def of(self, item: Item) -> T:
        """What was read off `item`, which a cache has another of as soon as the object changes."""
        kept = self._kept.get(item.key)
        if kept is None or kept[0] is not item:
            if len(self._kept) >= _MOST_READINGS:
                self._kept.clear()
            kept = self._kept[item.key] = item, self._read(item)
        return kept[1]


class Following(Generic[T]):
    """The parts that `read` makes of the objects of some resources of a group.

    They are made when they are first asked for, and again after any of the objects changed: so that a configuration
    counts for the request that follows it, and one that nobody wrote costs a comparison.
    """

    def __init__(
        self, cluster: Cluster, group: str, resources: Sequence[str], read: Callable[..., Iterable[T]]
    ) -> None:
        """`read` is given a list of objects for each of `resources`, in order of their names, if there are any."""
        self._cluster = cluster
        self._group, self._resources = group, tuple(resources)
        self._read = read
        self._parts: tuple[T, ...] | None = None
        self._follows = False
        self.generation = 0  # grows with every change

    def __iter__(self) -> Iterator[T]:
        return iter(self.parts)

    @property
    def parts(self) -> tuple[T, ...]:
        parts = self._parts
        if parts is None:
            parts = self._parts = self._made()
        return parts

    def _made(self) -> tuple[T, ...]:
        caches = [self._cluster.cache(self._group, resource) for resource in self._resources]
        if not self._follows:
            self._follows = True
            for cache in caches:
                cache.observe(self._changed)
        listed = [list(self._cluster.listed(resource, "", group=self._group)) for resource in self._resources]
        return tuple(self._read(*listed)) if any(listed) else ()

    def _changed(self, event: Event) -> None:
        self._parts = None
        self.generation += 1


class BySort(Generic[T, R]):
    """Of the parts that are followed, those that have to do with a sort of request; found out once for each sort."""

    def __init__(
        self, followed: Following[T], offering: Callable[[], Offering], match: Callable[[T, Attributes], R | None]
    ) -> None:
        """`match` may look at nothing but the sort of the request, and says None of what has nothing to do with it."""
        self._followed = followed
        self._offering = offering
        self._match = match
        self._found: dict[Sort, Sequence[tuple[int, T, R]]] = {}
        self._generation = (-1, -1)

    def of(self, attributes: Attributes) -> Sequence[tuple[int, T, R]]:
        """Each with its place among all, and what `match` said."""
        parts = self._followed.parts
        if not parts:
            return ()
        from hyperkube_apiserver.admission.rules import sort_of  # most servers have nothing to follow

        generation = (self._followed.generation, self._offering().generation)
        if generation != self._generation:
            self._generation = generation
            self._found.clear()
        sort = sort_of(attributes.kind, attributes.subresource, attributes.operation)
        found = self._found.get(sort)
        if found is None:
            matched = ((index, part, self._match(part, attributes)) for index, part in enumerate(parts))
            found = self._found[sort] = [(index, part, how) for index, part, how in matched if how is not None]
        return found
