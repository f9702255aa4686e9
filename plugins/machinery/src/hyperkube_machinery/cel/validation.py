"""What is wrong with literals, found before anything is evaluated. Source: cel-go's cel/validator.go."""

from __future__ import annotations

from collections.abc import Iterator

from hyperkube_machinery.cel.ast import Call, CreateList, CreateMap, Expression, Literal, walk
from hyperkube_machinery.cel.checking import Findings
from hyperkube_machinery.cel.conversions import CONVERSIONS
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.formatchecks import check_formats, within_formats
from hyperkube_machinery.cel.source import Problem
from hyperkube_machinery.cel.types import Kind, Type
from hyperkube_machinery.patterns import PatternError, compile_pattern

__all__ = ["check_literals"]

_CONVERTED = {"duration": "string_to_duration", "timestamp": "string_to_timestamp"}


def check_literals(expression: Expression, findings: Findings, *, mixed: bool = False) -> list[Problem]:
    """What is wrong with literals of durations, timestamps, patterns, lists and maps (which may be `mixed`)."""
    problems: list[Problem] = []
    exempt = within_formats(expression)
    for node in walk(expression):
        if isinstance(node, Call) and node.arguments and isinstance(node.arguments[0], Literal):
            literal = node.arguments[0]
            if not _is_valid(node.function, literal.value):
                problems.append((literal.offset, f"invalid {node.function} argument"))
        elif mixed or node in exempt:
            continue
        elif isinstance(node, CreateList):
            elements = [(each, index in node.optional) for index, each in enumerate(node.elements)]
            problems += [*_mixed(elements, findings)][:1]
        elif isinstance(node, CreateMap):
            problems += _mixed([(entry.key, False) for entry in node.entries], findings)
            problems += _mixed([(entry.value, entry.optional) for entry in node.entries], findings)
    return problems + check_formats(expression, findings)


def _is_valid(function: str, value: object) -> bool:
    if function in _CONVERTED and isinstance(value, str):
        convert = next(each[3] for each in CONVERSIONS[function] if each[0] == _CONVERTED[function])
        try:
            convert(value)
        except EvaluationError:
            return False
    elif function == "matches" and isinstance(value, str):
        try:
            compile_pattern(value)
        except PatternError:
            return False
    return True


def _mixed(elements: list[tuple[Expression, bool]], findings: Findings) -> Iterator[Problem]:
    """Every element whose type is another than the first's."""
    expected: Type | None = None
    for node, optional in elements:
        type = findings.types[node]
        if optional and type.parameters:
            type = type.parameters[0]
        if expected is None:
            expected = type
        elif not _equivalent(expected, type):
            yield node.offset, f"expected type '{expected}' but found '{type}'"


def _equivalent(one: Type, other: Type) -> bool:
    if Kind.TYPE_PARAMETER in (one.kind, other.kind):
        return True
    return (
        one.kind is other.kind
        and one.name == other.name
        and len(one.parameters) == len(other.parameters)
        and all(map(_equivalent, one.parameters, other.parameters))
    )
