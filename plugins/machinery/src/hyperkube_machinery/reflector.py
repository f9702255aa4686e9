"""Following a resource: its state, then every change, for ever.

    streaming list ─→ changes ─┬─ the watch ends, or breaks off ─→ changes since the last one
          ↑  list ─→  ↑        └─ history is gone (410) ─→ all over
          └── where the server can't stream lists, or not now

Source: k8s.io/client-go/tools/cache/reflector.go
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import random
from typing import NoReturn, Protocol

from hyperkube_machinery import meta
from hyperkube_machinery.backoff import Backoff
from hyperkube_machinery.cache import Tree, key_of
from hyperkube_machinery.client import Client, ClientError, WatchEvent, WatchStream
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.resources import Resource

__all__ = ["Reflector", "Sink"]

log = logging.getLogger(__name__)

_WATCH_SECONDS = 300
"""The least that a watch is to last; up to twice as long, so that not all end at once."""

_SHORT_SECONDS = 1.0
"""A watch that ended sooner without an event isn't begun anew at once."""

_LASTING_SECONDS = 5.0
"""After a watch that lasted so long, pauses begin anew: the server was well. Upstream's begin anew only where there was
none for two minutes, so that all its controllers see nothing for up to a minute of a server that is back at once when
it was restarted for the sixth time.
"""

_NO_FAULT_OF_STREAMING = (401, 403, 429)
"""An API server that says this would say it of a list as well. One whose storage can't tell how far it has come says
500: kube-apiserver does in front of an etcd before 3.4.31 or 3.5.13."""

_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Sink(Protocol):
    """Where what is seen goes to."""

    def keep(self, obj: Tree) -> Tree:
        """What is to be kept of an object that was just decoded; what is known as it is already, where it is."""

    async def replace(self, objects: Mapping[str, Tree]) -> None:
        """These, by their keys, are all the objects that there are."""

    async def apply(self, events: Iterable[WatchEvent]) -> None:
        """These changes came after; nothing of them was kept, and none is a bookmark."""


class _StartOver(Exception):
    """Changes can't be followed from where we are."""


class Reflector:
    """Keeps a `Sink` equal to what an API server has."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        resource: Resource,
        sink: Sink,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        metadata_only: bool = False,
        chance: Callable[[], float] = random,
    ) -> None:
        self._client = client
        self._clock = clock
        self._resource = resource
        self._sink = sink
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._metadata_only = metadata_only
        self._chance = chance
        self._backoff = Backoff(clock, first=0.8, longest=30, jitter=1, reset_seconds=120, chance=chance)
        self._streams = True  # lists, until the server says that it can't
        self.resource_version = ""  # of what was seen last; "" before the first, or when the server wouldn't know it
        self._began = 0.0  # the present watch
        self._told = False  # something, by the present watch

    async def follow(self) -> NoReturn:
        """Until cancelled; what goes wrong is tried again."""
        while True:
            try:
                stream = await self._begin()
                while True:
                    await self._pump(stream)
                    stream = await self._continue()
            except _StartOver as exc:
                log.info("%s: %s; listing again", self._resource.qualified, exc)
            except (APIError, ClientError) as exc:
                log.warning("failed to list %s: %s", self._resource.qualified, exc)
                if isinstance(exc, APIError) and _is_unknown_version(exc):
                    self.resource_version = ""
            except (AttributeError, LookupError, TypeError, ValueError):  # nobody has promised us good objects
                log.exception("cannot make sense of %s", self._resource.qualified)
            await self._clock.sleep(self._backoff.next())

    async def _begin(self) -> WatchStream:
        """Fill the sink; returns the watch that goes on from there."""
        if self._streams:
            try:
                return await self._stream_list()
            except APIError as exc:
                if exc.code in _NO_FAULT_OF_STREAMING or _is_unknown_version(exc):
                    raise
                log.info("%s: no streaming list (%s); listing instead", self._resource.qualified, exc)
                self._streams = exc.code not in (400, 422)  # what else it may be may pass
        listing = await self._client.list(
            self._resource,
            self._namespace,
            labels=self._labels,
            fields=self._fields,
            resource_version=self.resource_version,
            metadata_only=self._metadata_only,
        )
        keep = self._sink.keep
        await self._sink.replace({key_of(obj): keep(obj) for obj in listing.items})
        self.resource_version = listing.resource_version
        return await self._open()

    async def _stream_list(self) -> WatchStream:
        stream = await self._open(initial_events=True)
        try:
            found: dict[str, Tree] = {}
            while batch := await stream.batch():
                events = iter(batch)
                for kind, obj in events:
                    if kind == "BOOKMARK":
                        if _INITIAL_EVENTS_END in meta.annotations_of(obj):
                            await self._sink.replace(found)
                            self.resource_version = meta.resource_version(obj)
                            await self._sink.apply(self._noted(events))
                            return stream
                    elif kind == "DELETED":
                        found.pop(key_of(obj), None)
                    else:
                        found[key_of(obj)] = self._sink.keep(obj)
        except BaseException:
            stream.close()
            raise
        stream.close()
        raise ClientError("the watch ended before it had told all that is there")

    async def _open(self, *, initial_events: bool = False) -> WatchStream:
        stream = await self._client.open_watch(
            self._resource,
            self._namespace,
            resource_version=self.resource_version,
            labels=self._labels,
            fields=self._fields,
            initial_events=initial_events,
            timeout_seconds=int(_WATCH_SECONDS * (1 + self._chance())),
            metadata_only=self._metadata_only,
        )
        self._began = self._clock.monotonic()
        self._told = False
        return stream

    async def _pump(self, stream: WatchStream) -> None:
        """Pass on what a watch tells, until it ends."""
        try:
            while batch := await stream.batch():
                self._told = True
                await self._sink.apply(self._noted(batch))
        except APIError as exc:
            self._judge(exc)
        except ClientError as exc:
            log.info("the watch of %s broke off: %s", self._resource.qualified, exc)
        finally:
            stream.close()
            if self._clock.monotonic() - self._began >= _LASTING_SECONDS:
                self._backoff.reset()

    def _noted(self, events: Iterable[WatchEvent]) -> Iterator[WatchEvent]:
        """The changes among `events`; how far they lead is noted when the next is asked for."""
        for event in events:
            if event.type != "BOOKMARK":
                yield event
            self.resource_version = meta.resource_version(event.object) or self.resource_version

    async def _continue(self) -> WatchStream:
        """Watch on from what was seen last."""
        if not self._told and self._clock.monotonic() - self._began < _SHORT_SECONDS:
            await self._clock.sleep(self._backoff.next())
        while True:
            try:
                return await self._open()
            except APIError as exc:
                self._judge(exc)
            except ClientError as exc:
                log.info("cannot watch %s: %s", self._resource.qualified, exc)
            await self._clock.sleep(self._backoff.next())

    def _judge(self, exc: APIError) -> None:
        """Raise _StartOver unless the server only asks for patience."""
        if _is_unknown_version(exc):
            self.resource_version = ""
            raise _StartOver(exc)
        if exc.code != 429 and exc.code < 500:
            raise _StartOver(exc)
        log.info("the watch of %s was refused: %s", self._resource.qualified, exc)


def _is_unknown_version(exc: APIError) -> bool:
    """Whether the server has forgotten that version, or hasn't come so far: it was set back, perhaps."""
    if exc.code == 410:
        return True
    causes = (exc.status.get("details") or {}).get("causes") or ()
    if any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes):
        return True
    return "Too large resource version" in str(exc)
