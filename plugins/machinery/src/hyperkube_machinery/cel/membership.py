"""`x in [constants]`: one look into a set. Source: cel-go's interpreter/decorators.go, by which it costs nothing."""

from __future__ import annotations

from typing import Any

from hyperkube_machinery.cel.code import Code, Frame
from hyperkube_machinery.cel.equality import contains
from hyperkube_machinery.cel.types import Kind, Type
from hyperkube_machinery.cel.values import UInt

__all__ = ["in_constant"]

_PRIMITIVE = (str, bool, int, float, UInt)


def in_constant(wanted: Code, type: Type, items: list[Any]) -> Code | None:
    """Whether `wanted`, which is of `type`, is among the items; None: they can't be looked up so."""
    if not items:
        return Code.of(False)
    if not all(item.__class__ in _PRIMITIVE for item in items):
        return None
    run = wanted.run
    if type.kind is Kind.STRING and all(item.__class__ is str for item in items):
        known = frozenset(items)
        return Code(lambda frame: run(frame) in known, wanted.cost)

    integers = frozenset(item for item in items if item.__class__ is int)
    if len(integers) == len(items):

        def found_integer(frame: Frame) -> bool:
            value = run(frame)
            return value in integers if value.__class__ is int else contains(items, value)

        return Code(found_integer, wanted.cost)

    def found(frame: Frame) -> bool:
        return contains(items, run(frame))

    return Code(found, wanted.cost)
