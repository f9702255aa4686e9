"""Which of the well-known forms a comprehension has, so that it can be compiled to a loop of its own."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from hyperkube_machinery.cel.ast import Call, Comprehension, CreateList, CreateMap, Expression, Ident, Literal

__all__ = ["MAP_INSERT", "Form", "Shape", "shape_of"]

MAP_INSERT = "cel.@mapInsert"
"""The function that adds to a map; no expression can write it."""


class Form(enum.Enum):
    ALL = enum.auto()  # true unless the predicate is false for one
    EXISTS = enum.auto()  # false unless the predicate is true for one
    COUNT_ONE = enum.auto()  # whether the predicate is true for exactly one
    LIST = enum.auto()  # the items of those for which the predicate holds
    MAP = enum.auto()  # keys and items of those for which the predicate holds
    MERGE = enum.auto()  # the maps of those for which the predicate holds, put together
    BIND = enum.auto()  # no loop: a name for a value, within the result
    OTHER = enum.auto()


@dataclass(frozen=True, slots=True)
class Shape:
    """The form, and the parts of it that the macro's user wrote."""

    form: Form
    predicate: Expression | None = None
    item: Expression | None = None
    key: Expression | None = None


def shape_of(node: Comprehension) -> Shape:
    condition, step = node.condition, node.step
    if _is_literal(condition, False) and _is_empty(node.range):
        return Shape(Form.BIND)
    if isinstance(condition, Call) and condition.function == "@not_strictly_false" and isinstance(step, Call):
        forms = {"_&&_": Form.ALL, "_||_": Form.EXISTS}
        if step.function in forms and _is_accumulator(node, node.result):
            return Shape(forms[step.function], predicate=step.arguments[1])
    if not _is_literal(condition, True):
        return Shape(Form.OTHER)
    predicate: Expression | None = None
    if isinstance(step, Call) and step.function == "_?_:_" and _is_accumulator(node, step.arguments[2]):
        predicate, step = step.arguments[0], step.arguments[1]
    if not (isinstance(step, Call) and step.arguments and _is_accumulator(node, step.arguments[0])):
        return Shape(Form.OTHER)
    return _growing(node, step, predicate)


def _growing(node: Comprehension, step: Call, predicate: Expression | None) -> Shape:
    rest = step.arguments[1:]
    if step.function == "_+_" and predicate is not None and _is_literal(node.initial, 0) and _is_literal(rest[0], 1):
        if isinstance(node.result, Call) and node.result.function == "_==_":
            return Shape(Form.COUNT_ONE, predicate)
        return Shape(Form.OTHER)
    if not _is_accumulator(node, node.result):
        return Shape(Form.OTHER)
    if step.function == "_+_" and _is_empty(node.initial) and isinstance(rest[0], CreateList):
        if len(rest[0].elements) == 1 and not rest[0].optional:
            return Shape(Form.LIST, predicate, rest[0].elements[0])
        return Shape(Form.OTHER)
    if step.function == MAP_INSERT and isinstance(node.initial, CreateMap) and not node.initial.entries:
        if len(rest) == 2:
            return Shape(Form.MAP, predicate, rest[1], rest[0])
        return Shape(Form.MERGE, predicate, rest[0])
    return Shape(Form.OTHER)


def _is_accumulator(node: Comprehension, part: Expression) -> bool:
    return isinstance(part, Ident) and part.name == node.accumulator


def _is_literal(part: Expression, value: object) -> bool:
    return isinstance(part, Literal) and part.value == value and type(part.value) is type(value)


def _is_empty(part: Expression) -> bool:
    return isinstance(part, CreateList) and not part.elements
