"""Watchers: who gets which event, and how a slow one is let go.

catching up ──caught_up()──▶ live ──finish()──▶ finished
    events wait behind the initial ones    events are handed to the connection at once
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Protocol

from hyperkube_apiserver.operations.instruments import Traffic
from hyperkube_apiserver.watchcache.item import Event, EventEncoder, Item, Selection

__all__ = ["Sink", "Watcher", "Watchers"]

BUFFER_BYTES = 4 << 20
"""How much may wait for one client before it is let go; it then watches again from where it was."""
_AT_ONCE = 64
BOOKMARK_SECONDS = 60.0
FAREWELL_SECONDS = 2.0
"""Before its end a watch is told once more how far it has come, so that the next one begins there."""
WAITING_EVENTS = 10_000
"""How many events may come while a watcher is still sent its initial ones."""


class Sink(Protocol):
    """Where a watcher's frames go: the body of an answer."""

    def send_framed(self, frame: bytes) -> None: ...

    @property
    def buffered(self) -> int: ...


class Watcher:
    """One watch of one resource."""

    __slots__ = (
        "_finished",
        "_sent",
        "_traffic",
        "_waiting",
        "after",
        "bookmark_at",
        "encoder",
        "expires",
        "name",
        "namespace",
        "selection",
        "sink",
    )

    def __init__(
        self,
        *,
        sink: Sink,
        encoder: EventEncoder,
        selection: Selection,
        namespace: str,
        name: str,
        after: int,
        bookmarks: bool,
        now: float,
        expires: float,
        traffic: Traffic,
    ) -> None:
        self.sink = sink
        self._traffic = traffic
        self.encoder = encoder
        self.selection = selection
        self.namespace = namespace  # "" for all
        self.name = name  # "" for all; what the selection asks of metadata.name
        self.after = after  # events up to this revision are known to the client
        self.expires = expires  # on the monotonic clock, as all times here
        self.bookmark_at = math.inf  # for who wants none
        if bookmarks:
            self.bookmarked(now)
        self._waiting: list[tuple[str, Event]] | None = []
        self._sent = False
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def deliver(self, event_type: str, event: Event) -> None:
        """Hand over an event; one that the client knows already is passed over."""
        if event.revision <= self.after or self._finished.done():
            return
        if self._waiting is not None:
            self._waiting.append((event_type, event))
            if len(self._waiting) > WAITING_EVENTS:
                self._drop()
            return
        self._send(event.frame(event_type, self.encoder, first=not self._sent))
        if self.sink.buffered > BUFFER_BYTES:
            self._drop()

    def send_item(self, event_type: str, item: Item) -> None:
        """Send an object by itself: one that exists already, or a bookmark."""
        self._send(self.encoder.frame(event_type, item, first=not self._sent))

    def send_past(self, event_type: str, event: Event) -> None:
        """Send a change that was before it is live."""
        self._send(event.frame(event_type, self.encoder, first=not self._sent))

    def bookmarked(self, now: float) -> None:
        """Settle when the next bookmark is due.

        Source: k8s.io/apiserver/pkg/storage/cacher (cacheWatcher.nextBookmarkTime).
        """
        due = min(now + BOOKMARK_SECONDS, self.expires - FAREWELL_SECONDS)
        self.bookmark_at = due if due > now else math.inf

    def _send(self, frame: bytes) -> None:
        self.sink.send_framed(frame)
        self._sent = True
        self._traffic.sent.observe(len(frame))

    def _drop(self) -> None:
        """Let go of a client that is too slow."""
        self._traffic.dropped += 1
        self.finish()

    @property
    def live(self) -> bool:
        """Whether events go straight to the client."""
        return self._waiting is None and not self._finished.done()

    async def catch_up(self) -> None:
        """Go live: send what came meanwhile, and from now on everything at once."""
        while (waiting := self._waiting) is not None and len(waiting) > _AT_ONCE:
            del waiting[: self._pass_on(waiting[:_AT_ONCE])]
            await asyncio.sleep(0)
        waiting, self._waiting = self._waiting or [], None
        self._pass_on(waiting)

    def _pass_on(self, waiting: list[tuple[str, Event]]) -> int:
        held, self._waiting = self._waiting, None
        for event_type, event in waiting:
            self.deliver(event_type, event)
        self._waiting = held
        return len(waiting)

    def finish(self) -> None:
        """End the watch; the client sees its stream end."""
        if not self._finished.done():
            self._finished.set_result(None)

    async def finished(self) -> None:
        """Return once the watch has ended."""
        await self._finished


_Group = dict[Hashable, list[Watcher]]


class Watchers:
    """The watchers of one resource, found by what they want.

    They stand in rooms by namespace and by the value of one hot field (the name, or the node of a pod), so that an
    event meets only those that may want it; in a room, equal selections are evaluated once.
    """

    def __init__(self, hot_fields: Iterable[str]) -> None:
        self._hot_fields = tuple(hot_fields)
        self._rooms: dict[tuple[str, str, str], _Group] = defaultdict(dict)
        self._places: dict[Watcher, tuple[str, str, str]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Watcher]:
        return iter(list(self._places))

    def add(self, watcher: Watcher, wanted: Callable[[str], str | None]) -> None:
        """Let `watcher` in; `wanted(field)` is the one value its selection allows for a field, or None."""
        place = (watcher.namespace, "", "")
        for field in self._hot_fields:
            value = wanted(field)
            if value is not None:
                place = (watcher.namespace, field, value)
                break
        self._places[watcher] = place
        self._rooms[place].setdefault(watcher.selection.key, []).append(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Let `watcher` out; one that is not in is left alone."""
        place = self._places.pop(watcher, None)
        if place is None:
            return
        room = self._rooms[place]
        group = room[watcher.selection.key]
        group.remove(watcher)
        if not group:
            del room[watcher.selection.key]
        if not room:
            del self._rooms[place]

    def notify(self, event: Event) -> None:
        """Hand `event` to every watcher that it means something to."""
        if not self._places:
            return
        for place in self._places_of(event):
            room = self._rooms.get(place)
            if not room:
                continue
            for group in list(room.values()):
                event_type = event.seen_by(group[0].selection.matches)
                if event_type:
                    for watcher in list(group):
                        watcher.deliver(event_type, event)

    def _places_of(self, event: Event) -> Iterable[tuple[str, str, str]]:
        shown = event.item or event.previous
        assert shown is not None
        places = {("", "", ""), (shown.namespace, "", "")}
        for field in self._hot_fields:
            for item in (event.item, event.previous):
                if item is not None:
                    value = item.fields.get(field, "")
                    places.add(("", field, value))
                    places.add((shown.namespace, field, value))
        return places
