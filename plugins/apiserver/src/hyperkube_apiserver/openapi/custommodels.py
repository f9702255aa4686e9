"""Schemas of custom resources as OpenAPI tells of them, in both of its versions.

Version 2 is made for clients that refuse fields which a schema does not name: where any may stand, it names none.
Source: k8s.io/apiextensions-apiserver/pkg/controller/openapi (builder, v2), pkg/apiserver/schema (kubeopenapi.go,
unfold.go).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.openapi.custompaths import model_name
from hyperkube_apiserver.openapi.schemas import PREFIX, Schemas
from hyperkube_apiserver.registry.apiextensions.structural import is_structural, says_int_or_string
from hyperkube_machinery.encoding import encode_sorted

if TYPE_CHECKING:
    from hyperkube_apiserver.crd.schema import CustomSchema
    from hyperkube_apiserver.kinds import Kind

__all__ = ["CustomModel", "Models"]

Tree = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_PREFIX_2 = "#/definitions/"
# What is told if it is set, in the words of the definition.
_TOLD = (
    *("type", "description", "title", "nullable", "externalDocs", "format", "exclusiveMaximum", "exclusiveMinimum"),
    *("pattern", "uniqueItems", "enum", "required"),
    *(f"x-kubernetes-{name}" for name in ("preserve-unknown-fields", "embedded-resource", "int-or-string")),
    *(f"x-kubernetes-{name}" for name in ("list-map-keys", "list-type", "map-type", "validations")),
)
# What may be zero, or anything.
_TOLD_IF_PRESENT = (
    *("default", "example", "maximum", "minimum", "maxLength", "minLength", "maxItems", "minItems", "multipleOf"),
    *("maxProperties", "minProperties"),
)
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_PRESERVE, _EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"


@dataclass(frozen=True, slots=True)
class CustomModel:
    """One version of a custom resource, for documents to tell of."""

    kind: Kind
    schema: CustomSchema

    @property
    def name(self) -> str:
        """Of the object's schema."""
        resource = self.kind.resource
        return model_name(resource.group, resource.version, resource.kind)

    @property
    def list_name(self) -> str:
        """Of the schema of lists of it."""
        resource = self.kind.resource
        return model_name(resource.group, resource.version, self.kind.list_kind)

    def tag(self) -> str:
        """The same for all that are told of alike."""
        return hashlib.sha256(repr(self.kind).encode() + encode_sorted(self.schema.loaded())).hexdigest()

    def object(self, *, version_2: bool) -> Tree:
        """The object's schema."""
        schema = self.schema.loaded()
        preserves = self.schema.preserves_unknown or (schema is not None and bool(schema.get(_PRESERVE)))
        if schema is None or not is_structural(schema) or (version_2 and preserves):
            told: Tree = {"type": "object"}
        else:
            told = _told(schema)
            if version_2:
                _simplify(told)
            _add_embedded(told, version_2=version_2)
            told.setdefault("properties", {}).update(_type_and_metadata("", "ObjectMeta", version_2=version_2))
        told["x-kubernetes-group-version-kind"] = [_meant(self.kind, self.kind.resource.kind)]
        return self._selectable(told)

    def list(self, *, version_2: bool) -> Tree:
        """The schema of lists."""
        reference = (_PREFIX_2 if version_2 else PREFIX) + self.name
        return self._selectable(_list(self.kind, reference, version_2=version_2))

    def _selectable(self, told: Tree) -> Tree:
        if fields := self.schema.selectable_fields:
            told["x-kubernetes-selectable-fields"] = [{"fieldPath": field} for field in fields]
        return told


class Models:
    """Schemas of built-in kinds, and beside them those of custom resources; as `Schemas` are asked."""

    def __init__(self, schemas: Schemas, models: Iterable[CustomModel], *, version_2: bool = False) -> None:
        self._schemas = schemas
        self._version_2 = version_2
        self._objects = {model.name: model for model in models}
        self._lists = {model.list_name: model for model in self._objects.values()}

    def schema(self, definition: str, group_version: tuple[str, str] | None = None) -> Tree:
        """The schema of `definition`. KeyError if there is none."""
        if (model := self._objects.get(definition)) is not None:
            return model.object(version_2=self._version_2)
        if (model := self._lists.get(definition)) is not None:
            return model.list(version_2=self._version_2)
        return self._schemas.schema(definition, group_version)

    def closure(self, definitions: Iterable[str]) -> list[str]:
        """`definitions` and all that they refer to, sorted."""
        wanted = set(definitions)
        custom = wanted & (self._objects.keys() | self._lists.keys())
        metadata = [f"{_META}.ObjectMeta", f"{_META}.ListMeta"] if custom else []
        return sorted({*custom, *self._schemas.closure([*(wanted - custom), *metadata])})


def _list(kind: Kind, reference: str, *, version_2: bool) -> Tree:
    items = {"type": "array", "items": {"$ref": reference}, "description": f"The {kind.resource.resource}."}
    return {
        "description": f"A list of {kind.resource.kind} objects.",
        "type": "object",
        "required": ["items"],
        "properties": {"items": items, **_type_and_metadata("of lists ", "ListMeta", version_2=version_2)},
        "x-kubernetes-group-version-kind": [_meant(kind, kind.list_kind)],
    }


def _meant(kind: Kind, name: str) -> Tree:
    return {"group": kind.resource.group, "kind": name, "version": kind.resource.version}


def _type_and_metadata(of: str, definition: str, *, version_2: bool) -> dict[str, Tree]:
    reference = {"$ref": f"{_PREFIX_2 if version_2 else PREFIX}{_META}.{definition}"}
    metadata: Tree = dict(reference) if version_2 else {"allOf": [reference]}
    return {
        "apiVersion": {"type": "string", "description": "The version of the schema that this has, after its group."},
        "kind": {"type": "string", "description": "What this is, in CamelCase."},
        "metadata": {"description": f"Metadata {of}as everything has them.", **metadata},
    }


def _told(schema: Mapping[str, Any]) -> Tree:
    told: Tree = {name: schema[name] for name in _TOLD if schema.get(name)}
    told |= {name: schema[name] for name in _TOLD_IF_PRESENT if schema.get(name) is not None}
    if isinstance(items := schema.get("items"), dict):
        told["items"] = _told(items)
    if properties := schema.get("properties"):
        told["properties"] = {name: _told(properties[name]) for name in sorted(properties)}
    if (others := schema.get("additionalProperties")) is not None:
        told["additionalProperties"] = _told(others) if isinstance(others, dict) else others
    for junctor in _JUNCTORS:
        if schema.get(junctor):
            told[junctor] = [_told(inner) for inner in schema[junctor]]
    if (inner := schema.get("not")) is not None:
        told["not"] = _told(inner)
    if schema.get("x-kubernetes-int-or-string") and not says_int_or_string(schema):
        either: Tree = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
        if "anyOf" in told:
            told["allOf"] = [either, *told.get("allOf", ())]
        else:
            told |= either
    return told


def _simplify(told: Tree) -> None:
    """Leave out what version 2, or kubectl reading it, can't cope with."""
    for name in (*_JUNCTORS, "not", "default"):
        told.pop(name, None)
    is_nullable, preserves = told.pop("nullable", False), bool(told.get(_PRESERVE))
    if is_nullable or preserves:
        told.pop("items", None)
        told.pop("properties", None)
    if is_nullable or (told.get("type") == "array" and "items" not in told):
        told.pop("type", None)
    if preserves and told.get("type") == "object":
        del told["type"]
    properties, others = told.get("properties") or {}, told.get("additionalProperties")
    _require(told, [name for name in told.get("required", ()) if not properties.get(name, {}).get("nullable")])
    if isinstance(others, dict) and others.get("nullable"):
        _require(told, [])
    for inner in (told.get("items"), others, *properties.values()):
        if isinstance(inner, dict):
            _simplify(inner)


def _require(told: Tree, names: Sequence[str]) -> None:
    if names:
        told["required"] = names
    else:
        told.pop("required", None)


def _add_embedded(told: Tree, *, version_2: bool) -> None:
    """Tell of the type and metadata of resources in it, unless version 2 must not name some fields of theirs."""
    for inner in (told.get("items"), told.get("additionalProperties"), *(told.get("properties") or {}).values()):
        if isinstance(inner, dict):
            _add_embedded(inner, version_2=version_2)
    if not told.get(_EMBEDDED) or (version_2 and told.get(_PRESERVE)):
        return
    told.setdefault("properties", {}).update(_type_and_metadata("", "ObjectMeta", version_2=version_2))
    required = list(told.get("required", ()))
    told["required"] = [*required, *(name for name in ("kind", "apiVersion") if name not in required)]
