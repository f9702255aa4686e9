"""Schemas of definitions, made from the tables.

The form is that of OpenAPI 3 as the API server serves it: a reference stands in an `allOf`, so that a default may stand
beside it. What the Go type of a field does not tell (what is required, enumerations, defaults that are no zero, which
references stand bare) is in `facts.json`, which `tools/generate_openapi_facts.py` writes. What people are told
is in `descriptions.json`, where `*` is for fields of that name everywhere.
Source: k8s.io/kube-openapi/pkg/generators, api/openapi-spec of Kubernetes 1.36.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Any

import orjson

from hyperkube_machinery.schema.table import WRITTEN, Field, Table, Type

__all__ = ["PREFIX", "Schemas", "in_version_2", "innermost", "references"]

Tree = dict[str, Any]

PREFIX = "#/components/schemas/"
_PREFIX_2 = "#/definitions/"

_META = "io.k8s.apimachinery.pkg.apis.meta.v1"
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
_SCALARS: dict[str, Tree] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "float64": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
}
_ZEROS: dict[str, Any] = {"string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0}
# Types that encode themselves have a definition of their own, by their kind or else by their name.
_SELF_ENCODING = {
    "quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "time": f"{_META}.Time",
    "microtime": f"{_META}.MicroTime",
    "intorstring": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "runtime.RawExtension": "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "v1.FieldsV1": f"{_META}.FieldsV1",
    "v1.JSON": f"{_EXTENSIONS}.JSON",
    "v1.JSONSchemaPropsOrArray": f"{_EXTENSIONS}.JSONSchemaPropsOrArray",
    "v1.JSONSchemaPropsOrBool": f"{_EXTENSIONS}.JSONSchemaPropsOrBool",
    "v1.JSONSchemaPropsOrStringArray": f"{_EXTENSIONS}.JSONSchemaPropsOrStringArray",
}
_MERGING = {
    "strategy": "x-kubernetes-patch-strategy",
    "merge": "x-kubernetes-patch-merge-key",
    "list": "x-kubernetes-list-type",
    "keys": "x-kubernetes-list-map-keys",
    "map": "x-kubernetes-map-type",
}
# Kinds that every group has; a document of one group tells of its own and of the first.
_CROSS_REGISTERED = (f"{_META}.DeleteOptions", f"{_META}.WatchEvent")


class Schemas:
    """Makes the schema of one definition after the other; keeps none."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._facts: dict[str, dict[str, Any]] = _load("facts.json")
        self._texts: dict[str, dict[str, str]] = _load("descriptions.json")
        self._kinds: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
        for told, definition in table.kinds.items():
            group_version, kind = told.split()
            group, _, version = group_version.rpartition("/")
            self._kinds[definition].append((group, version, kind))

    def schema(self, definition: str, group_version: tuple[str, str] | None = None) -> Tree:
        """The schema of `definition`, as a document of `group_version` tells it. KeyError if there is none."""
        if definition in self._facts["leaves"]:
            schema = dict(self._facts["leaves"][definition])
        else:
            schema = self._struct(definition)
        if text := self._text(definition, ""):
            schema["description"] = text
        kinds = sorted(self._kinds.get(definition, ()))
        if group_version is not None and definition in _CROSS_REGISTERED:
            kinds = [one for one in kinds if one[:2] in (("", "v1"), group_version)]
        if kinds:
            schema["x-kubernetes-group-version-kind"] = [
                {"group": group, "kind": kind, "version": version} for group, version, kind in kinds
            ]
        return schema

    def closure(self, definitions: Iterable[str]) -> list[str]:
        """`definitions` and all that they refer to, sorted."""
        found: set[str] = set()
        waiting = list(definitions)
        while waiting:
            definition = waiting.pop()
            if definition not in found:
                found.add(definition)
                waiting += references(self.schema(definition))
        return sorted(found)

    def _struct(self, definition: str) -> Tree:
        schema: Tree = {"type": "object"}
        fields = self._table.fields_by_name(definition)
        if fields:
            schema["properties"] = {name: self._property(definition, fields[name]) for name in sorted(fields)}
        if required := self._facts["required"].get(definition):
            schema["required"] = required
        if unions := self._facts["unions"].get(definition):
            schema["x-kubernetes-unions"] = unions
        schema.update(self._merging(definition, ""))
        return schema

    def _property(self, definition: str, field: Field) -> Tree:
        type_ = field.type
        schema = _of_type(type_)
        defaults = self._facts["defaults"].get(definition, {})
        if "$ref" in schema and field.name not in self._facts["bare"].get(definition, ()):
            schema = {"allOf": [schema]}
        if field.name in defaults:
            schema["default"] = defaults[field.name]
        elif not type_.pointer and type_.kind == "struct":
            schema["default"] = {}
        elif not type_.pointer and type_.kind in _ZEROS and field.when_empty == WRITTEN:
            schema["default"] = _ZEROS[type_.kind]
        text = self._text(definition, field.name)
        if values := self._facts["enums"].get(definition, {}).get(field.name):
            innermost(schema)["enum"] = values
            text = text or f"One of {', '.join(value or 'nothing' for value in values)}."
        schema.update(self._merging(definition, field.name))
        if text and "$ref" not in schema:
            schema["description"] = text
        return schema

    def _text(self, definition: str, field: str) -> str:
        """What people are told of a field, or of the definition itself if `field` is empty."""
        name = definition.removeprefix("io.k8s.").removeprefix("api.")
        text = self._texts.get(name, {}).get(field) or self._texts["*"].get(field, "")
        if not text and not field and name.endswith("List"):
            return f"A list of {name.rpartition('.')[2].removesuffix('List')} objects."
        return text

    def _merging(self, definition: str, field: str) -> Tree:
        told = self._table.lists.get(definition, {}).get(field, {})
        return {long: told[short] for short, long in _MERGING.items() if short in told}


def _load(name: str) -> Any:
    return orjson.loads(files(__package__).joinpath(name).read_bytes())


def _of_type(type_: Type) -> Tree:
    if type_.kind in _SCALARS:
        return dict(_SCALARS[type_.kind])
    if type_.kind == "struct":
        return {"$ref": PREFIX + type_.definition}
    if type_.element is not None:
        inner = _of_type(type_.element)
        if type_.kind == "list":
            return {"type": "array", "items": inner}
        return {"type": "object", "additionalProperties": inner}
    return {"$ref": PREFIX + (_SELF_ENCODING.get(type_.kind) or _SELF_ENCODING[type_.name])}


def innermost(schema: Tree) -> Tree:
    """The schema of what a list or map holds at last, where an enumeration stands."""
    while inner := schema.get("items") or schema.get("additionalProperties"):
        schema = inner
    return schema


def references(tree: Any) -> Iterator[str]:
    """The definitions that a tree refers to, some more than once."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(PREFIX)
            elif isinstance(value, dict | list):
                yield from references(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from references(item)


def in_version_2(schema: Tree) -> Tree:
    """The schema as OpenAPI 2 has it, which knows neither `oneOf` nor siblings of a reference."""
    alternatives = schema.pop("oneOf", None)
    if alternatives is not None:
        schema["type"] = "string"
    if "properties" in schema:
        schema["properties"] = {name: _plain(one) for name, one in schema["properties"].items()}
    return schema


def _plain(schema: Tree) -> Tree:
    schema.pop("default", None)
    for wrapped in schema.pop("allOf", ()):
        schema["$ref"] = wrapped["$ref"]
    if "$ref" in schema:
        schema["$ref"] = schema["$ref"].replace(PREFIX, _PREFIX_2)
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            schema[inner] = _plain(schema[inner])
    return schema
