"""Bodies to custom resources: read, pruned, and given their defaults, or refused in the API server's words.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver (customresource_handler.go: schemaCoercingDecoder and
unstructuredSchemaCoercer), k8s.io/apimachinery/pkg/apis/meta/v1/unstructured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyperkube_apiserver.registry.apiextensions.gonumbers import as_read, as_written, may_be_long
from hyperkube_machinery.decoding import (
    JSON,
    PROTOBUF,
    YAML,
    YAML_ERRORS,
    BadBody,
    cannot_be_handled,
    judge,
    keep_reset,
    media_type_of,
    parse_object,
    told_kind,
    unrecognized,
)
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.jsontext import overflowing
from hyperkube_machinery.schema import WrongType
from hyperkube_machinery.schema.exact import type_error

__all__ = ["missing_kind", "read_custom"]

Tree = dict[str, Any]
Coerce = Callable[[Tree, list[str]], Tree]
"""Makes a tree that was read what its schema has it be; the paths of unknown fields go to the list."""

_ACCEPTED = "application/json, application/yaml"


def read_custom(
    body: bytes, media_type: str, coerce: Coerce, *, group_version: str, kind: str, field_validation: str
) -> tuple[Tree, list[str]]:
    """The object in a body, coerced, and the texts of warnings. Raises APIError 400 or 415."""
    media = media_type_of(media_type)
    if media == PROTOBUF:
        raise APIError.of(
            415,
            "UnsupportedMediaType",
            f"the body of the request was in an unknown format - accepted media types include: {_ACCEPTED}",
        )
    try:
        decoded = parse_object(body, media)
        told_kind(decoded.tree if decoded.exact is None else decoded.exact, group_version, kind)
    except (BadBody, WrongType) as error:
        raise unrecognized(kind, str(error), body) from None
    tree: Tree = decoded.tree
    if media != JSON:  # it becomes JSON first
        tree = as_written(tree)
    elif may_be_long(body):
        tree = as_read(tree)
    number = overflowing(body) if media == JSON else ""
    sent_version, sent_kind = tree.get("apiVersion") or "", tree.get("kind") or ""
    if not sent_kind:
        why = missing_kind(body.decode("utf-8", "replace"))
        if field_validation == "Ignore":
            raise cannot_be_handled(kind, group_version, kind, why)
        raise unrecognized(kind, why, body)
    unknown: list[str] = []
    try:
        if number:
            raise WrongType(type_error(f"number {number}", "float64"))
        normal = coerce(tree, unknown)
    except WrongType as error:
        raise cannot_be_handled(sent_kind, sent_version, kind, str(error)) from None
    keep_reset(tree, normal)
    findings = [f'unknown field "{path}"' for path in unknown]
    if media == YAML and decoded.duplicates and field_validation == "Strict":
        findings.insert(0, YAML_ERRORS + "\n  ".join(["", *decoded.duplicates]))
    else:
        findings = [*decoded.duplicates, *findings]
    warnings = judge(findings, sent_version, sent_kind, field_validation)
    if sent_version != group_version:
        raise APIError.bad_request(
            f"the API version in the data ({sent_version}) does not match the expected API version ({group_version})"
        )
    return normal, warnings


def missing_kind(text: str) -> str:
    """The complaint about an object that does not tell its kind."""
    return f"Object 'Kind' is missing in '{text}'"
