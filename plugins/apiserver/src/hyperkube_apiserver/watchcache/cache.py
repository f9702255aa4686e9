"""The watch cache of one resource: its objects by key, its latest events, its watchers."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from sys import intern
from types import MappingProxyType
from typing import Any

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.operations.instruments import Traffic
from hyperkube_apiserver.representation import body_of, decode_stored, type_prefix
from hyperkube_apiserver.watchcache.item import Event, Item
from hyperkube_apiserver.watchcache.watcher import Watchers
from hyperkube_machinery.storage.interface import Change, Entry

__all__ = ["WatchCache"]

RING_EVENTS = 2_000
RING_BYTES = 8 << 20
"""What is kept for watches that begin in the past; older ones are served from the store's history."""

_KNOWN_LABELS = 256
_NO_LABELS: Mapping[str, str] = MappingProxyType({})

FieldValues = Callable[[dict[str, Any]], Mapping[str, str]]


class WatchCache:
    """What lives of one resource. Kept by the hub; read without waiting once the hub has come far enough."""

    def __init__(self, kind: Kind, field_values: FieldValues, traffic: Traffic | None = None) -> None:
        self.kind = kind
        self.traffic = traffic or Traffic.uncounted()
        self.prefix = type_prefix(kind)
        hot = ["metadata.name"]
        if "spec.nodeName" in kind.selectable_fields:
            hot.insert(0, "spec.nodeName")
        self.watchers = Watchers(hot)
        self.live = False  # whether it is filled, and kept up to date
        self.last_revision = 0  # nothing of this resource changed since
        self._field_values = field_values
        self._items: dict[str, Item] = {}
        self._keys: list[str] = []
        self._all: list[Item] | None = None  # every object in order of their keys, if it was asked for since a change
        self._namespaced = kind.resource.namespaced
        self._key_prefix = kind.storage_prefix + "/"
        self._ring: deque[Event] = deque()
        self._ring_bytes = 0
        self._ring_floor = 0
        self._observers: list[Callable[[Event], None]] = []
        self._known_labels: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self._announced: dict[str, tuple[bytes, Mapping[str, str], Mapping[str, str]]] = {}

    # what is there

    def get(self, key: str) -> Item | None:
        """What lives at `key`."""
        return self._items.get(key)

    def __len__(self) -> int:
        return len(self._items)

    def items(self, namespace: str = "", *, after: str = "") -> Iterator[Item]:
        """The objects in order of their keys, of one namespace or all, behind the key `after`.

        The cache must not change while this is iterated: gather what is wanted before anything is awaited.
        """
        start, end = self._range(namespace, after)
        items = self._items
        for index in range(start, end):
            yield items[self._keys[index]]

    def snapshot(self, namespace: str = "", *, after: str = "") -> Sequence[Item]:
        """What `items` would yield, all at once: some 30 ns an object; nothing, for all of them, until one changes."""
        start, end = self._range(namespace, after)
        if end - start < len(self._keys):
            return list(map(self._items.__getitem__, self._keys[start:end]))
        if self._all is None:
            self._all = list(map(self._items.__getitem__, self._keys))
        return self._all

    def count(self, namespace: str = "", *, after: str = "") -> int:
        """How many objects `items` would yield."""
        start, end = self._range(namespace, after)
        return end - start

    def _range(self, namespace: str, after: str) -> tuple[int, int]:
        keys = self._keys
        if not keys:
            return 0, 0
        if not namespace:
            return (bisect_left(keys, after + "\0") if after else 0), len(keys)
        prefix = self.kind.prefix(namespace)
        start = bisect_left(keys, after + "\0" if after > prefix else prefix)
        return start, bisect_left(keys, prefix[:-1] + "0")  # "0" follows "/"

    # what happens

    def announce(self, key: str, stored: bytes, tree: dict[str, Any]) -> None:
        """Tell what `stored` holds before it is written, which spares decoding it when the change comes back."""
        self._announced[key] = (stored, *self._selected(key, tree))

    def withdraw(self, key: str) -> None:
        """Forget what was announced for a write that failed."""
        self._announced.pop(key, None)

    def load(self, entry: Entry) -> None:
        """Take over an object, when the cache is filled."""
        self._items[entry.key] = self.item_of(entry)
        self._keys.append(entry.key)

    def start(self, revision: int) -> None:
        """End the filling with what lived at `revision`: of what was before that, deletions too, nothing is known."""
        self._keys.sort()
        self._all = None
        self._ring_floor = self.last_revision = revision
        self.live = True

    def apply(self, change: Change) -> None:
        """Take over a change, and tell the watchers."""
        self._all = None
        previous = self._items.get(change.key)
        if change.entry is None:
            if previous is None:
                return
            item = None
            del self._items[change.key]
            del self._keys[bisect_left(self._keys, change.key)]
        else:
            item = self.item_of(change.entry)
            self._items[change.key] = item
            if previous is None:
                insort(self._keys, change.key)
        self.last_revision = change.revision
        self.traffic.received += 1
        event = Event(item, previous, change.revision)
        self._remember(event)
        self.watchers.notify(event)
        event.forget_frames()
        for observer in self._observers:
            observer(event)

    def observe(self, observer: Callable[[Event], None]) -> None:
        """Call `observer` with every event from now on, right when it is applied; it must be quick."""
        self._observers.append(observer)

    def ignore(self, observer: Callable[[Event], None]) -> None:
        """Call `observer` no longer."""
        self._observers = [one for one in self._observers if one is not observer]

    def since(self, revision: int) -> list[Event] | None:
        """The events later than `revision`, in order, or None where the ring does not reach back so far."""
        if revision < self._ring_floor:
            return None
        events = []
        for event in reversed(self._ring):
            if event.revision <= revision:
                break
            events.append(event)
        events.reverse()
        return events

    def event_of(self, change: Change) -> Event:
        """A change of the store's history as an event."""
        item = self.item_of(change.entry) if change.entry is not None else None
        previous = self.item_of(change.previous) if change.previous is not None else None
        return Event(item, previous, change.revision)

    def item_of(self, entry: Entry) -> Item:
        """An entry of the store as an item."""
        labels, fields = self._selected_by(entry)
        body = body_of(entry.value, len(self.prefix), entry.mod_revision)
        namespace = fields["metadata.namespace"] if self._namespaced else ""
        return Item(entry.key, namespace, fields["metadata.name"], entry.mod_revision, body, labels, fields)

    def _selected_by(self, entry: Entry) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """The labels and fields of an entry, as they were announced where it was written here."""
        announced = self._announced.get(entry.key)
        if announced is not None and announced[0] == entry.value:
            del self._announced[entry.key]
            return announced[1:]
        return self._selected(entry.key, decode_stored(entry.value))

    def _split(self, key: str) -> tuple[str, str]:
        rest = key[len(self._key_prefix) :]
        if not self._namespaced:
            return "", rest
        namespace, _, name = rest.partition("/")
        return intern(namespace), name  # one text for all that are in it

    def _selected(self, key: str, tree: dict[str, Any]) -> tuple[Mapping[str, str], Mapping[str, str]]:
        namespace, name = self._split(key)
        fields = {"metadata.name": name, **self._field_values(tree)}
        if self._namespaced:
            fields["metadata.namespace"] = namespace
        labels = tree["metadata"].get("labels")
        return self._shared(labels) if labels else _NO_LABELS, fields

    def _shared(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """`labels`, as one mapping for all objects that have them, as those of a template do."""
        known = self._known_labels
        key = tuple(labels.items())
        found = known.get(key)
        if found is None:
            if len(known) >= _KNOWN_LABELS:
                known.clear()
            found = known[key] = labels
        return found

    def _remember(self, event: Event) -> None:
        self._ring.append(event)
        self._ring_bytes += _size(event)
        while len(self._ring) > RING_EVENTS or self._ring_bytes > RING_BYTES:
            oldest = self._ring.popleft()
            self._ring_bytes -= _size(oldest)
            self._ring_floor = oldest.revision


def _size(event: Event) -> int:
    item, previous = event.item, event.previous
    return (len(item.body) if item is not None else 0) + (len(previous.body) if previous is not None else 0)
