"""WATCH: what becomes of a collection, as a stream of events.

    no resourceVersion, or 0    what exists, as ADDED events, then a bookmark that ends them, then every change
    resourceVersion=N           every change later than N
    sendInitialEvents=true      the first again, with all that N has
    sendInitialEvents=false     the second again, of what changes from now on

Bookmarks are for those who allow them. Once a watch may begin, whatever is wrong is told by its first event.

Source: k8s.io/apiserver/pkg/storage/cacher, KEP-3157.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers.output import Output, bookmark
from hyperkube_apiserver.parameters import ListOptions, flag, list_options
from hyperkube_apiserver.selection import Selected, select
from hyperkube_apiserver.versions import WAIT_SECONDS, invalid_version, parse_version, too_large
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_apiserver.watchcache.item import Event, Item
from hyperkube_apiserver.watchcache.waiting import WaitingWatcher
from hyperkube_apiserver.watchcache.watcher import Watcher
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError, failure
from hyperkube_machinery.serving.messages import BodyWriter, Response, StreamingResponse
from hyperkube_machinery.storage.interface import Compacted

__all__ = ["watch"]

DRAIN_BYTES = 1 << 20
EVENTS_A_SLICE = 32
"""Sent before others have their turn: some two milliseconds where each is made into a row of a table or a message."""


async def watch(
    call: Call, served: Served, hub: Hub, output: Output, *, clock: Clock, shortest_seconds: float
) -> Response | StreamingResponse:
    """Begin a watch; one without a timeout lasts between `shortest_seconds` and twice that, to spread the load."""
    options = list_options(call.query, watch=flag(call.query, "watch"))  # else the path says so, and nothing is checked
    selected = select(served.registry.strategy, options.label_selector, options.field_selector)
    if call.info.names_object:
        selected = selected.only(call.info.name)
    revision = parse_version(options.resource_version) if options.resource_version else 0
    if revision is None:
        raise APIError.of(500, "", invalid_version(options.resource_version))
    if options.send_initial_events and revision:
        if not await hub.reached_within(revision, WAIT_SECONDS):
            return StreamingResponse(
                _failing(too_large(revision, hub.revision), output), content_type=output.stream_type
            )
    elif not options.resource_version:
        await hub.fresh()
    if options.send_initial_events is False and not revision:
        revision = hub.revision  # "now" is when the watch was asked for, not when its answer begins
    now = clock.monotonic()
    expires = now + (options.timeout_seconds or shortest_seconds * (1 + random.random()))
    return StreamingResponse(
        _producer(call, served, hub, output, options, selected, revision, now, expires),
        content_type=output.stream_type,
    )


def _failing(error: APIError, output: Output) -> Callable[[BodyWriter], Awaitable[None]]:
    async def produce(writer: BodyWriter) -> None:
        writer.send_framed(output.error_event(error.status))

    return produce


def _producer(
    call: Call,
    served: Served,
    hub: Hub,
    output: Output,
    options: ListOptions,
    selected: Selected,
    revision: int,
    now: float,
    expires: float,
) -> Callable[[BodyWriter], Awaitable[None]]:
    async def produce(writer: BodyWriter) -> None:
        cache = served.cache
        initial = options.send_initial_events
        after: int = hub.revision
        from_now = revision == 0 and initial is None
        # Nothing is awaited between this look at the cache and joining its watchers: no change is missed.
        known: Sequence[Item] = ()
        if from_now or initial:
            known = cache.snapshot(call.namespace)
        elif revision:
            after = revision
        watcher = (WaitingWatcher if served.waits else Watcher)(
            sink=writer,
            encoder=output.events(served.kind),
            selection=selected,
            namespace=call.namespace,
            name=call.info.name,
            after=after,
            bookmarks=options.allow_bookmarks,
            now=now,
            expires=expires,
            traffic=cache.traffic,
        )
        if isinstance(watcher, WaitingWatcher):
            watcher.expect()
        past = None if known or from_now or initial else cache.since(after)
        seen = hub.revision
        cache.watchers.add(watcher, selected.wanted)
        if hub.ending or not cache.live:  # nothing more will come
            watcher.finish()
        try:
            await served.ready(known)
            await _send_items(writer, watcher, known, selected)
            cache.traffic.initial += len(known)
            if not (from_now or initial):
                if past is None:
                    try:
                        past = await hub.history(cache, after=after, until=seen)
                    except Compacted as exc:
                        writer.send_framed(output.error_event(_expired(after, exc.oldest)))
                        return
                if served.waits:
                    await served.ready([one for event in past for one in (event.item, event.previous) if one])
                await _send_past(writer, watcher, past, selected)
                watcher.after = max(after, seen)
            if initial and options.allow_bookmarks:
                watcher.send_item("BOOKMARK", bookmark(cache.kind, after, ends_initial_events=True))
            await watcher.catch_up()
            if isinstance(watcher, WaitingWatcher):
                await _until_first(watcher.finished(), watcher.pass_on(served.ready))
            else:
                await watcher.finished()
        except APIError as exc:
            writer.send_framed(output.error_event(exc.status))
        finally:
            cache.watchers.remove(watcher)

    return produce


async def _until_first(*work: Coroutine[Any, Any, None]) -> None:
    """Do both until one of them ends; raises what that raised."""
    tasks = list(map(asyncio.ensure_future, work))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send_items(writer: BodyWriter, watcher: Watcher, items: Sequence[Item], selected: Selected) -> None:
    for number, item in enumerate(items, 1):
        if selected.matches(item):
            watcher.send_item("ADDED", item)
        await _give_way(writer, number)


async def _give_way(writer: BodyWriter, number: int) -> None:
    """Let the client read what it was sent, and others have their turn after so many events."""
    if writer.buffered > DRAIN_BYTES:
        await writer.drain()
    elif number % EVENTS_A_SLICE == 0:
        await asyncio.sleep(0)


async def _send_past(writer: BodyWriter, watcher: Watcher, events: Iterable[Event], selected: Selected) -> None:
    for number, event in enumerate(events, 1):
        await _give_way(writer, number)
        namespace = (event.item or event.previous).namespace  # type: ignore[union-attr]
        if watcher.namespace not in ("", namespace):
            continue
        event_type = event.seen_by(selected.matches)
        if event_type:
            watcher.send_past(event_type, event)


def _expired(revision: int, oldest: int) -> dict[str, object]:
    return failure(410, "Expired", f"too old resource version: {revision} ({oldest})")
