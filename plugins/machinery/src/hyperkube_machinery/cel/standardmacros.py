"""The macros of the language itself. Source: cel-go's parser/macro.go."""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_machinery.cel.ast import Expression, Ident, Select
from hyperkube_machinery.cel.expansion import ACCUMULATOR, Expander, MacroError
from hyperkube_machinery.cel.macros import Macro

__all__ = ["STANDARD_MACROS", "fold_all", "fold_exists", "fold_exists_one", "fold_list", "variable_name"]


def variable_name(node: Expression, complaint: str) -> str:
    """The name of a comprehension's variable. Raises MacroError."""
    if not isinstance(node, Ident):
        raise MacroError(complaint, node)
    if node.name in (ACCUMULATOR, "__result__"):
        raise MacroError("iteration variable overwrites accumulator variable", node)
    return node.name


def fold_all(make: Expander, range: Expression, variables: Sequence[str], predicate: Expression) -> Expression:
    return make.fold(
        range,
        variables,
        initial=make.literal(True),
        condition=make.call("@not_strictly_false", make.accumulator()),
        step=make.call("_&&_", make.accumulator(), predicate),
        result=make.accumulator(),
    )


def fold_exists(make: Expander, range: Expression, variables: Sequence[str], predicate: Expression) -> Expression:
    return make.fold(
        range,
        variables,
        initial=make.literal(False),
        condition=make.call("@not_strictly_false", make.call("!_", make.accumulator())),
        step=make.call("_||_", make.accumulator(), predicate),
        result=make.accumulator(),
    )


def fold_exists_one(make: Expander, range: Expression, variables: Sequence[str], predicate: Expression) -> Expression:
    return make.fold(
        range,
        variables,
        initial=make.literal(0),
        condition=make.literal(True),
        step=make.call("_?_:_", predicate, make.call("_+_", make.accumulator(), make.literal(1)), make.accumulator()),
        result=make.call("_==_", make.accumulator(), make.literal(1)),
    )


def fold_list(
    make: Expander, range: Expression, variables: Sequence[str], item: Expression, predicate: Expression | None
) -> Expression:
    step: Expression = make.call("_+_", make.accumulator(), make.list(item))
    if predicate is not None:
        step = make.call("_?_:_", predicate, step, make.accumulator())
    return make.fold(
        range,
        variables,
        initial=make.list(),
        condition=make.literal(True),
        step=step,
        result=make.accumulator(),
    )


def _target(target: Expression | None) -> Expression:
    assert target is not None
    return target


_Arguments = Sequence[Expression]
_NAME = "argument must be a simple name"
_IDENTIFIER = "argument is not an identifier"


def _has(make: Expander, _: Expression | None, arguments: _Arguments) -> Expression:
    selected = arguments[0]
    if not isinstance(selected, Select):
        raise MacroError("invalid argument to has() macro", selected)
    return make.select(selected.operand, selected.field, test_only=True)


def _all(make: Expander, target: Expression | None, arguments: _Arguments) -> Expression:
    return fold_all(make, _target(target), [variable_name(arguments[0], _NAME)], arguments[1])


def _exists(make: Expander, target: Expression | None, arguments: _Arguments) -> Expression:
    return fold_exists(make, _target(target), [variable_name(arguments[0], _NAME)], arguments[1])


def _exists_one(make: Expander, target: Expression | None, arguments: _Arguments) -> Expression:
    return fold_exists_one(make, _target(target), [variable_name(arguments[0], _NAME)], arguments[1])


def _map(make: Expander, target: Expression | None, arguments: _Arguments) -> Expression:
    predicate = arguments[1] if len(arguments) == 3 else None
    return fold_list(make, _target(target), [variable_name(arguments[0], _IDENTIFIER)], arguments[-1], predicate)


def _filter(make: Expander, target: Expression | None, arguments: _Arguments) -> Expression:
    return fold_list(make, _target(target), [variable_name(arguments[0], _IDENTIFIER)], arguments[0], arguments[1])


STANDARD_MACROS = (
    Macro("has", 1, False, _has),
    Macro("all", 2, True, _all),
    Macro("exists", 2, True, _exists),
    Macro("exists_one", 2, True, _exists_one),
    Macro("existsOne", 2, True, _exists_one),
    Macro("map", 2, True, _map),
    Macro("map", 3, True, _map),
    Macro("filter", 2, True, _filter),
)
