"""What an expression is made of, after parsing and the expansion of macros.

Nodes are compared by identity; what the checker finds out of them is kept beside them (`checking.Checked`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Call",
    "Comprehension",
    "CreateList",
    "CreateMap",
    "CreateObject",
    "Expression",
    "Ident",
    "Literal",
    "MapEntry",
    "ObjectEntry",
    "Select",
    "children",
    "walk",
]


@dataclass(slots=True, eq=False)
class Expression:
    """Any node; `offset` is the code point of the source where it is reported."""

    offset: int


@dataclass(slots=True, eq=False)
class Literal(Expression):
    value: Any


@dataclass(slots=True, eq=False)
class Ident(Expression):
    name: str  # with a leading dot if it was written so


@dataclass(slots=True, eq=False)
class Select(Expression):
    """`operand.field`, or `has(operand.field)`."""

    operand: Expression
    field: str
    test_only: bool = False


@dataclass(slots=True, eq=False)
class Call(Expression):
    """A call of a function, or, with a target, of a member. Operators are functions: `_+_`, `_&&_`, `_[_]`."""

    function: str
    arguments: Sequence[Expression]
    target: Expression | None = None


@dataclass(slots=True, eq=False)
class CreateList(Expression):
    elements: Sequence[Expression]
    optional: frozenset[int] = frozenset()  # the indexes of those written `?x`


@dataclass(slots=True, eq=False)
class MapEntry:
    offset: int
    key: Expression
    value: Expression
    optional: bool = False


@dataclass(slots=True, eq=False)
class CreateMap(Expression):
    entries: Sequence[MapEntry]


@dataclass(slots=True, eq=False)
class ObjectEntry:
    offset: int
    field: str
    value: Expression
    optional: bool = False


@dataclass(slots=True, eq=False)
class CreateObject(Expression):
    type_name: str
    entries: Sequence[ObjectEntry]


@dataclass(slots=True, eq=False)
class Comprehension(Expression):
    """A fold over a list or a map, which is what macros such as `all` and `map` become.

    With `variable2` the first variable is the index or key, the second the item or value; without, `variable` is the
    item or key.
    """

    range: Expression
    variable: str
    accumulator: str
    initial: Expression
    condition: Expression
    step: Expression
    result: Expression
    variable2: str = ""


def walk(expression: Expression) -> list[Expression]:
    """Every node of the tree once, parents first; it doesn't recurse."""
    found: list[Expression] = []
    seen: set[Expression] = set()
    stack = [expression]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        found.append(node)
        stack.extend(children(node))
    return found


def children(node: Expression) -> list[Expression]:
    match node:
        case Select():
            return [node.operand]
        case Call():
            return [*node.arguments] if node.target is None else [node.target, *node.arguments]
        case CreateList():
            return [*node.elements]
        case CreateMap():
            return [part for entry in node.entries for part in (entry.key, entry.value)]
        case CreateObject():
            return [entry.value for entry in node.entries]
        case Comprehension():
            return [node.range, node.initial, node.condition, node.step, node.result]
    return []
