"""`math.least`, `math.ceil`, `math.bitAnd` … Source: cel-go's ext/math.go."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from hyperkube_machinery.cel.arithmetic import INT_MIN, UINT_MAX, checked_int, compare
from hyperkube_machinery.cel.ast import CreateList, CreateMap, CreateObject, Expression, Ident, Literal
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.expansion import Expander, MacroError
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.macros import Macro
from hyperkube_machinery.cel.types import BOOL, DOUBLE, DYN, INT, UINT, Type, list_of
from hyperkube_machinery.cel.values import UInt

__all__ = ["MATH"]

_NUMBERS = (DOUBLE, INT, UINT)
_NUMERIC = (int, float, UInt)


def _extreme(name: str, decide: Callable[[Any, Any], bool]) -> Function:
    """`math.@min` or `math.@max`, to which the macros lead; `decide` says whether the second is to be taken."""
    is_other = compare(name, decide)

    def pair(one: Any, other: Any) -> Any:
        try:
            return other if is_other(one, other) else one
        except EvaluationError as exc:
            raise EvaluationError(f"{exc}: {name}") from None

    def of_list(items: list[Any]) -> Any:
        if not items:
            raise EvaluationError(f"{name}(list) argument must not be empty")
        found = items[0]
        for item in items[1:]:
            found = pair(found, item)
        if type(found) not in _NUMERIC:
            raise EvaluationError(f"no such overload: {name}")
        return found

    id = name.replace(".", "_")
    return Function(
        name,
        *(Overload(f"{id}_{each}", (each,), each, lambda value: value) for each in _NUMBERS),
        *(
            Overload(f"{id}_{one}_{other}", (one, other), one if one == other else DYN, pair)
            for one in _NUMBERS
            for other in _NUMBERS
        ),
        *(Overload(f"{id}_list_{each}", (list_of(each),), each, of_list) for each in _NUMBERS),
    )


def _unary(
    name: str, types: Sequence[Type], implementation: Callable[[Any], Any], *, result: Type | None = None
) -> Function:
    return Function(
        f"math.{name}",
        *(Overload(f"math_{name}_{each}", (each,), result or each, implementation) for each in types),
    )


def _rounded(number: float) -> float:
    """Halves away from zero."""
    return number if not math.isfinite(number) else math.copysign(math.floor(abs(number) + 0.5), number)


def _integral(round: Callable[[float], int]) -> Callable[[float], float]:
    return lambda number: float(round(number)) if math.isfinite(number) else number


def _absolute(number: Any) -> Any:
    if type(number) is int:
        return checked_int(abs(number))
    return number if type(number) is UInt else abs(number)


def _sign(number: Any) -> Any:
    if number != number:
        return number
    return type(number)((number > 0) - (number < 0))


def _square_root(number: Any) -> float:
    return math.sqrt(number) if number >= 0 else math.nan


def _bitwise(name: str, implementation: Callable[[int, int], int]) -> Function:
    return Function(
        f"math.{name}",
        Overload(f"math_{name}_int_int", (INT, INT), INT, implementation),
        Overload(
            f"math_{name}_uint_uint", (UINT, UINT), UINT, lambda one, other: UInt(implementation(int(one), int(other)))
        ),
    )


def _shift(name: str, implementation: Callable[[int, int], int]) -> Function:
    def shifted(bits: int, by: int) -> int:
        if by < 0:
            raise EvaluationError(f"math.{name}() negative offset: {by}")
        return implementation(bits & UINT_MAX, by) & UINT_MAX if by < 64 else 0

    return Function(
        f"math.{name}",
        Overload(f"math_{name}_int_int", (INT, INT), INT, lambda value, by: _signed(shifted(value, by))),
        Overload(f"math_{name}_uint_int", (UINT, INT), UINT, lambda value, by: UInt(shifted(int(value), by))),
    )


def _signed(bits: int) -> int:
    return bits + 2 * INT_MIN if bits > -INT_MIN - 1 else bits


def _macro(name: str, function: str) -> Macro:
    def expand(make: Expander, target: Expression | None, arguments: Sequence[Expression]) -> Expression | None:
        if not isinstance(target, Ident) or target.name != "math":
            return None
        if not arguments:
            raise MacroError(f"math.{name}() requires at least one argument", target)
        if len(arguments) == 1:
            if not (_is_number(arguments[0]) or _is_list_of_numbers(arguments[0])):
                raise MacroError(f"math.{name}() invalid single argument value", arguments[0])
            return make.call(function, arguments[0])
        for argument in arguments:
            if not _is_number(argument):
                raise MacroError(f"math.{name}() simple literal arguments must be numeric", argument)
        return make.call(function, *(arguments if len(arguments) == 2 else [make.list(*arguments)]))

    return Macro(name, None, True, expand)


def _is_number(node: Expression) -> bool:
    if isinstance(node, Literal):
        return type(node.value) in _NUMERIC
    return not isinstance(node, CreateList | CreateMap | CreateObject)


def _is_list_of_numbers(node: Expression) -> bool:
    return isinstance(node, CreateList) and bool(node.elements) and all(map(_is_number, node.elements))


MATH = Library(
    name="cel.lib.ext.math",
    functions=(
        _extreme("math.@min", operator.gt),
        _extreme("math.@max", operator.lt),
        _unary("ceil", [DOUBLE], _integral(math.ceil)),
        _unary("floor", [DOUBLE], _integral(math.floor)),
        _unary("round", [DOUBLE], _rounded),
        _unary("trunc", [DOUBLE], _integral(math.trunc)),
        _unary("isInf", [DOUBLE], math.isinf, result=BOOL),
        _unary("isNaN", [DOUBLE], math.isnan, result=BOOL),
        _unary("isFinite", [DOUBLE], math.isfinite, result=BOOL),
        _unary("abs", _NUMBERS, _absolute),
        _unary("sign", _NUMBERS, _sign),
        _unary("sqrt", _NUMBERS, _square_root, result=DOUBLE),
        _bitwise("bitAnd", operator.and_),
        _bitwise("bitOr", operator.or_),
        _bitwise("bitXor", operator.xor),
        Function(
            "math.bitNot",
            Overload("math_bitNot_int_int", (INT,), INT, operator.invert),
            Overload("math_bitNot_uint_uint", (UINT,), UINT, lambda value: UInt(~int(value) & UINT_MAX)),
        ),
        _shift("bitShiftLeft", operator.lshift),
        _shift("bitShiftRight", operator.rshift),
    ),
    macros=(_macro("least", "math.@min"), _macro("greatest", "math.@max")),
)
