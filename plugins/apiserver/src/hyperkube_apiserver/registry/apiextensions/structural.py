"""Schemas whose structure can be read off without looking at values: what pruning, defaults and CEL need.

A schema is a tree of JSONSchemaProps. What stands under allOf, anyOf, oneOf and not may only restrict values, of
fields that are specified outside of them.
Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema (convert.go, validation.go, complete.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_apiserver.registry.apiextensions.sameness import same
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.patterns import PatternError, compile_pattern

__all__ = [
    "INT_OR_STRING",
    "is_structural",
    "items_of",
    "says_int_or_string",
    "sub_schemas",
    "unsupported",
    "validate_structural",
]

Tree = Mapping[str, Any]

_UNSUPPORTED = (*("id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions"),)
_JUNCTORS = ("anyOf", "allOf", "oneOf")
INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_EMPTY_WHERE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
# What may not stand in a nested schema, and what a cause says of it.
_ONLY_OUTSIDE = (
    ("default", "undefined"),
    ("title", "empty"),
    ("description", "empty"),
    ("nullable", "false"),
    ("x-kubernetes-preserve-unknown-fields", "false"),
    ("x-kubernetes-embedded-resource", "false"),
    ("x-kubernetes-int-or-string", "false"),
    ("x-kubernetes-list-map-keys", "empty"),
    ("x-kubernetes-list-type", "undefined"),
    ("x-kubernetes-map-type", "undefined"),
    ("x-kubernetes-validations", "empty"),
)


def unsupported(schema: Tree) -> str:
    """Why `schema` can't be read as a structural one at all, "" if it can."""
    for one in sub_schemas(schema):
        for name in _UNSUPPORTED:
            if one.get(name) or (name == "additionalItems" and one.get(name) is not None):
                return f"OpenAPIV3Schema '{name.removeprefix('$') if name == '$schema' else name}' is not supported"
        if one.get("x-kubernetes-preserve-unknown-fields") is False:
            return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined"
        if isinstance(one.get("items"), list) and one["items"]:
            return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    return ""


def is_structural(schema: Tree) -> bool:
    return not unsupported(schema) and not validate_structural(schema, "")


def sub_schemas(schema: Tree) -> Iterator[Tree]:
    """`schema` and every schema in it."""
    pending: list[Any] = [schema]
    while pending:
        one = pending.pop()
        if not isinstance(one, dict):
            continue
        yield one
        for name in ("items", "not", "additionalProperties", "additionalItems"):
            inner = one.get(name)
            pending += inner if isinstance(inner, list) else [inner]
        for name in _JUNCTORS:
            pending += one.get(name) or ()
        for name in ("properties", "patternProperties", "definitions", "dependencies"):
            pending += (one.get(name) or {}).values()


def items_of(schema: Tree) -> Tree | None:
    """The schema of a list's items, None if there is none; an empty list of schemas is none."""
    items = schema.get("items")
    return items if isinstance(items, dict) else None


def validate_structural(schema: Tree, path: str) -> list[FieldError]:
    """What keeps a schema that is supported from being structural, sorted by what is told."""
    errors = _invariants(schema, "root", path) + _completeness(schema, schema, path, path)
    return sorted(errors, key=lambda error: f"{error.field}: {error.message}")


def _invariants(schema: Tree, level: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    type_, items, others = schema.get("type") or "", items_of(schema), schema.get("additionalProperties")
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    preserves = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    properties = schema.get("properties") or {}
    if type_ == "array" and items is None:
        errors.append(FieldError.required(f"{path}.items", "must be specified"))
    if items is not None:
        errors += _invariants(items, "item", f"{path}.items")
    for name, inner in properties.items():
        errors += _invariants(inner, "field", f"{path}.properties[{name}]")
    if others is not None and level == "root":
        errors.append(FieldError.forbidden(f"{path}.additionalProperties", "must not be used at the root"))
    if isinstance(others, dict):
        errors += _invariants(others, "field", f"{path}.additionalProperties")
    errors += _extensions(schema, path)
    errors += _restrictions(schema, path, skips=_int_or_string_of(schema))
    errors += _type(schema, type_, level, path)
    if embedded and others is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        errors.append(FieldError.forbidden(f"{path}.additionalProperties", text))
    if level == "root" or embedded:
        for name in ("kind", "apiVersion"):
            if name in properties and properties[name].get("type") != "string":
                at = f"{path}.properties[{name}].type"
                errors.append(FieldError.invalid(at, properties[name].get("type") or "", "must be string"))
    if "metadata" in properties:
        at = f"{path}.properties[metadata]"
        errors += _metadata(properties["metadata"], level == "root", level == "root" or embedded, at)
    if embedded and not preserves and not properties:
        text = "must not be empty if x-kubernetes-embedded-resource is true without "
        errors.append(FieldError.required(f"{path}.properties", f"{text}x-kubernetes-preserve-unknown-fields"))
    return errors


def _type(schema: Tree, type_: str, level: str, path: str) -> list[FieldError]:
    at = f"{path}.type"
    errors: list[FieldError] = []
    if schema.get("x-kubernetes-embedded-resource") and type_ != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        errors.append(FieldError.invalid(at, type_, text) if type_ else FieldError.required(at, text))
    elif not (type_ or schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")):
        errors.append(FieldError.required(at, _EMPTY_WHERE[level]))
    if level == "root" and type_ not in ("", "object"):
        errors.append(FieldError.invalid(at, type_, "must be object at the root"))
    return errors


def _metadata(schema: Tree, at_root: bool, is_meta: bool, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if is_meta and schema.get("type") != "object":
        errors.append(FieldError.invalid(f"{path}.type", schema.get("type") or "", "must be object"))
    if at_root:
        properties = schema.get("properties") or {}
        rest = schema.keys() - {"type", "default", "properties"}
        if any(_is_set(schema[name]) for name in rest) or not properties.keys() <= {"name", "generateName"}:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            errors.append(FieldError.forbidden(path, text))
    return errors


def _is_set(value: Any) -> bool:
    return value is not None and value is not False and value not in ("", [], {})


def _extensions(schema: Tree, path: str) -> list[FieldError]:
    if not schema.get("x-kubernetes-int-or-string"):
        return []
    text = "must be false if x-kubernetes-int-or-string is true"
    return [
        FieldError.invalid(f"{path}.{name}", True, text)
        for name in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource")
        if schema.get(name)
    ]


def says_int_or_string(schema: Tree) -> bool:
    """Whether the two types of an int-or-string stand there as alternatives."""
    return bool(_int_or_string_of(schema))


def _int_or_string_of(schema: Tree) -> str:
    """Where the two types of an int-or-string may stand as an alternative, "" if they don't."""
    if same(schema.get("anyOf"), INT_OR_STRING):
        return "anyOf"
    all_of = schema.get("allOf") or ()
    return "allOf" if all_of and same(all_of[0].get("anyOf"), INT_OR_STRING) else ""


def _restrictions(schema: Tree, path: str, *, skips: str = "") -> list[FieldError]:
    errors: list[FieldError] = []
    for junctor in _JUNCTORS:
        if junctor == skips == "anyOf":
            continue
        for index, inner in enumerate(schema.get(junctor) or ()):
            skipped = "anyOf" if junctor == skips == "allOf" and index == 0 else ""
            errors += _nested(inner, f"{path}.{junctor}[{index}]", skips=skipped)
    if (inner := schema.get("not")) is not None:
        errors += _nested(inner, f"{path}.not")
    if pattern := schema.get("pattern"):
        try:
            compile_pattern(pattern)
        except PatternError as exc:
            text = f"must be a valid regular expression, but isn't: {exc}"
            errors.append(FieldError.invalid(f"{path}.pattern", pattern, text))
    return errors


def _nested(schema: Tree, path: str, *, skips: str = "") -> list[FieldError]:
    errors = _restrictions(schema, path, skips=skips)
    if (items := items_of(schema)) is not None:
        errors += _nested(items, f"{path}.items")
    properties = schema.get("properties") or {}
    for name, inner in properties.items():
        errors += _nested(inner, f"{path}.properties[{name}]")
    if schema.get("type"):
        errors.append(FieldError.forbidden(f"{path}.type", "must be empty to be structural"))
    if schema.get("additionalProperties") not in (None, False):
        errors.append(FieldError.forbidden(f"{path}.additionalProperties", "must be undefined to be structural"))
    for name, wanted in _ONLY_OUTSIDE:
        value = schema.get(name)
        if value is not None if wanted == "undefined" else value:
            errors.append(FieldError.forbidden(f"{path}.{name}", f"must be {wanted} to be structural"))
    if "metadata" in properties:
        text = "must not be specified in a nested context"
        errors.append(FieldError.forbidden(f"{path}.properties[metadata]", text))
    return errors


def _completeness(restricted: Tree, schema: Tree, path: str, at: str) -> list[FieldError]:
    """What the restrictions in `restricted`, at `at`, speak of though `schema`, at `path`, doesn't specify it."""
    errors: list[FieldError] = []
    if (inner := restricted.get("not")) is not None:
        errors += _nested_completeness(inner, schema, path, f"{at}.not")
    for junctor in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(restricted.get(junctor) or ()):
            errors += _nested_completeness(inner, schema, path, f"{at}.{junctor}[{index}]")
    return errors


def _nested_completeness(restricted: Tree, schema: Tree | None, path: str, at: str) -> list[FieldError]:
    if schema is None:
        return [FieldError.required(path, f"because it is defined in {at}")]
    errors = _completeness(restricted, schema, path, at)
    if (items := items_of(restricted)) is not None:
        errors += _nested_completeness(items, items_of(schema), f"{path}.items", f"{at}.items")
    properties = schema.get("properties") or {}
    for name, inner in (restricted.get("properties") or {}).items():
        where = f".properties[{name}]"
        errors += _nested_completeness(inner, properties.get(name), f"{path}{where}", f"{at}{where}")
    return errors
