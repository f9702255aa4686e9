"""Values that may be absent: `a.?b`, `[?x]`, `optional.of(x)`, `or`, `optMap` … Source: cel-go's cel/library.go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_machinery.cel.access import find
from hyperkube_machinery.cel.ast import Expression, Ident
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.expansion import Expander, MacroError
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.macros import Macro
from hyperkube_machinery.cel.texts import show
from hyperkube_machinery.cel.times import MIN_SECONDS, SECOND
from hyperkube_machinery.cel.types import BOOL, DYN, INT, STRING, list_of, map_of, optional_of, type_parameter
from hyperkube_machinery.cel.values import ABSENT, Duration, Optional, Timestamp

__all__ = ["OPTIONALS", "bind"]

_K, _V = type_parameter("K"), type_parameter("V")
_OPTIONAL = optional_of(_V)
_LIST, _MAP = list_of(_V), map_of(_K, _V)


def _of_non_zero(value: Any) -> Optional:
    return ABSENT if _is_zero(value) else Optional(value)


def _is_zero(value: Any) -> bool:
    match value:
        case None | False:
            return True
        case int() | float():
            return value == 0
        case str() | bytes() | list() | Mapping():
            return not value
        case Duration():
            return value.nanoseconds == 0
        case Timestamp():
            return value.nanoseconds == MIN_SECONDS * SECOND
        case Optional():
            return not value.present
    return False


def _value(held: Optional) -> Any:
    if not held.present:
        raise EvaluationError("optional.none() dereference")
    return held.value


def _first(items: list[Any]) -> Optional:
    return Optional(items[0]) if items else ABSENT


def _last(items: list[Any]) -> Optional:
    return Optional(items[-1]) if items else ABSENT


def _unwrap(items: list[Any]) -> list[Any]:
    for item in items:
        if not isinstance(item, Optional):
            raise EvaluationError(f"value {show(item)} is not optional")
    return [item.value for item in items if item.present]


def _or(held: Any, other: Any) -> Any:
    return held if held.present else other


def bind(make: Expander, name: str, value: Expression, result: Expression) -> Expression:
    """The result, in which the name stands for the value; that is evaluated when it is asked for."""
    return make.fold(
        make.list(),
        ["#unused"],
        accumulator=name,
        initial=value,
        condition=make.literal(False),
        step=make.ident(name),
        result=result,
    )


def _mapped(function: str, *, flat: bool) -> Macro:
    def expand(make: Expander, target: Expression | None, arguments: Sequence[Expression]) -> Expression:
        name, result = arguments
        assert target is not None
        if not isinstance(name, Ident):
            raise MacroError(f"{function}() variable name must be a simple identifier", name)
        bound = bind(make, name.name, make.member_call("value", make.copy(target)), result)
        return make.call(
            "_?_:_",
            make.member_call("hasValue", target),
            bound if flat else make.call("optional.of", bound),
            make.call("optional.none"),
        )

    return Macro(function, 2, True, expand)


OPTIONALS = Library(
    name="cel.lib.optional",
    functions=(
        Function("optional.of", Overload("optional_of", (_V,), _OPTIONAL, Optional)),
        Function("optional.ofNonZeroValue", Overload("optional_ofNonZeroValue", (_V,), _OPTIONAL, _of_non_zero)),
        Function("optional.none", Overload("optional_none", (), _OPTIONAL, lambda: ABSENT)),
        Function("value", Overload("optional_value", (_OPTIONAL,), _V, _value, member=True)),
        Function("hasValue", Overload("optional_hasValue", (_OPTIONAL,), BOOL, lambda held: held.present, member=True)),
        Function("or", Overload("optional_or_optional", (_OPTIONAL, _OPTIONAL), _OPTIONAL, _or, member=True)),
        Function(
            "orValue",
            Overload(
                "optional_orValue_value",
                (_OPTIONAL, _V),
                _V,
                lambda held, other: held.value if held.present else other,
                member=True,
            ),
        ),
        Function("_?._", Overload("select_optional_field", (DYN, STRING), _OPTIONAL, find)),
        Function(
            "_[?_]",
            Overload("list_optindex_optional_int", (_LIST, INT), _OPTIONAL, find),
            Overload("optional_list_optindex_optional_int", (optional_of(_LIST), INT), _OPTIONAL, find),
            Overload("map_optindex_optional_value", (_MAP, _K), _OPTIONAL, find),
            Overload("optional_map_optindex_optional_value", (optional_of(_MAP), _K), _OPTIONAL, find),
        ),
        Function(
            "_[_]",
            Overload("optional_list_index_int", (optional_of(_LIST), INT), _OPTIONAL, find),
            Overload("optional_map_index_value", (optional_of(_MAP), _K), _OPTIONAL, find),
            guarded=False,
        ),
        Function("last", Overload("list_last", (_LIST,), _OPTIONAL, _last, member=True)),
        Function("first", Overload("list_first", (_LIST,), _OPTIONAL, _first, member=True)),
        Function("optional.unwrap", Overload("optional_unwrap", (list_of(_OPTIONAL),), _LIST, _unwrap)),
        Function("unwrapOpt", Overload("optional_unwrapOpt", (list_of(_OPTIONAL),), _LIST, _unwrap, member=True)),
    ),
    macros=(_mapped("optMap", flat=False), _mapped("optFlatMap", flat=True)),
    types={"optional_type": optional_of(DYN)},
)
