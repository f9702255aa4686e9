"""Items and events: an object's bytes with the little that it is selected by, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol

from hyperkube_apiserver.representation import with_version

__all__ = ["Event", "EventEncoder", "Item", "LateFields", "Selection"]


class Item:
    """An object as it was at one revision."""

    __slots__ = ("body", "fields", "key", "labels", "name", "namespace", "revision", "versions")

    def __init__(
        self,
        key: str,
        namespace: str,
        name: str,
        revision: int,
        body: bytes,
        labels: Mapping[str, str],
        fields: Mapping[str, str],
    ) -> None:
        self.key = key
        self.namespace = namespace
        self.name = name
        self.revision = revision
        self.body = body
        self.labels = labels
        self.fields = fields  # the selectable fields, metadata.name and metadata.namespace included
        self.versions: dict[str, bytes] | None = None  # bodies in other versions than the stored one

    def at(self, revision: int) -> Item:
        """The same object under another resource version."""
        body = with_version(self.body, revision)
        return Item(self.key, self.namespace, self.name, revision, body, self.labels, self.fields)

    def with_body(self, body: bytes) -> Item:
        """The same object, shown otherwise."""
        return Item(self.key, self.namespace, self.name, self.revision, body, self.labels, self.fields)


class Selection(Protocol):
    """Which objects a reader wants; equal selections have equal keys."""

    @property
    def key(self) -> Hashable: ...

    def matches(self, item: Item) -> bool: ...

    async def known(self, items: Sequence[Item]) -> Sequence[Item]: ...


class LateFields(Protocol):
    """Fields of objects that must be converted before they are known."""

    @property
    def api_version(self) -> str:
        """That in which the fields are meant."""

    def fields(self, item: Item) -> Mapping[str, str] | None:
        """What `item` is selected by, None while it isn't ready."""

    async def ready(self, items: Sequence[Item]) -> None:
        """Have the fields of `items` known. Raises APIError."""


class EventEncoder(Protocol):
    """Frames events for one representation; equal encoders have equal keys and share what they frame."""

    @property
    def key(self) -> str: ...

    def frame(self, event_type: str, item: Item, *, first: bool) -> bytes:
        """One framed piece of a stream; `first` for the first event that a watcher gets."""


class Event:
    """One change of one object: `item` is None after a deletion, `previous` before a creation."""

    __slots__ = ("_deleted", "_frames", "item", "previous", "revision")

    def __init__(self, item: Item | None, previous: Item | None, revision: int) -> None:
        self.item = item
        self.previous = previous
        self.revision = revision
        self._deleted: Item | None = None
        self._frames: dict[tuple[str, str, bool], bytes] | None = {}

    def seen_by(self, matches: Callable[[Item], bool]) -> str:
        """What the change is to a reader with that selection: ADDED, MODIFIED, DELETED, or "" for nothing.

        An object that begins to match is added, one that ceases to is deleted.
        """
        now = self.item is not None and matches(self.item)
        before = self.previous is not None and matches(self.previous)
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""

    def frame(self, event_type: str, encoder: EventEncoder, *, first: bool) -> bytes:
        """The event framed for `encoder`: once for all that watch as it happens, anew for who comes to it later."""
        if self._frames is None:
            return encoder.frame(event_type, self.shown(event_type), first=first)
        key = (event_type, encoder.key, first)
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frames[key] = encoder.frame(event_type, self.shown(event_type), first=first)
        return frame

    def forget_frames(self) -> None:
        """Keep no frames from now on: they would outlive their use, and may tell of the time when they were made."""
        self._frames = None

    def shown(self, event_type: str) -> Item:
        """The object as an event shows it: one that was deleted, or ceased to match, as it last was."""
        if event_type != "DELETED":
            assert self.item is not None
            return self.item
        if self._deleted is None:
            assert self.previous is not None
            self._deleted = self.previous.at(self.revision)
        return self._deleted
