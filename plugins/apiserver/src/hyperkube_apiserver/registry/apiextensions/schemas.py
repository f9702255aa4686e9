"""Schemas of custom resources, rules included.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hyperkube_apiserver.registry.apiextensions.defaultvalues import validate_defaults
from hyperkube_apiserver.registry.apiextensions.fieldpaths import FieldPathError, follow
from hyperkube_apiserver.registry.apiextensions.internalform import shown_schema
from hyperkube_apiserver.registry.apiextensions.listtypes import validate_list_and_map_type, validate_map_keys
from hyperkube_apiserver.registry.apiextensions.structural import sub_schemas, unsupported, validate_structural
from hyperkube_machinery.errors import FieldError

__all__ = ["TYPES", "Leniency", "validate_schema"]

Tree = Mapping[str, Any]

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_AT_STATUS_ROOT = (
    *("Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum"),
    *("MaxLength", "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required", "Items"),
    *("Properties", "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations"),
)
_IF_STATUS = "at the root of the schema if the status subresource is enabled"
_META = ("metadata", "kind", "apiVersion")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leniency:
    """What is not asked of a definition because the stored one does not come up to it either."""

    schemas: bool = False  # versions may have none
    types: bool = False  # may be unknown ones
    structure: bool = False
    defaults: bool = False  # may hold unknown fields
    sets: bool = False  # of what is not atomic
    map_keys: bool = False  # may be absent


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a schema stands."""

    in_meta: bool = False
    no_defaults: str | None = None  # why there may be no default, after "must not be set"


def validate_schema(
    schema: Tree, path: str, leniency: Leniency, *, has_status: bool, limits_rules: bool = True
) -> list[FieldError]:
    """What is wrong with the schema of a version that has a status subresource, or has not.

    Without `limits_rules` a rule may cost what it likes, as one may that the same schema was stored with.
    """
    errors = _validate_status_root(schema, path) if has_status else []
    if schema.get("nullable"):
        errors.append(FieldError.forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    why, has_structure = "", False
    if not leniency.structure:
        why = unsupported(schema)
        if not why:
            faults = validate_structural(schema, path) or validate_defaults(schema, path, pruned=not leniency.defaults)
            has_structure = not faults
            errors += faults
    faults = _Checker(leniency).check(schema, path, _Place(), is_root=True)
    errors += faults
    if has_structure and any(one.get("x-kubernetes-validations") for one in sub_schemas(schema)):
        from hyperkube_apiserver.crd.rules.definition import validate_rules  # few need CEL

        errors += validate_rules(schema, path, faults, limits_rules=limits_rules)
    return errors or ([FieldError.invalid(path, "", why)] if why else [])


def _validate_status_root(schema: Tree, path: str) -> list[FieldError]:
    """The schema of the status must say all there is to say of it."""
    shown = shown_schema(schema)
    for field, value in shown.items():
        if value in (None, "", False) and not (value == 0 and value is not False):
            continue
        if field == "Type":
            if value != "object":
                text = f'only "object" is allowed as the type {_IF_STATUS}'
                return [FieldError.invalid(f"{path}.type", value, text)]
        elif field not in _AT_STATUS_ROOT:
            allowed = f"[{' '.join(_AT_STATUS_ROOT)}]"
            text = f"only {allowed} fields are allowed {_IF_STATUS}"
            return [FieldError.invalid(path, shown, text)]
    return []


class _Checker:
    def __init__(self, leniency: Leniency) -> None:
        self._leniency = leniency

    def check(self, schema: Any, path: str, place: _Place, *, is_root: bool = False) -> list[FieldError]:
        if not isinstance(schema, dict):
            return []
        errors = self._supported(schema, path, place)
        if schema.get("uniqueItems"):
            text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
            errors.append(FieldError.forbidden(f"{path}.uniqueItems", text))
        errors += self._fields(schema, path, place, is_root)
        errors += self.check(schema.get("not"), f"{path}.not", place)
        for junctor in ("allOf", "oneOf", "anyOf"):
            for index, inner in enumerate(schema.get(junctor) or ()):
                errors += self.check(inner, f"{path}.{junctor}[{index}]", place)
        for name, inner in (schema.get("definitions") or {}).items():
            errors += self.check(inner, f"{path}.definitions[{name}]", place)
        items = schema.get("items")
        errors += self.check(items, f"{path}.items", place)
        for index, inner in enumerate(items if isinstance(items, list) else ()):
            errors += self.check(inner, f"{path}.items[{index}]", place)
        for name, inner in (schema.get("dependencies") or {}).items():
            errors += self.check(inner, f"{path}.dependencies[{name}]", place)
        if schema.get("x-kubernetes-preserve-unknown-fields") is False:
            at = f"{path}.x-kubernetes-preserve-unknown-fields"
            errors.append(FieldError.invalid(at, False, "must be true or undefined"))
        errors += validate_list_and_map_type(schema, path, atomic_sets=not self._leniency.sets)
        if not self._leniency.map_keys:
            errors += validate_map_keys(schema, path)
        for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
            errors += _validate_rule(rule, schema, f"{path}.x-kubernetes-validations[{index}]")
        return errors

    def _fields(self, schema: Tree, path: str, place: _Place, is_root: bool) -> list[FieldError]:
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        errors: list[FieldError] = []
        if properties and others is not None and others is not True:
            text = "additionalProperties and properties are mutual exclusive"
            errors.append(FieldError.forbidden(f"{path}.additionalProperties", text))
        within = place
        if place.in_meta:
            within = replace(place, no_defaults="inside additionalProperties applying to object metadata")
        errors += self.check(others, f"{path}.additionalProperties", within)
        for name, inner in properties.items():
            within = place
            if name in _META and (is_root or schema.get("x-kubernetes-embedded-resource")):
                within = replace(within, in_meta=True)
                if is_root:
                    within = replace(within, no_defaults=f"in top-level {name}")
            errors += self.check(inner, f"{path}.properties[{name}]", within)
        return errors

    def _supported(self, schema: Tree, path: str, place: _Place) -> list[FieldError]:
        errors: list[FieldError] = []
        type_ = schema.get("type") or ""
        if type_ and type_ not in TYPES and not self._leniency.types:
            errors.append(FieldError.not_supported(f"{path}.type", type_, TYPES))
        if schema.get("default") is not None and place.no_defaults is not None:
            errors.append(FieldError.forbidden(f"{path}.default", f"must not be set {place.no_defaults}"))
        for field in ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"):
            value = schema.get(field)
            if value or (value is not None and field in ("additionalItems", "dependencies", "$ref")):
                errors.append(FieldError.forbidden(f"{path}.{field}", f"{field} is not supported"))
        if type_ == "null":
            text = "type cannot be set to null, use nullable as an alternative"
            errors.append(FieldError.forbidden(f"{path}.type", text))
        if isinstance(schema.get("items"), list) and schema["items"]:
            errors.append(FieldError.forbidden(f"{path}.items", "items must be a schema object and not an array"))
        if place.in_meta and schema.get("x-kubernetes-embedded-resource"):
            text = "must not be used inside of resource meta"
            errors.append(FieldError.forbidden(f"{path}.x-kubernetes-embedded-resource", text))
        return errors


def _validate_rule(rule: Tree, schema: Tree, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    expression, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    if not expression:
        errors.append(FieldError.required(f"{path}.rule", "rule is not specified"))
    elif message and not message.strip():
        errors.append(FieldError.invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif _has_newlines(message.strip()):
        errors.append(FieldError.invalid(f"{path}.message", message, "must not contain line breaks"))
    elif _has_newlines(expression) and not message:
        text = "message must be specified if rule contains line breaks"
        errors.append(FieldError.required(f"{path}.message", text))
    if rule.get("messageExpression") and not rule["messageExpression"].strip():
        text = "messageExpression must be non-empty if specified"
        errors.append(FieldError.required(f"{path}.messageExpression", text))
    if (reason := rule.get("reason")) is not None and reason not in _REASONS:
        errors.append(FieldError.not_supported(f"{path}.reason", reason, _REASONS))
    return errors + _validate_field_path(rule.get("fieldPath") or "", schema, f"{path}.fieldPath")


def _validate_field_path(text: str, schema: Tree, path: str) -> list[FieldError]:
    if not text:
        return []
    errors: list[FieldError] = []
    if not text.strip():
        errors.append(FieldError.invalid(path, text, "must be non-empty if specified"))
    if _has_newlines(text):
        errors.append(FieldError.invalid(path, text, "must not contain line breaks"))
    try:
        if not unsupported(schema):
            follow(text, schema)
    except FieldPathError:
        errors.append(FieldError.invalid(path, text, "must be a valid path"))
    return errors


def _has_newlines(text: str) -> bool:
    return re.search("[\n\r]", text) is not None
