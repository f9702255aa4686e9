"""POST, PUT, PATCH and DELETE of objects."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers.list import read_list
from hyperkube_apiserver.handlers.listing import Listing
from hyperkube_apiserver.handlers.output import Output
from hyperkube_apiserver.handlers.useragent import manager_of
from hyperkube_apiserver.parameters import DeleteOptions, WriteOptions, delete_options, list_options, write_options
from hyperkube_apiserver.registry.generic import LONG_BYTES
from hyperkube_apiserver.registry.meta import drop_double_owners
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.selection import select
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_machinery import meta
from hyperkube_machinery.decoding import decode, read_object
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.schema import Schemas, WrongType
from hyperkube_machinery.serving.messages import Response

__all__ = ["check_name", "create", "delete", "delete_collection", "update", "write_context"]

AT_A_TIME = 64
"""How many objects of a collection are deleted at once: they share commits."""

_ALL = sys.maxsize
"""A limit that is none: upstream deletes page by page, and a page is of the very version that is asked for."""
_INTERNAL = "meta.k8s.io/__internal"
"""The version by which auditors know such options."""
_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"

Tree = dict[str, Any]


async def create(call: Call, served: Served, output: Output, now: str) -> Response:
    """Store the object in the body."""
    options = write_options(call.query, "CreateOptions")
    tree = await _read(call, served, options.field_validation)
    _tell(call, served, tree)
    written = await served.registry.create(tree, write_context(call, now, options), call.warn, guard=call.guard)
    return Response(201, output.single(served.kind, written.body), output.content_type)


async def update(
    call: Call, served: Served, output: Output, now: str, *, may_create: Callable[[], Awaitable[None]] | None = None
) -> Response:
    """Replace an object, or its part that the subresource names.

    `may_create` refuses, by raising, to make an object that is not there; without it none is made.
    """
    options = write_options(call.query, "UpdateOptions")
    tree = await _read(call, served, options.field_validation)
    check_name(tree, call.info.name)
    _tell(call, served, tree)
    read = [tree]

    def replaced(old: Tree) -> Tree:
        # Writing changes the tree; few writes are late and need another, which costs less to read than to copy.
        return read.pop() if read else _object(call, served, options.field_validation)

    uid = meta.uid(tree)
    written = await served.registry.update(
        call.info.name,
        replaced,
        write_context(call, now, options),
        call.warn,
        uid=uid,
        on_create=may_create,
        guard=call.guard,
    )
    return Response(201 if written.created else 200, output.single(served.kind, written.body), output.content_type)


async def delete(call: Call, served: Served, output: Output, now: str) -> Response:
    """Delete one object."""
    options = _delete_options(call, served)
    written = await served.registry.delete(call.info.name, options, write_context(call, now, options), call.warn)
    if written.removed and not served.registry.strategy.answers_deleted_object:
        return Response(200, encode(_gone(served, written.body)))
    accepted = not written.removed and options.orphan_dependents is False
    return Response(202 if accepted else 200, output.single(served.kind, written.body), output.content_type)


async def delete_collection(call: Call, served: Served, hub: Hub, output: Output, now: str) -> Response:
    """Delete every object of a collection that the selectors match; the answer lists them as they were."""
    wanted = list_options(call.query, watch=False)
    if not wanted.limit:
        wanted = replace(wanted, limit=_ALL)
    selected = select(served.registry.strategy, wanted.label_selector, wanted.field_selector)
    options = _delete_options(call, served)
    context = replace(write_context(call, now, options), in_collection=True)
    listing: Listing = await read_list(served, hub, call.namespace, wanted, selected)
    items = list(listing.items)
    for start in range(0, len(items), AT_A_TIME):
        results = await asyncio.gather(
            *(
                served.registry.delete(item.name, options, context, call.warn)
                for item in items[start : start + AT_A_TIME]
            ),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException) and not (isinstance(result, APIError) and result.code == 404):
                raise result
    await served.ready(listing.items)
    return Response(200, await output.listing(served.kind, listing), output.content_type)


def _tell(call: Call, served: Served, tree: Tree) -> None:
    """Tell auditors, if there are any, what was sent."""
    if call.trail is not None:
        # What is stored as another version gets its defaults as that.
        call.trail.sent(tree, served.registry.strategy.default if served.version is None else None)


async def _read(call: Call, served: Served, field_validation: str) -> Tree:
    """The object in the body; a long one is read in a thread."""
    if len(call.request.body) < LONG_BYTES:
        return _object(call, served, field_validation)
    return await asyncio.to_thread(_object, call, served, field_validation)


def _object(call: Call, served: Served, field_validation: str) -> Tree:
    resource, schema = served.kind.resource, served.schema
    if schema is not None:
        tree, warnings = schema.read(call.request.body, call.header("content-type"), field_validation)
    else:
        tree, warnings = read_object(
            call.request.body,
            call.header("content-type"),
            Schemas.load().walker(served.kind.definition),
            group_version=resource.api_version,
            kind=resource.kind,
            field_validation=field_validation,
        )
    for text in warnings:
        call.warn(text)
    drop_double_owners(tree, call.warn)
    return tree


def write_context(
    call: Call, now: str, options: WriteOptions | DeleteOptions, *, subresource: str | None = None
) -> WriteContext:
    """What the registry is told of the request."""
    manager = options.field_manager if isinstance(options, WriteOptions) else ""
    return WriteContext(
        now=now,
        identity=call.identity,
        manager=manager or manager_of(call.header("user-agent")),
        namespace=call.namespace,
        verb=call.info.verb,
        subresource=call.info.subresource if subresource is None else subresource,
        dry_run=options.dry_run,
        ends=call.ends,
        options=options.shown,
        warn=call.warn,
        annotate=call.annotate,
    )


def check_name(tree: Tree, name: str) -> None:
    """Raise 400 unless the object has the name in its path."""
    given = meta.name(tree)
    if not given:
        raise APIError.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if given != name:
        raise APIError.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def _delete_options(call: Call, served: Served) -> DeleteOptions:
    """The options of a deletion, from its body or its query."""
    if not call.request.body:
        return delete_options(call.query, None)
    tree = decode(call.request.body, call.header("content-type"))
    kind, version = tree.get("kind", "DeleteOptions"), tree.get("apiVersion", "v1")
    if kind != "DeleteOptions":
        raise APIError.bad_request(
            f'no kind "{kind}" is registered for version "{version}" in scheme '
            '"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"'
        )
    try:
        Schemas.load().walker(_DELETE_OPTIONS).walk(tree)
    except WrongType as exc:
        raise APIError.bad_request(str(exc)) from exc
    if call.trail is not None:
        call.trail.sent({**tree, "kind": "DeleteOptions", "apiVersion": _INTERNAL})
    return delete_options({}, tree)


def _gone(served: Served, body: bytes) -> Tree:
    """The Status that tells of a deletion, so that a client can tell that it took place."""
    metadata = decode_body(body)["metadata"]
    resource = served.kind.resource
    details = {"name": metadata["name"], "group": resource.group, "kind": resource.resource, "uid": metadata["uid"]}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
