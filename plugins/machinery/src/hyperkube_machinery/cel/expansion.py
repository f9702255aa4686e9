"""What a macro builds its expression with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.cel.ast import (
    Call,
    Comprehension,
    CreateList,
    CreateMap,
    CreateObject,
    Expression,
    Ident,
    Literal,
    MapEntry,
    ObjectEntry,
    Select,
)

__all__ = ["ACCUMULATOR", "Allowance", "Expander", "MacroError"]

ACCUMULATOR = "@result"
"""The name of what a comprehension adds up; no expression can write it."""


class MacroError(Exception):
    """A macro's arguments are of no use; reported at `node`, or at the call."""

    def __init__(self, message: str, node: Expression | None = None) -> None:
        super().__init__(message)
        self.node = node


_MOST_COPIES = 20_000


@dataclass(slots=True)
class Allowance:
    """How many nodes macros may still copy: where they hold each other, copies double with each."""

    left: int = _MOST_COPIES


class Expander:
    """Makes nodes that are reported where the macro was called."""

    __slots__ = ("_allowance", "_offset")

    def __init__(self, offset: int, allowance: Allowance | None = None) -> None:
        self._offset = offset
        self._allowance = allowance or Allowance()

    def literal(self, value: Any) -> Literal:
        return Literal(self._offset, value)

    def list(self, *elements: Expression) -> CreateList:
        return CreateList(self._offset, elements)

    def map(self, *entries: tuple[Expression, Expression]) -> CreateMap:
        return CreateMap(self._offset, [MapEntry(self._offset, key, value) for key, value in entries])

    def ident(self, name: str) -> Ident:
        return Ident(self._offset, name)

    def accumulator(self) -> Ident:
        return Ident(self._offset, ACCUMULATOR)

    def call(self, function: str, *arguments: Expression) -> Call:
        return Call(self._offset, function, arguments)

    def member_call(self, function: str, target: Expression, *arguments: Expression) -> Call:
        return Call(self._offset, function, arguments, target)

    def select(self, operand: Expression, field: str, *, test_only: bool = False) -> Select:
        return Select(self._offset, operand, field, test_only)

    def fold(
        self,
        range: Expression,
        variables: Sequence[str],
        *,
        initial: Expression,
        condition: Expression,
        step: Expression,
        result: Expression,
        accumulator: str = ACCUMULATOR,
    ) -> Comprehension:
        """A comprehension over one or two variables."""
        second = variables[1] if len(variables) == 2 else ""
        return Comprehension(
            self._offset, range, variables[0], accumulator, initial, condition, step, result, variable2=second
        )

    def copy(self, node: Expression) -> Expression:
        """The same expression of new nodes, for a macro that uses an argument twice. Raises MacroError."""
        at = node.offset
        self._allowance.left -= 1
        if self._allowance.left < 0:
            raise MacroError(f"macros that hold each other make more than {_MOST_COPIES} copies")
        match node:
            case Literal():
                return Literal(at, node.value)
            case Ident():
                return Ident(at, node.name)
            case Select():
                return Select(at, self.copy(node.operand), node.field, node.test_only)
            case Call():
                target = None if node.target is None else self.copy(node.target)
                return Call(at, node.function, [self.copy(each) for each in node.arguments], target)
            case CreateList():
                return CreateList(at, [self.copy(each) for each in node.elements], node.optional)
            case CreateMap():
                return CreateMap(
                    at, [MapEntry(e.offset, self.copy(e.key), self.copy(e.value), e.optional) for e in node.entries]
                )
            case CreateObject():
                entries = [ObjectEntry(e.offset, e.field, self.copy(e.value), e.optional) for e in node.entries]
                return CreateObject(at, node.type_name, entries)
            case Comprehension():
                return Comprehension(
                    at,
                    self.copy(node.range),
                    node.variable,
                    node.accumulator,
                    self.copy(node.initial),
                    self.copy(node.condition),
                    self.copy(node.step),
                    self.copy(node.result),
                    node.variable2,
                )
        raise TypeError(f"no expression: {node!r}")
