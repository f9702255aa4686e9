"""What the server offers at the moment: resources come, change and go while it runs.

    built in        there from the beginning, in the order of their table
    by a source     what a definition of custom resources makes, offered and withdrawn as one
    by a delegate   a group version that somebody else answers for: an aggregated API

Whoever needs to know of all resources holds the views `kinds` and `served`, which follow every change, or compares
`generation`, or observes. Everything happens on the event loop, in one step each: nobody sees half of a change.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.kinds import Kind
from hyperkube_machinery.serving.messages import Answer
from hyperkube_machinery.versionorder import version_rank

__all__ = ["Delegate", "Described", "Group", "GroupVersion", "Key", "Offering", "Place"]

Key = tuple[str, str, str]
"""Group, version and plural."""
GroupVersion = tuple[str, str]
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where discovery lists a group version: the higher priorities first, as an APIService has them."""

    group_priority: int = 1000
    version_priority: int = 100


_CUSTOM = Place()
"""That of custom resources. Source: k8s.io/kubernetes/pkg/controlplane/controller/crdregistration."""


class Described(Protocol):
    """OpenAPI documents of a group version that aren't this server's; empty where there is none."""

    @property
    def tag(self) -> str:
        """Another one where the documents are others."""

    def version_3(self) -> Tree:
        """The document of OpenAPI 3. Takes long where it is large."""

    def version_2(self) -> Tree:
        """The document of OpenAPI 2. Takes long where it is large."""


class Delegate(Protocol):
    """Answers for a group version in the place of this server."""

    @property
    def place(self) -> Place:
        """Where the group version is listed."""

    def resources(self) -> Sequence[Tree] | None:
        """Its resources as aggregated discovery (v2) lists them; None while it can't be asked."""

    def described(self) -> Described | None:
        """Its OpenAPI documents, if it has any."""

    def answer(self, call: Call) -> Awaitable[Answer]:
        """Answer a request below the path of the group version."""


@dataclass(frozen=True, slots=True)
class OfferedVersion:
    """One version of a group, as discovery tells of it."""

    version: str
    kinds: tuple[Kind, ...]  # served here
    delegate: Delegate | None = None
    custom: bool = False  # whether a source, not this server itself, offers any of the kinds


@dataclass(frozen=True, slots=True)
class Group:
    """A group with its versions, the preferred one first."""

    name: str
    versions: tuple[OfferedVersion, ...]


class Offering:
    """All that is served, by (group, version, plural)."""

    def __init__(self, kinds: Mapping[Key, Kind], served: Mapping[Key, Served] | None = None) -> None:
        """`kinds` are built in; those of them that are stored are `served`, the others are answered otherwise."""
        self._builtin = dict(kinds)
        self._kinds = dict(kinds)
        self._served = dict(served or {})
        self._sources: dict[str, tuple[Key, ...]] = {}
        self._delegates: dict[GroupVersion, Delegate] = {}
        self._observers: list[Callable[[], None]] = []
        self._stored: dict[tuple[str, str], Served] = {}
        self._group_versions: dict[str, set[str]] = {}
        self._groups: tuple[Group, ...] | None = None
        self.kinds: Mapping[Key, Kind] = MappingProxyType(self._kinds)
        self.served: Mapping[Key, Served] = MappingProxyType(self._served)
        self._built_in_groups = frozenset(group for group, _, _ in kinds)
        self.generation = 0  # grows with every change
        for key in self._kinds:
            self._index(key)

    # What there is

    def stored(self, group: str, plural: str) -> Served | None:
        """The resource of that name in the version it is stored in, or in the first one if that isn't served."""
        return self._stored.get((group, plural))

    def has_group(self, group: str) -> bool:
        """Whether anything of `group` is served, here or elsewhere."""
        return group in self._group_versions

    def is_built_in(self, group: str) -> bool:
        """Whether `group` is there from the beginning."""
        return group in self._built_in_groups

    def has_group_version(self, group: str, version: str) -> bool:
        return version in self._group_versions.get(group, ())

    @property
    def delegates(self) -> bool:
        """Whether anything is answered for by others."""
        return bool(self._delegates)

    def delegate(self, group: str, version: str) -> Delegate | None:
        """Who answers for a group version, where that isn't this server."""
        return self._delegates.get((group, version))

    def described(self) -> Iterable[tuple[str, Described]]:
        """The OpenAPI documents of what others answer for, by their names."""
        for (group, version), delegate in self._delegates.items():
            if (documents := delegate.described()) is not None:
                yield (f"apis/{group}/{version}" if group else f"api/{version}"), documents

    def called(self, kind: str, *, group: str, version: str = "") -> list[Kind]:
        """The served resources whose objects are of `kind`, in one version or in any."""
        return [
            one
            for one in self._kinds.values()
            if one.resource.kind == kind and one.resource.group == group and version in ("", one.resource.version)
        ]

    def groups(self) -> tuple[Group, ...]:
        """Every group as discovery lists it: the built-in ones first, then by priority and name."""
        if self._groups is None:
            self._groups = tuple(self._ordered())
        return self._groups

    # What becomes of it

    def observe(self, observer: Callable[[], None]) -> None:
        """Call `observer` after every change, right away; it must be quick."""
        self._observers.append(observer)

    def put(self, source: str, resources: Iterable[Served]) -> None:
        """Let `resources` be all that `source` offers; what is there already by another source stays that one's."""
        self._take_back(source)
        keys = []
        for served in resources:
            key = _key(served.kind)
            if key in self._kinds:
                continue
            self._kinds[key], self._served[key] = served.told, served
            self._index(key)
            keys.append(key)
        if keys:
            self._sources[source] = tuple(keys)
        self._changed()

    def withdraw(self, source: str) -> None:
        """Offer nothing of `source` any longer."""
        if source in self._sources:
            self._take_back(source)
            self._changed()

    def delegate_to(self, group: str, version: str, delegate: Delegate | None) -> None:
        """Have `delegate` answer for a group version from now on, or nobody (None)."""
        if delegate is None:
            if self._delegates.pop((group, version), None) is None:
                return
        else:
            self._delegates[group, version] = delegate
        self._reindex()
        self._changed()

    def changed(self) -> None:
        """Tell that a delegate has other resources than before."""
        self._changed()

    def _take_back(self, source: str) -> None:
        keys = self._sources.pop(source, ())
        for key in keys:
            del self._kinds[key]
            del self._served[key]
        if keys:
            self._reindex(keys)

    def _index(self, key: Key) -> None:
        group, version, plural = key
        self._group_versions.setdefault(group, set()).add(version)
        served = self._served.get(key)
        if served is not None and (served.kind.stored_as is None or (group, plural) not in self._stored):
            self._stored[group, plural] = served

    def _reindex(self, gone: Iterable[Key] = ()) -> None:
        """Look anew at the groups of what is gone, or at all."""
        groups = {key[0] for key in gone}
        if not groups:
            groups = set(self._group_versions) | {group for group, _ in self._delegates}
        for group, _, plural in gone:
            self._stored.pop((group, plural), None)
        for group in groups:
            self._group_versions.pop(group, None)
        for key in self._kinds:
            if key[0] in groups:
                self._index(key)
        for group, version in self._delegates:
            if group in groups:
                self._group_versions.setdefault(group, set()).add(version)

    def _changed(self) -> None:
        self.generation += 1
        self._groups = None
        for observer in self._observers:
            observer()

    def _ordered(self) -> Iterable[Group]:
        kinds: dict[GroupVersion, list[Kind]] = {}
        for (group, version, _), kind in self._kinds.items():
            kinds.setdefault((group, version), []).append(kind)
        builtin = list(dict.fromkeys((group, version) for group, version, _ in self._builtin))
        order = {one: index for index, one in enumerate(builtin)}
        names = list(dict.fromkeys(group for group, _ in builtin))
        others = {group for group, _ in (*kinds, *self._delegates)}.difference(names)
        places = {one: self._place(*one) for one in (*kinds, *self._delegates)}

        def precedence(group: str) -> tuple[int, str]:
            return -max(place.group_priority for one, place in places.items() if one[0] == group), group

        by_group: dict[str, set[str]] = {}
        for group, version in places:
            by_group.setdefault(group, set()).add(version)
        for one, listed in kinds.items():
            if one not in order:
                listed.sort(key=lambda kind: kind.resource.resource)
        for group in (*names, *sorted(others, key=precedence)):

            def rank(version: str, group: str = group) -> tuple[Any, ...]:
                known = order.get((group, version))
                if known is not None:
                    return (0, known)
                return (1, -places[group, version].version_priority, version_rank(version))

            versions = sorted(by_group[group], key=rank)
            yield Group(
                group,
                tuple(self._version(group, one, tuple(kinds.get((group, one), ()))) for one in versions),
            )

    def _version(self, group: str, version: str, kinds: tuple[Kind, ...]) -> OfferedVersion:
        custom = any(_key(kind) not in self._builtin for kind in kinds)
        return OfferedVersion(version, kinds, self._delegates.get((group, version)), custom)

    def _place(self, group: str, version: str) -> Place:
        delegate = self._delegates.get((group, version))
        return delegate.place if delegate is not None else _CUSTOM


def _key(kind: Kind) -> Key:
    resource = kind.resource
    return resource.group, resource.version, resource.resource
