"""Values at JSON paths, as kubectl's templates find them: `.spec.ports[0].name`, `.status.conditions[?(@.type=="Up")]`.

Fields that are not there are no error, they lead to nothing.
Source: k8s.io/client-go/util/jsonpath (parser.go, jsonpath.go), k8s.io/client-go/third_party/forked/golang/template.
"""

from __future__ import annotations

import operator
import re
from ast import literal_eval
from collections.abc import Callable, Sequence
from typing import Any

from hyperkube_machinery.jsonpath import check_json_path

__all__ = ["NoResult", "Path", "compile_path"]

Path = Callable[[Any], list[Any]]
"""All that a path leads to in a value. Raises NoResult for one that it does not fit."""

_token_re = re.compile(
    r"""(?P<recursive>\.\.)
      | \[\?\((?P<filter>(?:[^'"()]|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")*)\)\]
      | \[(?P<array>[^\]]*)\]
      | \.(?P<field>(?:\\.|[^\s.,\[\]$@{}\\])*)
      | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<number>[+-]?[0-9][0-9.]*)
      | (?P<word>[^\W\d][^\s.,\[\]$@{}]*)
      | (?P<nothing>[\s@$])
    """,
    re.VERBOSE,
)
_comparison_re = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)
_slice_re = re.compile(r"(-?[0-9]*)(:-?[0-9]*)?(:-?[0-9]*)?")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class NoResult(ValueError):
    """The path does not fit the value: an index is beyond the end of a list, or what is compared is not alike."""


def compile_path(text: str) -> Path:
    """The path that `text`, without braces around it, is. Raises JSONPathError."""
    check_json_path("{" + text + "}")
    return _path(text)


def _path(text: str) -> Path:
    steps: list[Path] = []
    descends = False
    at = 0
    while at < len(text):
        match = _token_re.match(text, at)
        if match is None:  # upstream finds nothing there either
            return _nothing
        at = match.end()
        kind, token = str(match.lastgroup), match[str(match.lastgroup)]
        if kind == "recursive":
            steps.append(_descend)
            descends = True
            continue
        if descends and kind == "word":
            kind = "field"
        descends = False
        if kind != "nothing":
            steps.append(_STEPS[kind](token))
    return _chained(steps)


def _chained(steps: Sequence[Path]) -> Path:
    def find(value: Any) -> list[Any]:
        values = [value]
        for step in steps:
            values = [found for one in values for found in step(one)]
        return values

    return find


def _nothing(value: Any) -> list[Any]:
    return []


def _field(name: str) -> Path:
    if name == "*":
        return _every
    if not name:  # as in `.['key']`
        return lambda value: [value]
    name = name.replace("\\", "")
    return lambda value: [value[name]] if isinstance(value, dict) and name in value else []


def _every(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value[key] for key in sorted(value)]
    return list(value) if isinstance(value, list) else []


def _descend(value: Any) -> list[Any]:
    inner = _every(value)
    return [value, *(found for one in inner for found in _descend(one))] if inner else []


def _array(inside: str) -> Path:
    if inside == "*":
        inside = ":"
    if "," in inside:
        several = [_array(part.strip(" ")) for part in inside.split(",")]
        return lambda value: [found for one in several for found in one(value)]
    if (key := re.fullmatch(r"'([^']*)'", inside)) is not None:
        return _path(f".{key[1]}")
    match = _slice_re.fullmatch(inside)
    if match is None:
        return _nothing
    parts = [None if part is None else part.removeprefix(":") for part in match.groups()]
    return _slice(*(_number(part) for part in parts), single=match[2] is None)


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _slice(first: int | None, last: int | None, step: int | None, *, single: bool) -> Path:
    def find(value: Any) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise NoResult("is not array or slice")
        size = len(value)
        start = first or 0
        end = start + 1 if single else size if last is None else last
        start += size if start < 0 else 0
        end += size if end < 0 or (end == 0 and single) else 0
        if start == end:
            return []
        if not (0 <= start < size and 0 <= end <= size and start < end) or (step is not None and step <= 0):
            raise NoResult("array index out of bounds")
        return value[start:end:step]

    return find


def _filter(inside: str) -> Path:
    match = _comparison_re.fullmatch(inside)
    left = _path(match[1] if match else inside)
    right = _path(match[3]) if match else None
    compare = _OPERATORS.get(match[2]) if match else None

    def passes(item: Any) -> bool:
        if right is None:
            return bool(_found(left, item))
        lefts = left(item)
        if len(lefts) == 1 and not (rights := right(item)):
            return False
        if not lefts:
            return False
        if len(lefts) > 1 or len(rights) > 1 or compare is None or not _comparable(lefts[0], rights[0]):
            raise NoResult("can only compare one element at a time, with one like it")
        return compare(lefts[0], rights[0])

    def find(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise NoResult("is not array or slice and cannot be filtered")
        return [item for item in value if passes(item)]

    return find


def _found(path: Path, value: Any) -> list[Any]:
    try:
        return path(value)
    except NoResult:
        return []


def _comparable(one: Any, other: Any) -> bool:
    return type(one) is type(other) and isinstance(one, str | bool | int | float)


def _constant(value: Any) -> Path:
    return lambda _: [value]


def _quoted(text: str) -> Path:
    return _constant(literal_eval(text))


def _number_constant(text: str) -> Path:
    return _constant(float(text) if "." in text else int(text))


def _word(text: str) -> Path:
    return _constant({"true": True, "false": False}.get(text, text))


_STEPS: dict[str, Callable[[str], Path]] = {
    "field": _field,
    "array": _array,
    "filter": _filter,
    "quoted": _quoted,
    "number": _number_constant,
    "word": _word,
}
