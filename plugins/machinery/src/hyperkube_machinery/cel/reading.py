"""Closures that read variables, fields, keys and items, fast where data are what they are declared to be."""

from __future__ import annotations

from typing import Any

from hyperkube_machinery.cel import access
from hyperkube_machinery.cel.code import Code, Frame, Run
from hyperkube_machinery.cel.types import Kind, Type

__all__ = ["read_field", "read_index", "read_variable", "test_field", "test_optional_field"]

_MISSES = (KeyError, TypeError, IndexError)


def read_variable(slot: int) -> Code:
    return Code(lambda frame: frame[slot], 1, 1, access=True, path=(slot, ()))


def read_field(operand: Code, key: str) -> Code:
    """`operand.key`. A variable that is read costs 1, and so does each step from there."""
    if operand.path is not None:
        slot, keys = operand.path
        path = (slot, (*keys, key))
        return Code(_walk(*path), operand.cost + 1, operand.base, access=True, path=path)
    run = operand.run
    qualify = access.qualify

    def read(frame: Frame) -> Any:
        value = run(frame)
        try:
            return value[key]
        except _MISSES:
            return qualify(value, key)

    return Code(read, operand.cost + _step(operand), operand.base if operand.access else 1, access=True)


def _step(operand: Code) -> int:
    """What reading from it costs: 1, and 1 more to begin with for what is no access."""
    return 1 if operand.access else 2


def _walk(slot: int, keys: tuple[str, ...]) -> Run:
    """A variable's field of a field, and so on."""
    if len(keys) == 1:
        (one,) = keys

        def read_one(frame: Frame) -> Any:
            try:
                return frame[slot][one]
            except _MISSES:
                return _walk_slowly(frame[slot], keys)

        return read_one
    if len(keys) == 2:
        first, second = keys

        def read_two(frame: Frame) -> Any:
            try:
                return frame[slot][first][second]
            except _MISSES:
                return _walk_slowly(frame[slot], keys)

        return read_two

    def read_many(frame: Frame) -> Any:
        value = frame[slot]
        try:
            for key in keys:
                value = value[key]
        except _MISSES:
            return _walk_slowly(frame[slot], keys)
        return value

    return read_many


def _walk_slowly(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = access.qualify(value, key)
    return value


def test_field(operand: Code, key: str, presence_cost: int) -> Code:
    """`has(operand.key)`: the variable that is tested costs only if `presence_cost` says so."""
    run = operand.run
    has = access.has

    def test(frame: Frame) -> bool:
        value = run(frame)
        return key in value if value.__class__ is dict else has(value, key)

    return Code(test, operand.cost - operand.base + 1 + presence_cost, presence_cost, access=True)


def test_optional_field(operand: Code, key: str, presence_cost: int) -> Code:
    """`has(operand.key)` where the operand is optional: what is absent costs nothing."""
    run = operand.run
    find = access.find

    def test(frame: Frame) -> bool:
        present = find(run(frame), key).present
        frame[0] += present
        return present

    return Code(test, operand.cost - operand.base + presence_cost, presence_cost, access=True)


def read_index(operand: Code, key: Code, type: Type, cost: int) -> Code:
    """`operand[key]`; `cost` is of the index."""
    if type.kind is Kind.MAP and key.constant and isinstance(key.value, str):
        return read_field(operand, key.value)
    run, run_key = operand.run, key.run
    due = operand.cost + (0 if operand.access else 1) + cost
    base = operand.base if operand.access else 1
    if type.kind is Kind.LIST:
        return Code(_item(run, run_key), due, base, access=True)
    qualify = access.qualify

    def read(frame: Frame) -> Any:
        value, at = run(frame), run_key(frame)
        if at.__class__ is str and value.__class__ is dict and at in value:
            return value[at]
        return qualify(value, at)

    return Code(read, due, base, access=True)


def _item(run: Run, run_index: Run) -> Run:
    index = access.index
    qualify = access.qualify

    def read(frame: Frame) -> Any:
        items, at = run(frame), run_index(frame)
        if items.__class__ is not list:
            return qualify(items, at)
        return items[at] if at.__class__ is int and 0 <= at < len(items) else index(items, at)

    return read
