"""Comprehensions of two variables: index and item, or key and value. Source: cel-go's ext/comprehensions.go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_machinery.cel.ast import Expression, Ident
from hyperkube_machinery.cel.equality import find_key
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.expansion import ACCUMULATOR, Expander, MacroError
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.macros import Expansion, Macro
from hyperkube_machinery.cel.shapes import MAP_INSERT
from hyperkube_machinery.cel.standardmacros import fold_all, fold_exists, fold_exists_one, fold_list
from hyperkube_machinery.cel.texts import show
from hyperkube_machinery.cel.types import map_of, type_parameter

__all__ = ["TWO_VARIABLE_COMPREHENSIONS"]

_K, _V = type_parameter("K"), type_parameter("V")
_MAP = map_of(_K, _V)


def _variables(arguments: Sequence[Expression]) -> list[str]:
    names: list[str] = []
    for argument in arguments[:2]:
        if not isinstance(argument, Ident):
            raise MacroError("argument must be a simple name", argument)
        names.append(argument.name)
    if names[0] == names[1]:
        raise MacroError(f"duplicate variable name: {names[0]}", arguments[1])
    for name, argument in zip(names, arguments, strict=False):
        if name in (ACCUMULATOR, "__result__"):
            raise MacroError("iteration variable overwrites accumulator variable", argument)
    return names


def _quantifier(fold: Any) -> Expansion:
    def expand(make: Expander, target: Expression | None, arguments: Sequence[Expression]) -> Expression:
        expression: Expression = fold(make, target, _variables(arguments), arguments[2])
        return expression

    return expand


def _transform_list(make: Expander, target: Expression | None, arguments: Sequence[Expression]) -> Expression:
    assert target is not None
    predicate = arguments[2] if len(arguments) == 4 else None
    return fold_list(make, target, _variables(arguments), arguments[-1], predicate)


def _transform_map(make: Expander, target: Expression | None, arguments: Sequence[Expression]) -> Expression:
    names = _variables(arguments)
    return _fold_map(make, target, names, arguments, [make.ident(names[0]), arguments[-1]])


def _transform_map_entry(make: Expander, target: Expression | None, arguments: Sequence[Expression]) -> Expression:
    return _fold_map(make, target, _variables(arguments), arguments, [arguments[-1]])


def _fold_map(
    make: Expander,
    target: Expression | None,
    names: Sequence[str],
    arguments: Sequence[Expression],
    inserted: Sequence[Expression],
) -> Expression:
    assert target is not None
    step: Expression = make.call(MAP_INSERT, make.accumulator(), *inserted)
    if len(arguments) == 4:
        step = make.call("_?_:_", arguments[2], step, make.accumulator())
    return make.fold(
        target, names, initial=make.map(), condition=make.literal(True), step=step, result=make.accumulator()
    )


def _insert(entries: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    if find_key(entries, key) is not None:
        raise EvaluationError(f"insert failed: key {show(key)} already exists")
    return {**entries, key: value}


def _merge(entries: dict[Any, Any], more: dict[Any, Any]) -> dict[Any, Any]:
    for key, value in more.items():
        entries = _insert(entries, key, value)
    return entries


TWO_VARIABLE_COMPREHENSIONS = Library(
    name="cel.lib.ext.comprev2",
    functions=(
        Function(
            MAP_INSERT,
            Overload("@mapInsert_map_key_value", (_MAP, _K, _V), _MAP, _insert),
            Overload("@mapInsert_map_map", (_MAP, _MAP), _MAP, _merge),
        ),
    ),
    macros=(
        Macro("all", 3, True, _quantifier(fold_all)),
        Macro("exists", 3, True, _quantifier(fold_exists)),
        Macro("existsOne", 3, True, _quantifier(fold_exists_one)),
        Macro("exists_one", 3, True, _quantifier(fold_exists_one)),
        *(Macro("transformList", count, True, _transform_list) for count in (3, 4)),
        *(Macro("transformMap", count, True, _transform_map) for count in (3, 4)),
        *(Macro("transformMapEntry", count, True, _transform_map_entry) for count in (3, 4)),
    ),
)
