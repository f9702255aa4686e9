"""What a schema says of a value, in the words of the API server.

A schema is the tree of a definition (JSONSchemaProps) that is valid itself. Of several alternatives that all fail, the
errors of the one are told that came farthest, which is counted as upstream counts it.
Source: k8s.io/kube-openapi/pkg/validation/validate, k8s.io/apiextensions-apiserver/pkg/apiserver/validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_apiserver.registry.apiextensions.correlation import Correlated
from hyperkube_apiserver.registry.apiextensions.formats import has_format, known_format
from hyperkube_apiserver.registry.apiextensions.numberlimits import is_whole, wrong_numbers
from hyperkube_apiserver.registry.apiextensions.sameness import same
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.patterns import PatternError, matches
from hyperkube_machinery.quoting import quoted

__all__ = ["validate_value"]

Tree = Mapping[str, Any]


def validate_value(
    value: Any, schema: Tree, path: str = "", old: Correlated | None = None, *, is_default: bool = False
) -> list[FieldError]:
    """What is wrong with `value`, which stands at `path`.

    What is wrong below `old` is left out where nothing changed. A default may be of any type where an integer or a
    string is wanted.
    """
    result = _Validator(path, is_default).check(value, schema, "", old)
    if not result.errors or (old is not None and old.is_same()):
        return []
    # What several schemas say alike is told once.
    return list({(error.field, error.reason, error.detail): error for error in reversed(result.errors)}.values())[::-1]


@dataclass(slots=True)
class _Result:
    errors: list[FieldError] = field(default_factory=list)
    matched: int = 0

    def add(self, other: _Result) -> None:
        self.errors += other.errors
        self.matched += other.matched


class _Validator:
    def __init__(self, root: str, is_default: bool) -> None:
        self._root = root
        self._is_default = is_default

    def check(self, value: Any, schema: Tree, at: str, old: Correlated | None = None) -> _Result:
        """`at` is where `value` stands below the root: `.spec.ports[0]`, or empty."""
        result = _Result()
        types = _types(schema, of_default=self._is_default)
        format_ = known_format(schema)
        # Only of schemas that hold for objects are formats dropped which mean nothing to their type.
        asked = str(schema.get("format") or "") if self._is_default else format_
        if value is None:
            result.errors += self._type(value, types, asked, schema, at)
            result.matched = 1
            result.errors += self._enum(value, schema, at)
            return result
        if types or asked:
            result.errors += self._type(value, types, asked, schema, at)
            result.matched += 2
        result.add(self._combined(value, schema, at))
        result.matched += 1
        if isinstance(value, str):
            result.errors += self._string(value, schema, at)
            result.matched += 1
            if asked != format_:
                format_ = known_format({"format": asked})
            if format_ and not has_format(value, format_):
                result.errors.append(self._wrong_type(at, f"{schema['format']}: {quoted(value)}", value))
            result.matched += bool(format_)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            result.errors += self._number(value, types, format_, schema, at)
            result.matched += 2
        elif isinstance(value, list):
            result.add(self._list(value, schema, at, old))
            result.matched += 2
        result.errors += self._enum(value, schema, at)
        result.matched += 1
        if isinstance(value, dict):
            result.add(self._object(value, schema, at, old))
            result.matched += 1
        result.matched += 1
        return result

    def _path(self, at: str) -> str:
        """An object as a whole has no path, which Go prints as it prints no pointer."""
        at = at.removeprefix(".")
        return (f"{self._root}.{at}" if at else self._root) if self._root else at or "<nil>"

    def _invalid(self, at: str, value: Any, text: str) -> FieldError:
        return FieldError.invalid(self._path(at), "" if value is None else value, f"{at} in body {text}")

    def _wrong_type(self, at: str, wanted: str, value: Any) -> FieldError:
        return FieldError.type_invalid(self._path(at), value, f"{at} in body must be of type {wanted}")

    def _type(self, value: Any, types: Sequence[str], format_: str, schema: Tree, at: str) -> list[FieldError]:
        listed = ",".join(types)
        if value is None:
            if not types or schema.get("nullable"):
                return []
            return [self._wrong_type(at, f'{listed}: "null"', "null")]
        found = _type_of(value)
        fits = (
            found in types
            or (found == "number" and "integer" in types and is_whole(value))
            or (found == "integer" and "number" in types)
        )
        if fits:
            return []
        is_text = isinstance(value, str | list)
        if format_ and is_text and not {"number", "integer"} & set(types):
            return []
        if format_ and not is_text:
            native = {"integer": "int64", "number": "float64"}.get(found, "")
            return [] if native == format_ else [self._wrong_type(at, f'{schema["format"]}: "{native}"', native)]
        return [self._wrong_type(at, f'{listed}: "{found}"', found)] if types else []

    def _enum(self, value: Any, schema: Tree, at: str) -> list[FieldError]:
        allowed = schema.get("enum") or ()
        if not allowed or any(_converts(value, one) for one in allowed):
            return []
        words = [one if isinstance(one, str) else encode(one).decode() for one in allowed]
        return [FieldError.not_supported(self._path(at), value, words)]

    def _string(self, value: str, schema: Tree, at: str) -> list[FieldError]:
        longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern") or ""
        if longest is not None and len(value) > longest:
            return [FieldError.too_long(self._path(at), longest)]
        if shortest is not None and len(value) < shortest:
            return [self._invalid(at, value, f"should be at least {shortest} chars long")]
        if not pattern:
            return []
        try:
            if matches(pattern, value):
                return []
        except PatternError as exc:
            pattern = f"{pattern}, but pattern is invalid: {exc}"
        return [self._invalid(at, value, f"should match '{pattern}'")]

    def _number(self, value: float, types: Sequence[str], format_: str, schema: Tree, at: str) -> list[FieldError]:
        type_ = types[0] if len(types) == 1 else ""
        told = wrong_numbers(value, type_, format_, schema, at)
        return [
            FieldError.invalid(self._path("" if shown is None else at), "" if shown is None else shown, text)
            for shown, text in told
        ]

    def _list(self, value: list[Any], schema: Tree, at: str, old: Correlated | None) -> _Result:
        result = _Result()
        if isinstance(items := schema.get("items"), dict):
            for index, item in enumerate(value):
                before = None if old is None else old.item(index)
                result.add(self._unless_same(item, items, f"{at}[{index}]", before))
        least, most = schema.get("minItems"), schema.get("maxItems")
        if least is not None and len(value) < least:
            result.errors.append(self._invalid(at, len(value), f"should have at least {least} items"))
        if most is not None and len(value) > most:
            result.errors.append(FieldError.too_many(self._path(at), len(value), most))
        return result

    def _field(self, value: dict[str, Any], key: str, schema: Tree, at: str, old: Correlated | None) -> _Result:
        if at in ("kind", "apiVersion"):  # of the object itself, which was converted
            old = None
        before = None if old is None else old.field(key)
        return self._unless_same(value[key], schema, at, before)

    def _unless_same(self, value: Any, schema: Tree, at: str, old: Correlated | None) -> _Result:
        result = self.check(value, schema, at, old)
        return _Result() if result.errors and old is not None and old.is_same() else result

    def _object(self, value: dict[str, Any], schema: Tree, at: str, old: Correlated | None) -> _Result:
        result = _Result()
        least, most = schema.get("minProperties"), schema.get("maxProperties")
        if least is not None and len(value) < least:
            result.errors.append(self._invalid(at, len(value), f"should have at least {least} properties"))
        if most is not None and len(value) > most:
            result.errors.append(FieldError.too_many(self._path(at), len(value), most))
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for key in value:
            if key in properties:
                continue
            if others is False:
                text = f"{at}.{key} in body is a forbidden property"
                result.errors.append(FieldError.invalid(self._path(at), key, text))
            elif isinstance(others, dict):
                result.add(self._field(value, key, others, f"{at}.{key}", old))
        for key, inner in properties.items():
            if key in value:
                result.add(self._field(value, key, inner, f"{at}.{key}" if at else key, old))
        for key in schema.get("required") or ():
            if key not in value:
                result.errors.append(FieldError.required(self._path(f"{at}.{key}")))
        return result

    def _combined(self, value: Any, schema: Tree, at: str) -> _Result:
        """What changed does not matter here: who asks of several schemas asks of the value as it is."""
        result = _Result(matched=1)
        if (inner := schema.get("anyOf")) and (found := [self.check(value, one, at) for one in inner]):
            first = next((one for one in found if not one.errors), None)
            if first is None:
                result.errors.append(self._composite(f'"{at}" must validate at least one schema (anyOf)'))
            result.add(first or max(found, key=lambda one: one.matched))
        if inner := schema.get("oneOf"):
            result.add(self._exactly_one([self.check(value, one, at) for one in inner], at))
        if inner := schema.get("allOf"):
            found = [self.check(value, one, at) for one in inner]
            for one in found:
                result.add(one)
            if any(one.errors for one in found):
                none = "" if not all(one.errors for one in found) else ". None validated"
                result.errors.append(self._composite(f'"{at}" must validate all the schemas (allOf){none}'))
        if (inner := schema.get("not")) is not None and not self.check(value, inner, at).errors:
            result.errors.append(self._composite(f'"{at}" must not validate the schema (not)'))
        return result

    def _exactly_one(self, found: list[_Result], at: str) -> _Result:
        result = _Result()
        valid = [one for one in found if not one.errors]
        if len(valid) == 1:
            return valid[0]
        how = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
        result.errors.append(self._composite(f'"{at}" must validate one and only one schema (oneOf). {how}'))
        if not valid:
            result.add(max(found, key=lambda one: one.matched))
        return result

    def _composite(self, text: str) -> FieldError:
        return FieldError.invalid(self._path(""), "", text)


def _types(schema: Tree, *, of_default: bool) -> tuple[str, ...]:
    if schema.get("x-kubernetes-int-or-string") and not of_default:
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def _type_of(value: Any) -> str:
    kinds = {bool: "boolean", str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return kinds[type(value)]


def _converts(value: Any, wanted: Any) -> bool:
    """Whether Go finds `value` equal to `wanted` once it is converted to its type; null equals nothing."""
    if value is None or wanted is None:
        return False
    if type(wanted) is int and type(value) is float:
        return int(value) == wanted
    if type(wanted) is float and type(value) is int:
        return float(value) == wanted
    return same(value, wanted)
