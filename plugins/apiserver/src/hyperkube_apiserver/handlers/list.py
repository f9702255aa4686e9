"""LIST: a collection, whole or page by page, as of one revision.

A page after the first is read at the revision of the first: from the cache while nothing of the resource has changed
since, else from the store's history.
Source: k8s.io/apiserver/pkg/storage (continue, etcd3/store), cacher/delegator.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers.continuation import decode_token, encode_token
from hyperkube_apiserver.handlers.listing import Listing
from hyperkube_apiserver.handlers.output import Output
from hyperkube_apiserver.parameters import ListOptions, list_options
from hyperkube_apiserver.selection import Selected, select
from hyperkube_apiserver.versions import fresh_enough, invalid_version, parse_version, too_large
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery.errors import APIError, failure
from hyperkube_machinery.serving.messages import Response
from hyperkube_machinery.storage.interface import Compacted, Entry, FutureRevision, Revision

__all__ = ["list_collection", "read_list"]

_STORE_PAGE = 500


async def list_collection(call: Call, served: Served, hub: Hub, output: Output) -> Response:
    """The objects of a collection that `call` asks for."""
    options = list_options(call.query, watch=False)
    selected = select(served.registry.strategy, options.label_selector, options.field_selector)
    listing = await read_list(served, hub, call.namespace, options, selected)
    await served.ready(listing.items)
    return Response(200, await output.listing(served.kind, listing), output.content_type)


async def read_list(served: Served, hub: Hub, namespace: str, options: ListOptions, selected: Selected) -> Listing:
    """Read what `options` ask for; raises 400, 410 and 504 as the API does."""
    limit = max(options.limit, 0)
    if options.continue_token:
        return await _continued(served, hub, namespace, options, selected, limit)
    text = options.resource_version
    if not text:
        await hub.fresh()
        return await _from_cache(served, hub.revision, namespace, selected, limit)
    revision = parse_version(text)
    if revision is None:
        raise APIError.bad_request("invalid resource version: " + invalid_version(text))
    exact = options.resource_version_match == "Exact"
    if revision and (exact or (limit and not options.resource_version_match)):
        return await _at(served, hub, namespace, selected, limit, Revision(revision))
    await fresh_enough(hub, revision)
    if not revision:  # as upstream's cache
        limit = 0
    return await _from_cache(served, hub.revision, namespace, selected, limit)


async def _from_cache(
    served: Served, revision: int, namespace: str, selected: Selected, limit: int, after: str = ""
) -> Listing:
    cache, traffic = served.cache, served.cache.traffic
    traffic.listed += 1
    if not limit or not selected.empty:
        state = cache.snapshot(namespace, after=after)  # of one moment, to be looked at at leisure
        found = await selected.among(state, limit)
        traffic.returned += len(found)
        if not limit or len(found) < limit:
            traffic.fetched += len(state)
            return Listing(found, revision)
        # What follows is counted, not looked at: a page may be followed by an empty one.
        remaining = len(state) - bisect_right(state, found[-1].key, key=_key)
        traffic.fetched += len(state) - remaining
        return _page(served, namespace, selected, found, revision, remaining)
    items = list(islice(cache.items(namespace, after=after), limit))
    traffic.fetched += len(items)
    traffic.returned += len(items)
    remaining = cache.count(namespace, after=items[-1].key) if len(items) == limit else 0
    return _page(served, namespace, selected, items, revision, remaining)


def _key(item: Item) -> str:
    return item.key


async def _at(
    served: Served, hub: Hub, namespace: str, selected: Selected, limit: int, revision: Revision, after: str = ""
) -> Listing:
    """A list at an exact revision."""
    if revision <= hub.revision and served.cache.last_revision <= revision:
        return await _from_cache(served, revision, namespace, selected, limit, after)
    try:
        return await _from_store(served, hub, namespace, selected, limit, revision, after)
    except FutureRevision as exc:
        raise too_large(exc.revision, exc.current) from exc
    except Compacted as exc:
        if after:
            raise _too_old_to_continue(served, namespace, after) from exc
        raise APIError.expired("The resourceVersion for the provided list is too old.") from exc


async def _from_store(
    served: Served, hub: Hub, namespace: str, selected: Selected, limit: int, revision: Revision, after: str
) -> Listing:
    prefix = served.kind.prefix(namespace)
    items: list[Item] = []
    while True:
        page = await hub.store.range(prefix, after=after, limit=_STORE_PAGE, revision=revision)
        found = await selected.known([_item(served, entry) for entry in page.entries])
        for index, item in enumerate(found):
            if not selected.matches(item):
                continue
            items.append(item)
            if len(items) == limit:
                remaining = page.remaining + len(page.entries) - index - 1
                return _page(served, namespace, selected, items, revision, remaining)
        if not page.remaining:
            return Listing(items, revision)
        after = page.entries[-1].key


def _item(served: Served, entry: Entry) -> Item:
    return served.cache.item_of(entry)


def _page(
    served: Served, namespace: str, selected: Selected, items: Sequence[Item], revision: int, remaining: int
) -> Listing:
    if not remaining:
        return Listing(items, revision)
    token = encode_token(items[-1].key, served.kind.prefix(namespace), revision)
    return Listing(items, revision, token, remaining if selected.empty else None)


async def _continued(
    served: Served, hub: Hub, namespace: str, options: ListOptions, selected: Selected, limit: int
) -> Listing:
    if options.resource_version not in ("", "0"):
        raise APIError.bad_request("specifying resource version is not allowed when using continue")
    try:
        after, revision = decode_token(options.continue_token, served.kind.prefix(namespace))
    except ValueError as exc:
        raise APIError.bad_request(f"invalid continue token: {exc}") from exc
    await hub.fresh()
    if revision < 0:  # a token that goes on in the state of the moment, given out when its revision was gone
        return await _from_cache(served, hub.revision, namespace, selected, limit, after)
    return await _at(served, hub, namespace, selected, limit, Revision(revision), after)


def _too_old_to_continue(served: Served, namespace: str, after: str) -> APIError:
    status = failure(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
    status["metadata"] = {"continue": encode_token(after, served.kind.prefix(namespace), -1)}
    return APIError(status)
