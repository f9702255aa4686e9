"""What is wrong with `"%d".format([…])` whose text and list are literals, found before anything is evaluated.

Source: the validator in cel-go's ext/formatting.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_machinery.cel.ast import Call, CreateList, CreateMap, Expression, Literal, walk
from hyperkube_machinery.cel.checking import Findings
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.libraries.formatting import clauses
from hyperkube_machinery.cel.source import Problem
from hyperkube_machinery.cel.types import Kind

__all__ = ["check_formats", "within_formats"]

_OVERLOAD = "string_format"
_ANY_TEXT = (
    *(Kind.LIST, Kind.MAP, Kind.INT, Kind.UINT, Kind.DOUBLE, Kind.BOOL, Kind.STRING),
    *(Kind.TIMESTAMP, Kind.BYTES, Kind.DURATION, Kind.TYPE, Kind.NULL),
)
_INTEGERS = (Kind.INT, Kind.UINT)
_KINDS = {
    "s": _ANY_TEXT,
    "d": _INTEGERS,
    "f": (Kind.DOUBLE, Kind.STRING),
    "e": (Kind.DOUBLE, Kind.STRING),
    "b": (*_INTEGERS, Kind.BOOL),
    "o": _INTEGERS,
    "x": (*_INTEGERS, Kind.STRING, Kind.BYTES),
    "X": (*_INTEGERS, Kind.STRING, Kind.BYTES),
}
_WRONG = {
    "s": "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and "
    "timestamps",
    "d": "decimal clause can only be used on integers",
    "f": "fixed-point clause can only be used on doubles",
    "e": "scientific clause can only be used on doubles",
    "b": "only integers and bools can be formatted as binary",
    "o": "octal clause can only be used on integers",
    "x": "only integers, byte buffers, and strings can be formatted as hex",
    "X": "only integers, byte buffers, and strings can be formatted as hex",
}


def within_formats(expression: Expression) -> frozenset[Expression]:
    """What stands in calls of `format`, whose lists may hold values of any types."""
    found: set[Expression] = set()
    for node in walk(expression):
        if isinstance(node, Call) and node.function == "format":
            found.update(walk(node))
            found.discard(node)
    return frozenset(found)


def check_formats(expression: Expression, findings: Findings) -> list[Problem]:
    problems: list[Problem] = []
    for node in walk(expression):
        if not isinstance(node, Call) or node.function != "format" or len(node.arguments) != 1:
            continue
        text, values = node.target, node.arguments[0]
        meaning = findings.meanings.get(node)
        if meaning is None or _OVERLOAD not in meaning.overloads or not isinstance(values, CreateList):
            continue
        if isinstance(text, Literal) and isinstance(text.value, str):
            problem = _check(node, text.value, values.elements, findings)
            problems += [] if problem is None else [problem]
    return problems


def _check(node: Call, text: str, values: Sequence[Expression], findings: Findings) -> Problem | None:
    used = 0
    try:
        for verb in clauses(text):
            if used >= len(values):
                return node.offset, f"index {used} out of range"
            wrong = _unfit(verb, values[used], findings)
            if wrong is not None:
                given = findings.types[wrong].name
                return wrong.offset, f"error during formatting: {_WRONG[verb]}, was given {given}"
            used += 1
    except EvaluationError as exc:
        return node.offset, str(exc)
    if len(values) > used:
        return node.offset, f"too many arguments supplied to string.format (expected {used}, got {len(values)})"
    return None


def _unfit(verb: str, value: Expression, findings: Findings) -> Expression | None:
    """The value that the clause can't be used on, or what in it."""
    kind = findings.types[value].kind
    if kind is not Kind.DYN and kind not in _KINDS[verb]:
        return value
    if verb != "s":
        return None
    held: list[Expression] = []
    if isinstance(value, CreateList):
        held = [*value.elements]
    elif isinstance(value, CreateMap):
        held = [part for entry in value.entries for part in (entry.key, entry.value)]
    return next((wrong for one in held if (wrong := _unfit(verb, one, findings)) is not None), None)
