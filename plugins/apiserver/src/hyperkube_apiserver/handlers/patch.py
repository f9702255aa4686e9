"""PATCH: a change that is described, applied to the object as it is.

Source: k8s.io/apiserver/pkg/endpoints/handlers (patch.go).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers import apply
from hyperkube_apiserver.handlers.output import Output
from hyperkube_apiserver.handlers.write import check_name, write_context
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.parameters import write_options
from hyperkube_apiserver.registry.generic import LONG_BYTES, PATCH_ATTEMPTS
from hyperkube_machinery.decoding import StrictError, check_converted, check_tree
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError, FieldError
from hyperkube_machinery.fields import in_order
from hyperkube_machinery.patches import json as json_patch
from hyperkube_machinery.patches import merge as merge_patch
from hyperkube_machinery.patches import strategic as strategic_patch
from hyperkube_machinery.schema import Schemas, Walker, WrongType
from hyperkube_machinery.serving.messages import Response

if TYPE_CHECKING:
    from hyperkube_apiserver.crd.schema import CustomSchema

__all__ = ["Patch", "in_declared_order", "patch", "patch_type", "patched", "read_patch"]

_JSON = "application/json-patch+json"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_NOT_STRATEGIC = (
    "the body of the request was in an unknown format - accepted media types include: "
    f"{_JSON}, {_MERGE}, {apply.MEDIA_TYPE}"
)

T = TypeVar("T")
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch, read: what it makes of an object, and how that is held against the object's schema."""

    apply: Callable[[Tree], Tree]
    check: Callable[[Tree], list[str]]  # normalises in place, returns warnings; leaves alone what it raises for
    shown: Callable[[Tree], str]  # how a refusal shows the patched object, or the patch


async def patch(
    call: Call, served: Served, output: Output, now: str, *, may_create: Callable[[], Awaitable[None]] | None = None
) -> Response:
    """Apply the patch in the body to the object that `call` names.

    `may_create` refuses, by raising, to make an object that is not there, which only an apply of a whole one does.
    """
    media_type = patch_type(call, served.schema)
    options = write_options(call.query, "PatchOptions", applies=media_type == apply.MEDIA_TYPE)
    kind = served.kind
    context = write_context(call, now, options)
    if call.trail is not None:
        call.trail.sent_patch(call.request.body)
    if media_type == apply.MEDIA_TYPE:
        change = await _read(call, partial(apply.applying, call, served.registry.owners, kind, options, context))
        written = await served.registry.update(
            call.info.name,
            change,
            context,
            call.warn,
            on_create=may_create,
            guard=call.guard,
            attempts=PATCH_ATTEMPTS,
            owned=True,
            makes=True,
        )
        return Response(201 if written.created else 200, output.single(kind, written.body), output.content_type)
    if served.schema is not None:
        read = partial(_custom_change, call, media_type, served.schema, options.field_validation)
    else:
        read = partial(_change, call, media_type, kind, options.field_validation)
    change = await _read(call, read)
    written = await served.registry.update(
        call.info.name,
        change,
        context,
        call.warn,
        guard=call.guard,
        attempts=PATCH_ATTEMPTS,
    )
    return Response(200, output.single(kind, written.body), output.content_type)


async def _read(call: Call, read: Callable[[], T]) -> T:
    """What `read` makes of the body; of a long one in a thread."""
    return read() if len(call.request.body) < LONG_BYTES else await asyncio.to_thread(read)


def _change(call: Call, media_type: str, kind: Kind, field_validation: str) -> Callable[[Tree], Tree]:
    walker = Schemas.load().walker(kind.definition)
    asked = read_patch(call, media_type, walker, kind.resource.api_version, kind.resource.kind, field_validation)
    return lambda old: patched(call, asked, old, in_declared_order(walker))


def _custom_change(call: Call, media_type: str, schema: CustomSchema, field_validation: str) -> Callable[[Tree], Tree]:
    reader = json_patch if media_type == _JSON else merge_patch
    apply, found = reader.read(call.request.body, field_validation=field_validation)

    def check(tree: Tree) -> list[str]:
        return schema.check(tree, field_validation=field_validation, duplicates=found)

    asked = Patch(apply, check, lambda tree: encode(_sorted(tree)).decode())
    return lambda old: patched(call, asked, old, lambda tree: tree)


def _sorted(value: Any) -> Any:
    """`value` as Go writes a map."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return list(map(_sorted, value)) if isinstance(value, list) else value


def patch_type(call: Call, schema: CustomSchema | None = None) -> str:
    """The media type of the patch; raises 415 for one that is not applied here, whatever else is asked of it.

    `schema` is that of a custom resource: of those no strategy of merging is known.
    """
    media_type = call.header("content-type").partition(";")[0].strip()
    if schema is not None and media_type not in (_JSON, _MERGE, apply.MEDIA_TYPE):
        raise APIError.of(415, "UnsupportedMediaType", _NOT_STRATEGIC)
    if media_type not in (_JSON, _MERGE, _STRATEGIC, apply.MEDIA_TYPE):
        raise APIError.of(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    return media_type


def read_patch(
    call: Call, media_type: str, walker: Walker, group_version: str, kind: str, field_validation: str
) -> Patch:
    """Read the body as a patch of `media_type`, for an object of `kind`; raises 400 for a body that is none."""
    body = call.request.body
    if media_type == _STRATEGIC:
        apply, found = strategic_patch.read(body, walker.definition, field_validation=field_validation)

        def check_conversion(tree: Tree) -> list[str]:
            return check_converted(tree, walker, field_validation=field_validation, duplicates=found)

        return Patch(apply, check_conversion, lambda tree: strategic_patch.shown(body))
    if media_type == _JSON:
        apply, found = json_patch.read(body, field_validation=field_validation)
    else:
        apply, found = merge_patch.read(body, field_validation=field_validation)

    def check(tree: Tree) -> list[str]:
        return check_tree(
            tree,
            walker,
            group_version=group_version,
            kind=kind,
            field_validation=field_validation,
            duplicates=found,
        )

    return Patch(apply, check, lambda tree: encode(tree).decode())


def in_declared_order(walker: Walker) -> Callable[[Tree], Tree]:
    """What makes a tree what errors show: fields in the order of their declarations, and sets of fields in theirs."""

    def ordered(tree: Tree) -> Tree:
        made = walker.read(tree)[0]
        entries = made["metadata"].get("managedFields") or ()
        shown = [{**entry, "fieldsV1": in_order(entry["fieldsV1"])} for entry in entries]
        return {**made, "metadata": {**made["metadata"], "managedFields": shown}} if shown else made

    return ordered


def patched(call: Call, asked: Patch, old: Tree, shown: Callable[[Tree], Tree]) -> Tree:
    """`old` as the patch makes it, held against its schema; raises 422 for one that the patch spoiled.

    `shown` is what a refusal shows of `old`, to which the patch is then applied.
    """
    tree = asked.apply(old)
    try:
        warnings = asked.check(tree)
    except (WrongType, StrictError) as exc:
        error = FieldError.invalid("patch", asked.shown(asked.apply(shown(old))), str(exc))
        raise APIError.invalid("", "", "", [error]) from exc
    for text in warnings:
        call.warn(text)
    check_name(tree, call.info.name)
    return tree
