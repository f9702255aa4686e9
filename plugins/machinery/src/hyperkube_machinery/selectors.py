"""Label and field selectors: their grammar, their errors and what they match.

Source: k8s.io/apimachinery/pkg/labels, k8s.io/apimachinery/pkg/fields, metav1.LabelSelectorAsSelector,
LabelSelector.String in k8s.io/apimachinery/pkg/apis/meta/v1/generated.pb.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.errors import APIError, FieldError
from hyperkube_machinery.names import label_value, qualified_name

__all__ = [
    "EVERYTHING",
    "NOTHING",
    "FieldRequirement",
    "FieldSelector",
    "LabelRequirement",
    "LabelSelector",
    "go_text",
    "label_selector",
    "parse_fields",
    "parse_labels",
]


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """One condition on one label."""

    key: str
    operator: str  # in, notin, =, ==, !=, exists, !, gt, lt
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        number, limit = _int64(value or ""), _int64(self.values[0])
        if number is None or limit is None:
            return False
        return number > limit if self.operator == "gt" else number < limit

    def __str__(self) -> str:
        listed = ",".join(sorted(self.values))
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({listed})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{listed}"
        return f"{self.key}{self.operator}{listed}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Every requirement must hold; without any, all labels match. `nothing` matches none (an absent selector)."""

    requirements: tuple[LabelRequirement, ...] = ()
    nothing: bool = False

    @property
    def empty(self) -> bool:
        """Whether it leaves all objects."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.nothing and all(one.matches(labels) for one in self.requirements)

    def __str__(self) -> str:
        return ",".join(str(one) for one in self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """One condition on one selectable field."""

    field: str
    operator: str  # = or !=
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Every requirement must hold; a field that has no value counts as empty."""

    requirements: tuple[FieldRequirement, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.requirements

    def matches(self, values: Mapping[str, str]) -> bool:
        return all((values.get(one.field, "") == one.value) is (one.operator == "=") for one in self.requirements)

    @property
    def names(self) -> Iterator[str]:
        """The fields that are asked for."""
        return (one.field for one in self.requirements)

    def exact(self, field: str) -> str | None:
        """The value that `field` must have, if there is just one."""
        return next((one.value for one in self.requirements if one.field == field and one.operator == "="), None)

    def renamed(self, rename: Callable[[str], str]) -> FieldSelector:
        """The selector with each field called what `rename` returns; it raises what it does not accept."""
        return FieldSelector(
            tuple(FieldRequirement(rename(one.field), one.operator, one.value) for one in self.requirements)
        )


class _Mistake(Exception):
    """What is wrong with a selector's text."""


def _int64(text: str) -> int | None:
    if not re.fullmatch("[+-]?[0-9]+", text):
        return None
    number = int(text) if len(text) < 25 else 1 << 63
    return number if -(1 << 63) <= number < 1 << 63 else None


def parse_labels(text: str) -> LabelSelector:
    """The selector in `text`, such as `env in (a,b),!canary,tier=web`. Raises 400 with the parser's complaint."""
    try:
        requirements = list(_Parser(text).requirements())
    except _Mistake as exc:
        raise APIError.bad_request(str(exc)) from None
    return LabelSelector(tuple(sorted(requirements, key=lambda one: one.key)))


_SPACE = " \t\r\n"
_SYMBOLS = "=!(),><"
_OPERATORS = {"in": "in", "notin": "notin", "=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt"}
_IDENTIFIER, _END = "identifier", "end"  # kinds of token; every other token's kind is its text


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of kind and text, the last of kind `_END`. `in` and `notin` may be keywords or values."""
    position = 0
    while True:
        while position < len(text) and text[position] in _SPACE:
            position += 1
        # A zero byte ends the text, as it does upstream.
        if position == len(text) or text[position] == "\0":
            yield _END, ""
            return
        start = position
        if text[start] in _SYMBOLS:
            position += 2 if text[start : start + 2] in ("==", "!=") else 1
            yield text[start:position], text[start:position]
            continue
        while position < len(text) and text[position] not in _SYMBOLS and text[position] not in _SPACE + "\0":
            position += 1
        word = text[start:position]
        yield (word if word in ("in", "notin") else _IDENTIFIER), word
        position += position < len(text) and text[position] == "\0"


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._position = 0

    def _peek(self) -> tuple[str, str]:
        kind, text = self._tokens[self._position]
        return (_IDENTIFIER if kind in ("in", "notin") else kind), text

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        self._position += 1
        return token

    def requirements(self) -> Iterator[LabelRequirement]:
        while True:
            kind, text = self._peek()
            if kind == _END:
                return
            if kind not in (_IDENTIFIER, "!"):
                raise _Mistake(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                yield self._requirement()
            except _Mistake as exc:
                raise _Mistake(f"unable to parse requirement: {exc}") from None
            kind, text = self._take()
            if kind == _END:
                return
            if kind != ",":
                raise _Mistake(f"found '{text}', expected: ',' or 'end of string'")
            kind, text = self._peek()
            if kind not in (_IDENTIFIER, "!"):
                raise _Mistake(f"found '{text}', expected: identifier after ','")

    def _requirement(self) -> LabelRequirement:
        kind, key = self._take()
        absent = kind == "!"
        if absent:
            kind, key = self._take()
        if kind != _IDENTIFIER:
            raise _Mistake(f"found '{key}', expected: identifier")
        if wrong := qualified_name(key):
            # The path that upstream has not set here prints as <nil>.
            raise _Mistake(_told(FieldError.invalid("<nil>", key, "; ".join(wrong))))
        if absent or self._peek()[0] in (_END, ","):
            return _checked(key, "!" if absent else "exists", [])
        kind, text = self._tokens[self._position]  # here `in` and `notin` are operators
        self._position += 1
        operator = _OPERATORS.get(kind)
        if operator is None:
            raise _Mistake(f"found '{text}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._values() if operator in ("in", "notin") else self._exact_value()
        return _checked(key, operator, sorted(values))

    def _values(self) -> set[str]:
        kind, text = self._take()
        if kind != "(":
            raise _Mistake(f"found '{text}' expected: '('")
        kind, text = self._peek()
        if kind == ")":
            self._take()
            return {""}
        if kind not in (_IDENTIFIER, ","):
            raise _Mistake(f"found '{text}', expected: ',', ')' or identifier")
        values = self._list()
        self._take()
        return values

    def _list(self) -> set[str]:
        """Texts between commas, each possibly empty, up to the closing parenthesis."""
        values: set[str] = set()
        while True:
            kind, text = self._take()
            if kind == _IDENTIFIER:
                values.add(text)
                kind, text = self._peek()
                if kind == ")":
                    return values
                if kind != ",":
                    raise _Mistake(f"found '{text}', expected: ',' or ')'")
            elif kind == ",":
                if not values:
                    values.add("")
                kind, _ = self._peek()
                if kind in (")", ","):
                    values.add("")
                if kind == ")":
                    return values
            else:
                raise _Mistake(f"found '{text}', expected: ',', or identifier")

    def _exact_value(self) -> set[str]:
        if self._peek()[0] in (_END, ","):
            return {""}
        kind, text = self._take()
        if kind != _IDENTIFIER:
            raise _Mistake(f"found '{text}', expected: identifier")
        return {text}


def _told(error: FieldError) -> str:
    return f"{error.field}: {error.message}"


def _checked(key: str, operator: str, values: Sequence[str]) -> LabelRequirement:
    errors: list[FieldError] = []
    if wrong := qualified_name(key):
        errors.append(FieldError.invalid("key", key, "; ".join(wrong)))
    if operator in ("in", "notin") and not values:
        errors.append(FieldError.invalid("values", [], "for 'in', 'notin' operators, values set can't be empty"))
    if operator in ("exists", "!") and values:
        detail = "values set must be empty for exists and does not exist"
        errors.append(FieldError.invalid("values", list(values), detail))
    if operator in ("gt", "lt"):
        errors += [
            FieldError.invalid(f"values[{index}]", value, "for 'Gt', 'Lt' operators, the value must be an integer")
            for index, value in enumerate(values)
            if _int64(value) is None
        ]
    for index, value in enumerate(values):
        if wrong := label_value(value):
            errors.append(FieldError.invalid(f"values[{index}][{key}]", value, "; ".join(wrong)))
    if errors:
        texts = list(dict.fromkeys(_told(error) for error in errors))
        raise _Mistake(texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]")
    return LabelRequirement(key, operator, tuple(values))


_OBJECT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def label_selector(tree: Mapping[str, Any] | None) -> LabelSelector:
    """The selector of a `LabelSelector` object: none matches nothing, an empty one everything.

    Raises ValueError for what no validation should have let through.
    """
    if tree is None:
        return NOTHING
    try:
        requirements = [_checked(key, "=", [value]) for key, value in (tree.get("matchLabels") or {}).items()]
        for expression in tree.get("matchExpressions") or ():
            given = expression.get("operator", "")
            operator = _OBJECT_OPERATORS.get(given)
            if operator is None:
                raise _Mistake(f'"{given}" is not a valid label selector operator')
            requirements.append(_checked(expression.get("key", ""), operator, expression.get("values") or ()))
    except _Mistake as exc:
        raise ValueError(str(exc)) from None
    return LabelSelector(tuple(sorted(requirements, key=lambda one: one.key)))


def parse_fields(text: str) -> FieldSelector:
    """The selector in `text`, such as `spec.nodeName=n1,status.phase!=Running`. Raises 400.

    Which fields a kind has is not known here: see `Strategy.field_selector` of the API server.
    """
    requirements: list[FieldRequirement] = []
    for term in sorted(_terms(text)):
        if not term:
            continue
        found = re.search("!=|==|=", term)
        if found is None:
            raise APIError.bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        operator = "!=" if found[0] == "!=" else "="
        requirements.append(FieldRequirement(term[: found.start()], operator, _unescaped(term[found.end() :])))
    return FieldSelector(tuple(requirements))


def _terms(text: str) -> list[str]:
    """The parts between commas that no backslash protects; backslashes stay."""
    terms = [""]
    chars = iter(text)
    for char in chars:
        if char == ",":
            terms.append("")
        else:
            terms[-1] += char + next(chars, "") if char == "\\" else char
    return terms


def _unescaped(text: str) -> str:
    value: list[str] = []
    chars = iter(text)
    for char in chars:
        if char == "\\":
            char = next(chars, "")
            if char not in ("\\", ",", "="):
                raise APIError.bad_request(f"invalid field selector: invalid escape sequence: \\{char}")
        elif char in ",=":
            # Upstream shows the character as its number.
            raise APIError.bad_request(f"invalid field selector: unescaped character in value: {ord(char)}")
        value.append(char)
    return "".join(value)


def go_text(selector: Mapping[str, Any]) -> str:
    """A metav1.LabelSelector as Go prints the message, which is what columns and events show."""
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{one.get('key', '')},Operator:{one.get('operator', '')},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
