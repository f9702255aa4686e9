"""Columns of tables: those that a definition asks for, and what stands in them.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.crd.schema.paths import NoResult, Path, compile_path
from hyperkube_apiserver.kinds import Column, load_kinds
from hyperkube_machinery.ages import since
from hyperkube_machinery.fields.elements import go_json
from hyperkube_machinery.jsonpath import JSONPathError
from hyperkube_machinery.schema.converted import go_value
from hyperkube_machinery.timestamps import TimestampError, normal_seconds

__all__ = ["Columns"]

Tree = Mapping[str, Any]

_LOWEST = -(1 << 63)  # which is what Go makes of numbers beyond


class Columns:
    """The columns of one version: the name, and those of the definition (`additionalPrinterColumns`), or the age."""

    def __init__(self, asked: Sequence[Tree]) -> None:
        usual = {column.name: column for column in load_kinds()["", "v1", "pods"].columns}
        age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
        self.columns: tuple[Column, ...] = (usual["Name"],)
        self._paths: list[tuple[str, Path]] = []
        try:
            for one in asked or [age | {"description": usual["Age"].description}]:
                self._add(one)
        except JSONPathError:  # upstream shows those before the one that makes no sense
            return

    def _add(self, asked: Tree) -> None:
        path = asked.get("jsonPath") or ""
        self._paths.append((asked["type"], compile_path(path)))
        text = asked.get("description") or f"Custom resource definition column (in JSONPath format): {path}"
        column = Column(
            name=asked["name"],
            type=asked["type"],
            format=asked.get("format") or "",
            description=text,
            priority=asked.get("priority") or 0,
        )
        self.columns = (*self.columns, column)

    def cells(self, obj: Tree, now: float) -> list[Any]:
        """What an object has in the columns; `now` is in seconds since the epoch."""
        name = obj["metadata"].get("name") or ""
        return [name, *(_cell(type_, path, obj, now) for type_, path in self._paths)]


def _cell(type_: str, path: Path, obj: Tree, now: float) -> Any:
    try:
        found = path(obj)
    except NoResult:
        return None
    if not found:
        return None
    value = found[0]
    if type_ == "string":
        return _text(value)
    if value is None:
        return None
    return _of_type(type_, value, now)


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return go_json(value)
    return "<no value>" if value is None else value if isinstance(value, str) else go_value(value)


def _of_type(type_: str, value: Any, now: float) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if type_ == "integer" and is_number:
        return int(value) if _LOWEST <= value < -_LOWEST else _LOWEST
    if type_ == "number" and is_number:
        return value
    if type_ == "boolean" and isinstance(value, bool):
        return value
    if type_ == "date" and isinstance(value, str):
        return _age(value, now)
    return None


def _age(value: str, now: float) -> str:
    if not value or value == "null":
        return "<unknown>"
    try:
        return since(normal_seconds(value), now)
    except TimestampError:
        return "<invalid>"
