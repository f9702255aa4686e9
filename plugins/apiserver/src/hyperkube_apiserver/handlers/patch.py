"""PATCH: a change that is described, applied to the object as it is.

Source: k8s.io/apiserver/pkg/endpoints/handlers (patch.go).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.call import Call, Served
from hyperkube_apiserver.handlers.output import Output
from hyperkube_apiserver.handlers.write import write_context
from hyperkube_apiserver.parameters import write_options
from hyperkube_apiserver.registry.generic import PATCH_ATTEMPTS
from hyperkube_machinery import meta
from hyperkube_machinery.decoding import StrictError, check_tree
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError, FieldError
from hyperkube_machinery.patches import json as json_patch
from hyperkube_machinery.patches import merge as merge_patch
from hyperkube_machinery.patches import strategic as strategic_patch
from hyperkube_machinery.schema import Schemas, WrongType
from hyperkube_machinery.serving.messages import Response

__all__ = ["Patch", "patch", "patched", "read_patch"]

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch, read: what it makes of an object, and how a refusal of what it made shows it."""

    apply: Callable[[Tree], Tree]
    duplicates: list[str]
    shown: Callable[[Tree], str]


async def patch(call: Call, served: Served, output: Output, now: str) -> Response:
    """Apply the patch in the body to the object that `call` names."""
    options = write_options(call.query, "PatchOptions")
    kind = served.kind
    asked = read_patch(call, kind.definition, options.field_validation)
    group_version = kind.resource.api_version

    def change(old: Tree) -> Tree:
        return patched(call, asked, old, kind.definition, group_version, kind.resource.kind, options.field_validation)

    written = await served.registry.update(
        call.info.name,
        change,
        write_context(call, now, dry_run=options.dry_run),
        call.warn,
        guard=call.guard,
        attempts=PATCH_ATTEMPTS,
    )
    return Response(200, output.single(kind, written.body))


def read_patch(call: Call, definition: str, field_validation: str) -> Patch:
    """Read the body as what its media type says.

    Raises 415 for a patch of another kind, 400 for a body that is none.
    """
    body = call.request.body
    match call.header("content-type").partition(";")[0].strip():
        case "application/json-patch+json":
            return Patch(*json_patch.read(body, field_validation=field_validation), _as_json)
        case "application/merge-patch+json":
            return Patch(*merge_patch.read(body, field_validation=field_validation), _as_json)
        case "application/strategic-merge-patch+json":
            read = strategic_patch.read(body, definition, field_validation=field_validation)
            return Patch(*read, lambda tree: strategic_patch.shown(body))
    raise APIError.of(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def patched(
    call: Call, asked: Patch, old: Tree, definition: str, group_version: str, kind: str, field_validation: str
) -> Tree:
    """`old` as the patch makes it, held against its schema; raises 422 for one that the patch spoiled."""
    tree = asked.apply(old)
    sent = copy.deepcopy(tree)
    try:
        warnings = check_tree(
            tree,
            Schemas.load().walker(definition),
            group_version=group_version,
            kind=kind,
            field_validation=field_validation,
            duplicates=asked.duplicates,
        )
    except (WrongType, StrictError) as exc:
        error = FieldError.invalid("patch", asked.shown(sent), str(exc))
        raise APIError.invalid("", "", "", [error]) from exc
    for text in warnings:
        call.warn(text)
    _check_name(tree, call.info.name)
    return tree


def _as_json(tree: Tree) -> str:
    return encode(tree).decode()


def _check_name(tree: Tree, name: str) -> None:
    given = meta.name(tree)
    if not given:
        raise APIError.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if given != name:
        raise APIError.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
