"""PATCH: a change that is described, applied to the object as it is.

Source: k8s.io/apiserver/pkg/endpoints/handlers (patch.go).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
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
from hyperkube_machinery.schema import Schemas, WrongType
from hyperkube_machinery.serving.messages import Response

__all__ = ["Change", "change_of", "checked", "patch"]

Tree = dict[str, Any]
Change = Callable[[Tree], Tree]


async def patch(call: Call, served: Served, output: Output, now: str) -> Response:
    """Apply the patch in the body to the object that `call` names."""
    options = write_options(call.query, "PatchOptions")
    apply, duplicates = change_of(call, served.kind.definition, options.field_validation)
    resource = served.kind.resource

    def change(old: Tree) -> Tree:
        return checked(
            call,
            apply(old),
            definition=served.kind.definition,
            group_version=resource.api_version,
            kind=resource.kind,
            field_validation=options.field_validation,
            duplicates=duplicates,
        )

    written = await served.registry.update(
        call.info.name,
        change,
        write_context(call, now, dry_run=options.dry_run),
        call.warn,
        guard=call.guard,
        attempts=PATCH_ATTEMPTS,
    )
    return Response(200, output.single(served.kind, written.body))


def checked(
    call: Call,
    tree: Tree,
    *,
    definition: str,
    group_version: str,
    kind: str,
    field_validation: str,
    duplicates: list[str],
) -> Tree:
    """A patched object, held against its schema; raises 422 for one that the patch spoiled."""
    sent = copy.deepcopy(tree)
    try:
        warnings = check_tree(
            tree,
            Schemas.load().walker(definition),
            group_version=group_version,
            kind=kind,
            field_validation=field_validation,
            duplicates=duplicates,
        )
    except (WrongType, StrictError) as exc:
        raise _spoils(sent, str(exc)) from exc
    for text in warnings:
        call.warn(text)
    _check_name(tree, call.info.name)
    return tree


def change_of(call: Call, definition: str, field_validation: str) -> tuple[Change, list[str]]:
    """What the body asks for, as a function of the object, and the duplicate fields in it.

    Raises 415 for a patch of another kind, 400 for a body that is none.
    """
    media_type = call.header("content-type").partition(";")[0].strip()
    reader = _READERS.get(media_type)
    if reader is None:
        raise APIError.of(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    return reader(call.request.body, field_validation=field_validation)


_READERS = {
    "application/json-patch+json": json_patch.read,
    "application/merge-patch+json": merge_patch.read,
}


def _check_name(tree: Tree, name: str) -> None:
    given = meta.name(tree)
    if not given:
        raise APIError.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if given != name:
        raise APIError.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def _spoils(patched: Tree, why: str) -> APIError:
    error = FieldError.invalid("patch", encode(patched).decode(), why)
    return APIError.invalid("", "", "", [error])
