"""What mutating policies make patches of: `Object{spec: Object.spec{replicas: 3}}`, `JSONPatch{op: "add", …}`.

Nothing is known of the objects that are patched, so that there is a type for each path of fields, and any field in it.
Source: k8s.io/apiserver/pkg/cel/mutation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_machinery.cel.types import DYN, STRING, Field, Kind, ObjectType, Type

__all__ = ["JSON_PATCH", "OBJECT", "ObjectValue", "PatchTypes", "misnamed"]

_OBJECT = "Object"


class ObjectValue(dict[str, Any]):
    """An object that an expression made, which knows as what."""

    __slots__ = ("cel_type",)

    def __init__(self, fields: Mapping[str, Any], cel_type: Type) -> None:
        super().__init__(fields)
        self.cel_type = cel_type


class _AnyField(Mapping[str, Field]):
    """Every name is a field's."""

    _FIELD = Field(DYN)

    def __getitem__(self, name: str) -> Field:
        return self._FIELD

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


_ANY_FIELD = _AnyField()


def _object_type(name: str) -> ObjectType:
    made = ObjectType(name, _ANY_FIELD, lambda fields: ObjectValue(fields, made))
    return made


class _PatchFields(dict[str, Field]):
    """Those of JSON patches. One that there is not is of no type, as upstream has it, which no value fits."""

    def __missing__(self, name: str) -> Field:
        return _UNKNOWN

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]

    def __contains__(self, name: object) -> bool:
        return True


_UNKNOWN = Field(Type(Kind.OPAQUE, ""))
OBJECT = _object_type(_OBJECT)
JSON_PATCH = ObjectType(
    "JSONPatch",
    _PatchFields({"op": Field(STRING), "path": Field(STRING), "from": Field(STRING), "value": Field(DYN)}),
)


class PatchTypes:
    """Finds them by their names."""

    def __init__(self) -> None:
        self._made: dict[str, ObjectType] = {_OBJECT: OBJECT, JSON_PATCH.name: JSON_PATCH}

    def get(self, name: str, /) -> ObjectType | None:
        found = self._made.get(name)
        if found is None and name.startswith(f"{_OBJECT}."):
            found = self._made[name] = _object_type(name)
        return found


def misnamed(value: Any) -> list[str]:
    """What is wrong with the types of objects in others: each is named by its path from the outermost."""
    return _misnamed(value, value.cel_type.name) if isinstance(value, ObjectValue) else []


def _misnamed(value: Any, path: str) -> list[str]:
    if isinstance(value, ObjectValue):
        found = value.cel_type.name
        why = f'unexpected type name "{found}", expected "{path}", which matches field name path from root Object type'
        wrong = [] if found == path else [why]
        return wrong + [text for field, inner in value.items() for text in _misnamed(inner, f"{path}.{field}")]
    if isinstance(value, list):
        return [text for inner in value for text in _misnamed(inner, path)]
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _misnamed(inner, path)]
    return []
