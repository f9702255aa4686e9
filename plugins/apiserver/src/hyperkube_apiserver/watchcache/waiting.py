"""A watcher whose objects can't be shown at once: somebody else must convert them first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from hyperkube_apiserver.watchcache.item import Event, Item
from hyperkube_apiserver.watchcache.watcher import WAITING_EVENTS, Watcher

__all__ = ["WaitingWatcher"]

AT_ONCE = 64


class WaitingWatcher(Watcher):
    """Takes events in as they come; `pass_on` hands them over once they can be shown, in their order."""

    __slots__ = ("_arrived", "_events")

    def expect(self) -> None:
        """Begin; to be called before the first event comes."""
        self._events: list[tuple[str, Event]] = []
        self._arrived = asyncio.Event()

    def deliver(self, event_type: str, event: Event) -> None:
        self._events.append((event_type, event))
        self._arrived.set()
        if len(self._events) > WAITING_EVENTS:
            self._drop()

    async def pass_on(self, ready: Callable[[Sequence[Item]], Awaitable[None]]) -> None:
        """Hand over what comes, each after `ready` made it such, until cancelled. Raises what `ready` raises."""
        while True:
            await self._arrived.wait()
            events, self._events = self._events[:AT_ONCE], self._events[AT_ONCE:]
            if not self._events:
                self._arrived.clear()
            both = [item for _, event in events for item in (event.item, event.previous) if item is not None]
            await self.selection.known(both)
            # What the events are to the client is known by now.
            seen = [(event.seen_by(self.selection.matches), event) for _, event in events]
            await ready([event.shown(event_type) for event_type, event in seen if event_type])
            for event_type, event in seen:
                if event_type:
                    super().deliver(event_type, event)
