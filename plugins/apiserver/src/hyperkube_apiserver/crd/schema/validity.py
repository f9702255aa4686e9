"""The fast way to know that a value is valid, which is usual.

Each schema becomes one closure. Where it says yes, nothing is wrong with a value: with its types, limits, formats and
patterns, with the keys of its lists, and with the resources inside of it. Where it says no, the exact walks (`values`,
`listitems`, `embedded`) find out what there is to say, which may be nothing: a closure need not know every odd case.
Patterns are compiled when the first text is held against them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hyperkube_apiserver.registry.apiextensions.embedded import validate_resource
from hyperkube_apiserver.registry.apiextensions.formats import has_format, known_format
from hyperkube_apiserver.registry.apiextensions.listitems import has_duplicates
from hyperkube_apiserver.registry.apiextensions.numberlimits import is_in_range, is_multiple
from hyperkube_apiserver.registry.apiextensions.structural import INT_OR_STRING, items_of
from hyperkube_apiserver.registry.apiextensions.values import validate_value
from hyperkube_machinery.patterns import PatternError, compile_pattern

__all__ = ["Valid", "compile_valid"]

Tree = Mapping[str, Any]
Valid = Callable[[Any], bool]
_Step = tuple[type, Valid]

_JUNCTORS = ("allOf", "anyOf", "oneOf", "not")
_MOST_KNOWN, _LONGEST_KNOWN = 256, 64


class _Never:
    """No value is of this type."""


def compile_valid(schema: Tree) -> Valid:
    """Whether a value of `schema` is valid for sure."""
    return _all([*_typed(schema), *_combined(schema)])


def _all(checks: list[Valid]) -> Valid:
    if not checks:
        return _is_anything
    if len(checks) == 1:
        return checks[0]
    one, rest = checks[0], _all(checks[1:])
    return lambda value: one(value) and rest(value)


def _is_anything(value: Any) -> bool:
    return True


def _refuses(value: Any) -> bool:
    return False


def _step(schema: Tree) -> _Step:
    """The type whose values are all valid, and what is asked of values of another."""
    type_ = schema.get("type")
    plain = {"string": str, "boolean": bool}.get(type_ or "", _Never)
    if plain is not _Never and not schema.keys() - _SAYS_NOTHING:
        return plain, _refuses
    return _Never, compile_valid(schema)


_SAYS_NOTHING = frozenset({"type", "description", "title", "default", "example", "externalDocs"})


def _typed(schema: Tree) -> list[Valid]:
    """What its type, and what goes with that, ask of a value."""
    if schema.get("x-kubernetes-int-or-string"):
        checks = [_either(_number(schema, int), _text(schema))]
    elif (type_ := schema.get("type") or "") in _TYPES:
        checks = [_TYPES[type_](schema)]
    else:
        checks = [_any_type(schema)]
    if enum := schema.get("enum"):
        checks.append(_one_of(enum))
    if not schema.get("nullable"):
        return checks
    check = _all(checks)
    return [lambda value: (value is None and not enum) or check(value)]


def _either(number: Valid, text: Valid) -> Valid:
    return lambda value: text(value) if value.__class__ is str else number(value)


def _any_type(schema: Tree) -> Valid:
    """Without a type each value is held against what is said of its own."""
    is_open = not known_format(schema)  # which is one of texts
    by_type: dict[type, Valid] = {
        dict: _object(schema) if is_open else _refuses,
        list: _array(schema),
        str: _text(schema),
        int: _number(schema, int) if is_open else _refuses,
        float: _refuses,
        bool: _is_anything if is_open else _refuses,
        type(None): _is_anything,
    }
    return lambda value: by_type[value.__class__](value)


def _one_of(enum: Any) -> Valid:
    texts = frozenset(one for one in enum if isinstance(one, str))
    numbers = frozenset(one for one in enum if type(one) is int)
    return lambda value: value in texts if value.__class__ is str else value.__class__ is int and value in numbers


def _boolean(schema: Tree) -> Valid:
    return lambda value: value.__class__ is bool


def _integer(schema: Tree) -> Valid:
    return _number(schema, int)


def _any_number(schema: Tree) -> Valid:
    check, is_whole = _number(schema, float), _number(schema, int)
    return lambda value: check(value) if value.__class__ is float else is_whole(value)


def _number(schema: Tree, type_: type) -> Valid:
    """Numbers in the bounds of their format. Odd bounds are left to the exact walk."""
    format_, kind = known_format(schema), schema.get("type") or ""
    low, high, factor = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    for bound in (low, high, factor):
        if bound is not None and not (is_in_range(bound, kind, format_) and float(bound).is_integer()):
            return _refuses if type_ is int else _fraction(schema)
    if factor is not None and factor < 1:
        return _refuses if type_ is int else _fraction(schema)
    least, most = (-(1 << 31), (1 << 31) - 1) if format_ == "int32" else (-(1 << 63), (1 << 63) - 1)
    least = least if low is None else max(least, int(low) + bool(schema.get("exclusiveMinimum")))
    most = most if high is None else min(most, int(high) - bool(schema.get("exclusiveMaximum")))
    if type_ is float:
        return _fraction(schema)
    if factor is None:
        return lambda value: value.__class__ is int and least <= value <= most
    return lambda value: value.__class__ is int and least <= value <= most and is_multiple(value, factor)


def _fraction(schema: Tree) -> Valid:
    """Floats are few, and their rules many."""
    has_rules = any(schema.get(name) is not None for name in ("minimum", "maximum", "multipleOf", "format"))
    if not has_rules:
        return lambda value: value.__class__ is float
    rules = {name: inner for name, inner in schema.items() if name not in _JUNCTORS and name != "enum"}
    return lambda value: value.__class__ is float and not validate_value(value, rules)


def _text(schema: Tree) -> Valid:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    checks: list[Valid] = [lambda value: value.__class__ is str]
    if longest is not None or shortest is not None:
        least, most = shortest or 0, longest if longest is not None else float("inf")
        checks.append(lambda value: least <= len(value) <= most)
    if pattern := schema.get("pattern"):
        checks.append(_matching(pattern))
    if format_ := known_format(schema):
        checks.append(lambda value: has_format(value, format_))
    return _all(checks)


def _matching(pattern: str) -> Valid:
    search: Callable[[str], Any] | None = None
    known: set[str] = set()  # texts that match: objects are alike

    def matches(value: Any) -> bool:
        nonlocal search
        if value in known:
            return True
        if search is None:
            try:
                search = compile_pattern(pattern).search
            except PatternError:
                return False
        if search(value) is None:
            return False
        if len(value) <= _LONGEST_KNOWN:
            if len(known) >= _MOST_KNOWN:
                known.clear()
            known.add(value)
        return True

    return matches


def _array(schema: Tree) -> Valid:
    items, least, most = items_of(schema), schema.get("minItems") or 0, schema.get("maxItems")
    simple, check = _step(items) if items is not None else (_Never, _is_anything)
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    is_unique = list_type in ("set", "map")
    if schema.get("uniqueItems"):
        return _refuses

    def is_valid(value: Any) -> bool:
        if value.__class__ is not list or len(value) < least or (most is not None and len(value) > most):
            return False
        for item in value:
            if item.__class__ is not simple and not check(item):
                return False
        return not (is_unique and len(value) > 1 and has_duplicates(value, keys if list_type == "map" else None))

    return is_valid


def _object(schema: Tree) -> Valid:
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    steps = {name: _step(inner) for name, inner in properties.items()}
    rest: _Step | None = (_Never, _is_anything)
    if others is False:
        rest = None
    elif isinstance(others, dict):
        rest = _step(others)
    required = tuple(schema.get("required") or ())
    least, most = schema.get("minProperties") or 0, schema.get("maxProperties")
    is_resource = bool(schema.get("x-kubernetes-embedded-resource"))

    def is_valid(value: Any) -> bool:
        if value.__class__ is not dict or len(value) < least or (most is not None and len(value) > most):
            return False
        for key in required:
            if key not in value:
                return False
        for key, inner in value.items():
            step = steps.get(key, rest)
            if step is None or (inner.__class__ is not step[0] and not step[1](inner)):
                return False
        return not is_resource or not validate_resource(value)

    return is_valid


_TYPES: Mapping[str, Callable[[Tree], Valid]] = {
    "array": _array,
    "boolean": _boolean,
    "integer": _integer,
    "number": _any_number,
    "object": _object,
    "string": _text,
}


def _combined(schema: Tree) -> list[Valid]:
    checks: list[Valid] = [compile_valid(inner) for inner in schema.get("allOf") or ()]
    # That an integer or a string is one of the two need not be asked again.
    is_said = bool(schema.get("x-kubernetes-int-or-string")) and schema.get("anyOf") == INT_OR_STRING
    if (several := schema.get("anyOf")) and not is_said:
        checks.append(_any_of([compile_valid(inner) for inner in several]))
    if several := schema.get("oneOf"):
        checks.append(_exactly_one([_for_sure(inner) for inner in several]))
    if (inner := schema.get("not")) is not None:
        is_valid = _for_sure(inner)
        checks.append(lambda value: not is_valid(value))
    return checks


def _for_sure(schema: Tree) -> Valid:
    """Where a no must be one as well."""
    check = compile_valid(schema)
    return lambda value: check(value) or not validate_value(value, schema)


def _any_of(checks: list[Valid]) -> Valid:
    return lambda value: any(check(value) for check in checks)


def _exactly_one(checks: list[Valid]) -> Valid:
    return lambda value: sum(check(value) for check in checks) == 1
