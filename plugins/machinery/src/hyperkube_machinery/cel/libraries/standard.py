"""The functions, types and macros of the language itself.

Operators that decide whether something is evaluated at all (`&&`, `||`, `?:`), and access by index, are declared here
and compiled specially. Source: cel-go's common/stdlib/standard.go, whose ids of overloads these are.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from hyperkube_machinery.cel import arithmetic, costs
from hyperkube_machinery.cel.access import qualify
from hyperkube_machinery.cel.conversions import CONVERSIONS
from hyperkube_machinery.cel.equality import contains, equal, find_key
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kinds import type_of_value
from hyperkube_machinery.cel.libraries.times import TIME_FUNCTIONS
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.standardmacros import STANDARD_MACROS
from hyperkube_machinery.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Type,
    list_of,
    map_of,
    type_of,
    type_parameter,
)
from hyperkube_machinery.patterns import PatternError, matches

__all__ = ["CROSS_TYPE_COMPARISONS", "STANDARD"]

_A, _B = type_parameter("A"), type_parameter("B")
_LIST, _MAP = list_of(_A), map_of(_A, _B)

_NAMES = {
    BOOL: "bool",
    INT: "int64",
    UINT: "uint64",
    DOUBLE: "double",
    STRING: "string",
    BYTES: "bytes",
    TIMESTAMP: "timestamp",
    DURATION: "duration",
}
_ORDERED = (
    (BOOL, BOOL),
    (INT, INT),
    (INT, DOUBLE),
    (INT, UINT),
    (UINT, UINT),
    (UINT, DOUBLE),
    (UINT, INT),
    (DOUBLE, DOUBLE),
    (DOUBLE, INT),
    (DOUBLE, UINT),
    (STRING, STRING),
    (BYTES, BYTES),
    (TIMESTAMP, TIMESTAMP),
    (DURATION, DURATION),
)
_COMPARISONS: tuple[tuple[str, str, Callable[[Any, Any], bool]], ...] = (
    ("_<_", "less", operator.lt),
    ("_<=_", "less_equals", operator.le),
    ("_>_", "greater", operator.gt),
    ("_>=_", "greater_equals", operator.ge),
)


def _comparison(function: str, name: str, decide: Callable[[Any, Any], bool]) -> Function:
    compared = arithmetic.compare(function, decide)
    return Function(
        function,
        *(
            Overload(
                f"{name}_{_NAMES[one]}" if one == other else f"{name}_{_NAMES[one]}_{_NAMES[other]}",
                (one, other),
                BOOL,
                compared,
                cost=costs.shorter if one in (STRING, BYTES) else None,
                estimate=costs.estimate_shorter if one in (STRING, BYTES) else None,
            )
            for one, other in _ORDERED
        ),
        guarded=False,
    )


CROSS_TYPE_COMPARISONS = frozenset(
    f"{name}_{_NAMES[one]}_{_NAMES[other]}" for _, name, _ in _COMPARISONS for one, other in _ORDERED if one != other
)
"""The ids of comparisons of numbers of different types, which environments may do without."""


def _binary(function: str, implementation: Callable[..., Any], *signatures: tuple[str, Type, Type, Type]) -> Function:
    return Function(
        function,
        *(Overload(id, (one, other), result, implementation) for id, one, other, result in signatures),
        guarded=False,
    )


def _never(*_: Any) -> Any:
    raise EvaluationError("no such overload")


def _not(value: Any) -> bool:
    if value is True or value is False:
        return not value
    raise EvaluationError("no such overload")


def _in(wanted: Any, within: Any) -> bool:
    if isinstance(within, list):
        return contains(within, wanted)
    if isinstance(within, Mapping):
        return find_key(within, wanted) is not None
    raise EvaluationError("no such overload")


def _matches(text: Any, pattern: Any) -> bool:
    if text.__class__ is not str or pattern.__class__ is not str:
        raise EvaluationError("no such overload" if text.__class__ is str else "no such overload: matches")
    try:
        return matches(pattern, text)
    except PatternError as exc:
        raise EvaluationError(str(exc)) from None


def _joined(one: Any, other: Any) -> int:
    """How long two lists are together, if they are lists."""
    return len(one) + len(other) if isinstance(one, list) and isinstance(other, list) else 0


def _size(value: Any) -> int:
    if value.__class__ in (int, float, bool) or not hasattr(value, "__len__"):
        raise EvaluationError("no such overload: size")
    return len(value)


_OPERATORS = (
    Function("_?_:_", Overload("conditional", (BOOL, _A, _A), _A, _never)),
    Function("_&&_", Overload("logical_and", (BOOL, BOOL), BOOL, _never)),
    Function("_||_", Overload("logical_or", (BOOL, BOOL), BOOL, _never)),
    Function("!_", Overload("logical_not", (BOOL,), BOOL, _not), guarded=False),
    Function("@not_strictly_false", Overload("not_strictly_false", (BOOL,), BOOL, lambda value: value is not False)),
    Function("_==_", Overload("equals", (_A, _A), BOOL, equal, estimate=costs.estimate_shorter)),
    Function(
        "_!=_",
        Overload(
            "not_equals", (_A, _A), BOOL, lambda one, other: not equal(one, other), estimate=costs.estimate_shorter
        ),
    ),
    Function(
        "_+_",
        Overload("add_bytes", (BYTES, BYTES), BYTES, arithmetic.add, cost=costs.both, estimate=costs.estimate_both),
        Overload("add_double", (DOUBLE, DOUBLE), DOUBLE, arithmetic.add),
        Overload("add_duration_duration", (DURATION, DURATION), DURATION, arithmetic.add),
        Overload("add_duration_timestamp", (DURATION, TIMESTAMP), TIMESTAMP, arithmetic.add),
        Overload("add_timestamp_duration", (TIMESTAMP, DURATION), TIMESTAMP, arithmetic.add),
        Overload("add_int64", (INT, INT), INT, arithmetic.add),
        Overload("add_list", (_LIST, _LIST), _LIST, arithmetic.add, work=_joined),
        Overload("add_string", (STRING, STRING), STRING, arithmetic.add, cost=costs.both, estimate=costs.estimate_both),
        Overload("add_uint64", (UINT, UINT), UINT, arithmetic.add),
        guarded=False,
    ),
    _binary(
        "_/_",
        arithmetic.divide,
        ("divide_double", DOUBLE, DOUBLE, DOUBLE),
        ("divide_int64", INT, INT, INT),
        ("divide_uint64", UINT, UINT, UINT),
    ),
    _binary("_%_", arithmetic.modulo, ("modulo_int64", INT, INT, INT), ("modulo_uint64", UINT, UINT, UINT)),
    _binary(
        "_*_",
        arithmetic.multiply,
        ("multiply_double", DOUBLE, DOUBLE, DOUBLE),
        ("multiply_int64", INT, INT, INT),
        ("multiply_uint64", UINT, UINT, UINT),
    ),
    Function(
        "-_",
        Overload("negate_double", (DOUBLE,), DOUBLE, arithmetic.negate),
        Overload("negate_int64", (INT,), INT, arithmetic.negate),
        guarded=False,
    ),
    _binary(
        "_-_",
        arithmetic.subtract,
        ("subtract_double", DOUBLE, DOUBLE, DOUBLE),
        ("subtract_duration_duration", DURATION, DURATION, DURATION),
        ("subtract_int64", INT, INT, INT),
        ("subtract_timestamp_duration", TIMESTAMP, DURATION, TIMESTAMP),
        ("subtract_timestamp_timestamp", TIMESTAMP, TIMESTAMP, DURATION),
        ("subtract_uint64", UINT, UINT, UINT),
    ),
    *(_comparison(*each) for each in _COMPARISONS),
    Function(
        "_[_]",
        Overload("index_list", (_LIST, INT), _A, qualify),
        Overload("index_map", (_MAP, _A), _B, qualify),
        guarded=False,
    ),
    Function(
        "@in",
        Overload("in_list", (_A, _LIST), BOOL, _in, cost=costs.second_size, estimate=costs.estimate_second_size),
        Overload("in_map", (_A, _MAP), BOOL, _in),
        guarded=False,
    ),
)

_SIZED = ((BYTES, "bytes"), (_LIST, "list"), (_MAP, "map"), (STRING, "string"))
_SIZE = Function(
    "size",
    *(
        overload
        for type, name in _SIZED
        for overload in (
            Overload(f"size_{name}", (type,), INT, _size),
            Overload(f"{name}_size", (type,), INT, _size, member=True),
        )
    ),
    guarded=False,
)


def _string_test(function: str, id: str, test: Callable[[str, str], bool], **prices: Any) -> Function:
    def tested(text: Any, part: Any) -> bool:
        if text.__class__ is not str or part.__class__ is not str:
            raise EvaluationError("no such overload")
        return test(text, part)

    return Function(function, Overload(id, (STRING, STRING), BOOL, tested, member=True, **prices), guarded=False)


_STRINGS = (
    _string_test(
        "contains",
        "contains_string",
        lambda text, part: part in text,
        cost=costs.contains,
        estimate=costs.estimate_contains,
    ),
    _string_test(
        "endsWith", "ends_with_string", str.endswith, cost=costs.first, estimate=costs.estimate_first_argument
    ),
    _string_test(
        "startsWith", "starts_with_string", str.startswith, cost=costs.first, estimate=costs.estimate_first_argument
    ),
    Function(
        "matches",
        Overload("matches", (STRING, STRING), BOOL, _matches),
        Overload(
            "matches_string",
            (STRING, STRING),
            BOOL,
            _matches,
            member=True,
            cost=costs.matches,
            estimate=costs.estimate_matches,
        ),
        guarded=False,
    ),
)

_PRICED = {
    "string_to_bytes": (costs.first, costs.estimate_string_to_bytes),
    "bytes_to_string": (costs.first, costs.estimate_bytes_to_string),
}


def _conversion(function: str) -> Function:
    return Function(
        function,
        *(
            Overload(
                id,
                (given,),
                wanted,
                implementation,
                cost=_PRICED[id][0] if id in _PRICED else None,
                estimate=_PRICED[id][1] if id in _PRICED else None,
            )
            for id, given, wanted, implementation in CONVERSIONS[function]
        ),
    )


_CONVERSIONS = (
    *map(_conversion, CONVERSIONS),
    Function("type", Overload("type", (_A,), type_of(_A), type_of_value)),
    Function("dyn", Overload("to_dyn", (_A,), DYN, lambda value: value)),
)

STANDARD = Library(
    name="stdlib",
    functions=(*_OPERATORS, _SIZE, *_STRINGS, *_CONVERSIONS, *TIME_FUNCTIONS),
    macros=STANDARD_MACROS,
    types={
        "bool": BOOL,
        "bytes": BYTES,
        "double": DOUBLE,
        "google.protobuf.Duration": DURATION,
        "google.protobuf.Timestamp": TIMESTAMP,
        "int": INT,
        "list": list_of(DYN),
        "map": map_of(DYN, DYN),
        "null_type": NULL,
        "string": STRING,
        "type": TYPE,
        "uint": UINT,
    },
)
