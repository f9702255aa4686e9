"""Where ownership learns the type of a kind: from its definition, or from whoever knows better."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hyperkube_machinery.decoding import check_converted
from hyperkube_machinery.fields.compare import load_comparer
from hyperkube_machinery.fields.sets import FieldSet
from hyperkube_machinery.fields.shapes import Shape, load_shapes
from hyperkube_machinery.schema import Schemas

__all__ = ["BuiltIn", "Compare", "Typing"]

Tree = dict[str, Any]
Compare = Callable[[Any, Any], tuple[FieldSet, FieldSet]]
"""What was added or changed from one object to another, and what was removed."""


class Typing(Protocol):
    """What ownership must know of a kind's type; `version` is one that is served of it, else LookupError is raised."""

    @property
    def empty(self) -> Tree:
        """An object of which nothing was said, with what is always written."""

    def shape(self, version: str) -> Shape: ...

    def compare(self, version: str) -> Compare: ...

    def settle(self, tree: Tree) -> None:
        """Make what was merged an object as it would be stored, in place. Raises WrongType."""


class BuiltIn:
    """The type of a kind that has a definition."""

    def __init__(self, definition: str, api_version: str, kind: str) -> None:
        self._definition = definition
        self._api_version = api_version
        self._kind = kind
        self._walker = Schemas.load().walker(definition)
        self.empty: Tree = self._walker.read({})[0]

    def shape(self, version: str) -> Shape:
        return load_shapes().of(self._in(version))

    def compare(self, version: str) -> Compare:
        return load_comparer().root(self._in(version))

    def settle(self, tree: Tree) -> None:
        check_converted(tree, self._walker, field_validation="Ignore")

    def _in(self, version: str) -> str:
        if version == self._api_version:
            return self._definition
        definition = Schemas.load().definition_of(version, self._kind)
        if definition is None:
            raise LookupError(version)
        return definition
