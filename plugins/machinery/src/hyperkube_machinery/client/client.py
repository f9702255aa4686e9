"""The client: what may be asked of an API server, as plain trees."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

from hyperkube_machinery import meta
from hyperkube_machinery.client.paths import path_of, query_of
from hyperkube_machinery.client.refusals import error_of
from hyperkube_machinery.client.requests import Requester
from hyperkube_machinery.client.transport import ClientError, RawResponse
from hyperkube_machinery.client.watching import WatchEvent, WatchStream
from hyperkube_machinery.encoding import encode, encode_as_go
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.resources import Resource

__all__ = ["Client", "Listing", "PatchKind"]

Tree: TypeAlias = dict[str, Any]
PatchKind: TypeAlias = Literal["merge", "strategic", "json", "apply"]

_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",  # which JSON is
}
_METADATA = ";g=meta.k8s.io;v=v1,application/json"

PAGE_ITEMS = 500  # Source: k8s.io/client-go/tools/pager/pager.go

_WATCH_LEEWAY_SECONDS = 30.0
"""For a server that is late to end a watch as it was asked to."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects at one moment."""

    items: list[Tree]  # each with its apiVersion and kind
    resource_version: str
    continue_token: str = ""  # where there are more, which only who asked for a limit finds
    remaining: int | None = None  # how many more, if the server says so


class Client:
    """Everything here raises APIError for what the server refuses, and Unreachable where no answer comes.

    Refusals that ask to try again are tried again first, for some time; see `Requester`. What is returned is the
    caller's own.
    """

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._discovery: dict[str, tuple[str, Tree]] = {}  # by path, with the tag of what was told last

    @property
    def server(self) -> str:
        """Where the API server is, as its kubeconfig says."""
        return self._requester.server

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "", resource_version: str = ""
    ) -> Tree:
        target = path_of(resource, namespace, _named(name), subresource)
        return await self._tree("GET", target + query_of((("resourceVersion", resource_version),)))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        limit: int = 0,
        continue_token: str = "",
        metadata_only: bool = False,
    ) -> Listing:
        """All objects, whose pages are followed; or with `limit` the first page of so many.

        `resource_version` is the least that the answer may show: "" for the latest, "0" for any.
        """
        selection = (("labelSelector", labels), ("fieldSelector", fields), ("resourceVersion", resource_version))
        path, accept = path_of(resource, namespace), _accept(metadata_only, "PartialObjectMetadataList")
        if limit:
            window = (("limit", str(limit)), ("continue", continue_token))
            return _listing(resource, await self._tree("GET", path + query_of((*selection, *window)), accept))
        # A server that may answer from its cache has no pages.
        size = "" if resource_version == "0" else str(PAGE_ITEMS)
        page = _listing(resource, await self._tree("GET", path + query_of((*selection, ("limit", size))), accept))
        items = page.items
        while page.continue_token:
            window = (("limit", size), ("continue", page.continue_token))
            try:
                page = _listing(resource, await self._tree("GET", path + query_of((*selection[:2], *window)), accept))
            except APIError as exc:
                if exc.code != 410:
                    raise
                # The pages are from so long ago that the server has forgotten. Source: pager.go, FullListIfExpired.
                page = _listing(resource, await self._tree("GET", path + query_of(selection), accept))
                items = []
            items += page.items
        return Listing(items, page.resource_version)

    async def create(
        self,
        resource: Resource,
        obj: Tree,
        namespace: str = "",
        *,
        name: str = "",
        subresource: str = "",
        dry_run: bool = False,
        field_manager: str = "",
    ) -> Tree:
        """`name` is for a subresource, such as a pod's binding."""
        path = path_of(resource, namespace or meta.namespace(obj), name, subresource)
        query = query_of((("dryRun", "All" if dry_run else ""), ("fieldManager", field_manager)))
        return await self._tree("POST", path + query, body=encode_as_go(obj))

    async def replace(
        self, resource: Resource, obj: Tree, *, subresource: str = "", dry_run: bool = False, field_manager: str = ""
    ) -> Tree:
        """Write `obj` over the one of its name; refused with 409 if that has changed since `obj` was read."""
        path = path_of(resource, meta.namespace(obj), _named(meta.name(obj)), subresource)
        query = query_of((("dryRun", "All" if dry_run else ""), ("fieldManager", field_manager)))
        return await self._tree("PUT", path + query, body=encode_as_go(obj))

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Tree | Sequence[Tree],
        namespace: str = "",
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Tree:
        """`apply` needs a `field_manager`; with `force` it takes fields that are others'."""
        query = query_of(
            (
                ("fieldManager", field_manager),
                ("force", "true" if force else ""),
                ("dryRun", "All" if dry_run else ""),
            )
        )
        path = path_of(resource, namespace, _named(name), subresource)
        return await self._tree("PATCH", path + query, body=encode_as_go(patch), content_type=_PATCH_TYPES[kind])

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_seconds: int | None = None,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "",
    ) -> Tree:
        """The object as it was, or while it waits for its end; a `Status` for some kinds.

        With `uid` or `resource_version` it is refused with 409 if it is another than this one.
        """
        options: Tree = {}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation:
            options["propagationPolicy"] = propagation
        if uid or resource_version:
            wanted = {"uid": uid, "resourceVersion": resource_version}
            options["preconditions"] = {key: value for key, value in wanted.items() if value}
        return await self._tree("DELETE", path_of(resource, namespace, _named(name)), body=_delete_options(options))

    async def delete_collection(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "", propagation: str = ""
    ) -> Tree:
        query = query_of((("labelSelector", labels), ("fieldSelector", fields)))
        body = _delete_options({"propagationPolicy": propagation} if propagation else {})
        return await self._tree("DELETE", path_of(resource, namespace) + query, body=body)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        labels: str = "",
        fields: str = "",
        initial_events: bool = False,
        bookmarks: bool = True,
        timeout_seconds: int = 0,
        metadata_only: bool = False,
    ) -> AsyncIterator[WatchEvent]:
        """Changes later than `resource_version`, until the server ends the watch, as it does from time to time.

        With `initial_events` what is there comes first, as ADDED, and then a BOOKMARK that is annotated
        `k8s.io/initial-events-end`. Raises APIError 410 where history that far back is gone.
        """
        stream = await self.open_watch(
            resource,
            namespace,
            resource_version=resource_version,
            labels=labels,
            fields=fields,
            initial_events=initial_events,
            bookmarks=bookmarks,
            timeout_seconds=timeout_seconds,
            metadata_only=metadata_only,
        )
        try:
            while events := await stream.batch():
                for event in events:
                    yield event
        finally:
            stream.close()

    async def open_watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str = "",
        labels: str = "",
        fields: str = "",
        initial_events: bool = False,
        bookmarks: bool = True,
        timeout_seconds: int = 0,
        metadata_only: bool = False,
    ) -> WatchStream:
        """The same in batches, which costs less."""
        query = query_of(
            (
                ("watch", "true"),
                ("resourceVersion", resource_version),
                ("labelSelector", labels),
                ("fieldSelector", fields),
                ("allowWatchBookmarks", "true" if bookmarks else ""),
                ("sendInitialEvents", "true" if initial_events else ""),
                ("resourceVersionMatch", "NotOlderThan" if initial_events else ""),
                ("timeoutSeconds", str(timeout_seconds) if timeout_seconds else ""),
            )
        )
        incoming = await self._requester.open(
            "GET",
            path_of(resource, namespace) + query,
            [("accept", _accept(metadata_only, "PartialObjectMetadata"))],
            seconds=timeout_seconds + _WATCH_LEEWAY_SECONDS if timeout_seconds else 0.0,
        )
        return WatchStream(incoming)

    async def discover(self) -> Sequence[Resource]:
        """What the server serves, each resource in its preferred version."""
        from hyperkube_machinery.client.discovery import ACCEPT, resources_of  # few ask

        core = await self._discovered("/api", ACCEPT)
        groups = await self._discovered("/apis", ACCEPT)
        return resources_of(core, groups)

    async def _discovered(self, path: str, accept: str) -> Tree:
        """A document of discovery, which is sent again only if it changed: some ask for it every few seconds."""
        tag, known = self._discovery.get(path, ("", {}))
        headers = [("accept", accept), ("if-none-match", tag)] if tag else [("accept", accept)]
        response = await self._requester.ask("GET", path, headers)
        if tag and response.status == 304:
            return known
        if response.status >= 300:
            raise error_of(response)
        tree = _decoded(response.body, f"GET {path}")
        if tag := response.headers.get("etag", ""):
            self._discovery[path] = tag, tree
        return tree

    async def raw(
        self, method: str, target: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> RawResponse:
        """Whatever the server answers, refusals included; only Unreachable is raised."""
        return await self._requester.ask(method, target, headers, body)

    async def _tree(
        self,
        method: str,
        target: str,
        accept: str = "application/json",
        *,
        body: bytes = b"",
        content_type: str = "application/json",
    ) -> Tree:
        headers = [("accept", accept)]
        if body:
            headers.append(("content-type", content_type))
        response = await self._requester.succeed(method, target, headers, body)
        return _decoded(response.body, f"{method} {target}")


def _decoded(body: bytes, asked: str) -> Tree:
    try:
        tree: Tree = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise ClientError(f"{asked}: the answer is not JSON ({exc})") from exc
    return tree


def _named(name: str) -> str:
    if not name:
        raise ValueError("resource name may not be empty")
    return name


def _accept(metadata_only: bool, kind: str) -> str:
    return f"application/json;as={kind}{_METADATA}" if metadata_only else "application/json"


def _delete_options(options: Tree) -> bytes:
    return encode({"kind": "DeleteOptions", "apiVersion": "v1", **options}) if options else b""


def _listing(resource: Resource, tree: Tree) -> Listing:
    items: list[Tree] = tree.get("items") or []
    version, kind = resource.api_version, resource.kind
    for item in items:  # the items of a list leave out what all have in common
        item.setdefault("apiVersion", version)
        item.setdefault("kind", kind)
    about = meta.metadata(tree)
    return Listing(
        items, about.get("resourceVersion") or "", about.get("continue") or "", about.get("remainingItemCount")
    )
