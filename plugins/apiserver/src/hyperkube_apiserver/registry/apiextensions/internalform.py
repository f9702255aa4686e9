"""Specs of definitions as the API server holds them: what all versions have alike stands beside them.

Checks run on that form, so that their causes name its fields, and messages show it as Go's structs.
Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions (types.go, v1/conversion.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["hoisted", "shown_rule", "shown_schema", "shown_versions"]

Tree = Mapping[str, Any]

# Of a version, and what it is called beside them.
_SHARED = {
    "subresources": "subresources",
    "schema": "validation",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}
_SCHEMA_FIELDS: Mapping[str, tuple[str, Any]] = {
    "ID": ("id", ""),
    "Schema": ("$schema", ""),
    "Ref": ("$ref", None),
    "Description": ("description", ""),
    "Type": ("type", ""),
    "Nullable": ("nullable", False),
    "Format": ("format", ""),
    "Title": ("title", ""),
    "Default": ("default", None),
    "Maximum": ("maximum", None),
    "ExclusiveMaximum": ("exclusiveMaximum", False),
    "Minimum": ("minimum", None),
    "ExclusiveMinimum": ("exclusiveMinimum", False),
    "MaxLength": ("maxLength", None),
    "MinLength": ("minLength", None),
    "Pattern": ("pattern", ""),
    "MaxItems": ("maxItems", None),
    "MinItems": ("minItems", None),
    "UniqueItems": ("uniqueItems", False),
    "MultipleOf": ("multipleOf", None),
    "Enum": ("enum", None),
    "MaxProperties": ("maxProperties", None),
    "MinProperties": ("minProperties", None),
    "Required": ("required", None),
    "Items": ("items", None),
    "AllOf": ("allOf", None),
    "OneOf": ("oneOf", None),
    "AnyOf": ("anyOf", None),
    "Not": ("not", None),
    "Properties": ("properties", None),
    "AdditionalProperties": ("additionalProperties", None),
    "PatternProperties": ("patternProperties", None),
    "Dependencies": ("dependencies", None),
    "AdditionalItems": ("additionalItems", None),
    "Definitions": ("definitions", None),
    "ExternalDocs": ("externalDocs", None),
    "Example": ("example", None),
    "XPreserveUnknownFields": ("x-kubernetes-preserve-unknown-fields", None),
    "XEmbeddedResource": ("x-kubernetes-embedded-resource", False),
    "XIntOrString": ("x-kubernetes-int-or-string", False),
    "XListMapKeys": ("x-kubernetes-list-map-keys", None),
    "XListType": ("x-kubernetes-list-type", None),
    "XMapType": ("x-kubernetes-map-type", None),
    "XValidations": ("x-kubernetes-validations", None),
}
_LISTS = frozenset({"allOf", "oneOf", "anyOf"})
_MAPS = frozenset({"properties", "patternProperties", "definitions"})


def hoisted(spec: Tree) -> dict[str, Any]:
    """A spec of v1 in the form that is checked."""
    result = dict(spec)
    if (conversion := spec.get("conversion")) is not None:
        webhook = conversion.get("webhook") or {}
        result["conversion"] = {
            "strategy": conversion.get("strategy") or "",
            "webhookClientConfig": webhook.get("clientConfig"),
            "conversionReviewVersions": webhook.get("conversionReviewVersions"),
        }
    versions = [dict(version) for version in spec.get("versions") or ()]
    result["versions"] = versions
    if not versions:
        return result
    result["version"] = versions[0].get("name") or ""
    for field, name in _SHARED.items():
        value = versions[0].get(field)
        if all((version.get(field) or None) == (value or None) for version in versions):
            if value is not None:
                result[name] = value
            for version in versions:
                version.pop(field, None)
    return result


def shown_versions(versions: Sequence[Tree]) -> list[dict[str, Any]]:
    return [
        {
            "Name": version.get("name") or "",
            "Served": bool(version.get("served")),
            "Storage": bool(version.get("storage")),
            "Deprecated": bool(version.get("deprecated")),
            "DeprecationWarning": version.get("deprecationWarning"),
            "Schema": _shown_validation(version.get("schema")),
            "Subresources": _shown_subresources(version.get("subresources")),
            "AdditionalPrinterColumns": [_shown_column(one) for one in version.get("additionalPrinterColumns") or ()]
            or None,
            "SelectableFields": [
                {"JSONPath": one.get("jsonPath") or ""} for one in version.get("selectableFields") or ()
            ]
            or None,
        }
        for version in versions
    ]


def _shown_validation(validation: Tree | None) -> dict[str, Any] | None:
    if validation is None:
        return None
    schema = validation.get("openAPIV3Schema")
    return {"OpenAPIV3Schema": None if schema is None else shown_schema(schema)}


def _shown_subresources(subresources: Tree | None) -> dict[str, Any] | None:
    if subresources is None:
        return None
    scale = subresources.get("scale")
    return {
        "Status": None if subresources.get("status") is None else {},
        "Scale": None
        if scale is None
        else {
            "SpecReplicasPath": scale.get("specReplicasPath") or "",
            "StatusReplicasPath": scale.get("statusReplicasPath") or "",
            "LabelSelectorPath": scale.get("labelSelectorPath"),
        },
    }


def _shown_column(column: Tree) -> dict[str, Any]:
    return {
        "Name": column.get("name") or "",
        "Type": column.get("type") or "",
        "Format": column.get("format") or "",
        "Description": column.get("description") or "",
        "Priority": column.get("priority") or 0,
        "JSONPath": column.get("jsonPath") or "",
    }


def shown_schema(schema: Tree) -> dict[str, Any]:
    return {go: _shown(name, schema.get(name), zero) for go, (name, zero) in _SCHEMA_FIELDS.items()}


def _shown(name: str, value: Any, zero: Any) -> Any:
    if value is None:
        return zero
    if name in _LISTS:
        return [shown_schema(one) for one in value]
    if name in _MAPS:
        return {key: shown_schema(value[key]) for key in sorted(value)}
    if name == "not":
        return shown_schema(value)
    if name == "items":
        many = isinstance(value, list)
        return {
            "Schema": None if many else shown_schema(value),
            "JSONSchemas": [shown_schema(one) for one in value] if many else None,
        }
    if name in ("additionalProperties", "additionalItems"):
        allowed = isinstance(value, dict)
        return {"Allows": True if allowed else value, "Schema": shown_schema(value) if allowed else None}
    if name == "dependencies":
        return {key: _shown_dependency(value[key]) for key in sorted(value)}
    if name == "externalDocs":
        return {"Description": value.get("description") or "", "URL": value.get("url") or ""}
    if name == "x-kubernetes-validations":
        return [shown_rule(rule) for rule in value]
    return value


def _shown_dependency(value: Any) -> dict[str, Any]:
    is_schema = isinstance(value, dict)
    return {"Schema": shown_schema(value) if is_schema else None, "Property": None if is_schema else value}


def shown_rule(rule: Tree) -> dict[str, Any]:
    """A rule as messages write it."""
    return {
        "Rule": rule.get("rule") or "",
        "Message": rule.get("message") or "",
        "MessageExpression": rule.get("messageExpression") or "",
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath") or "",
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
