"""What regular expressions find: `"abc 123".find("[0-9]+")`. Source: k8s.io/apiserver/pkg/cel/library/regex.go."""

from __future__ import annotations

from typing import Any

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.types import INT, STRING, list_of
from hyperkube_machinery.patterns import PatternError, compile_pattern

__all__ = ["REGEXES"]


def _compiled(pattern: str) -> Any:
    try:
        return compile_pattern(pattern)
    except PatternError as exc:
        raise EvaluationError(f"Illegal regex: {exc}") from None


def _find(text: str, pattern: str) -> str:
    match = _compiled(pattern).search(text)
    return match[0] if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    """As Go finds them: an empty match right behind another is none."""
    compiled = _compiled(pattern)
    found: list[str] = []
    position, last_end = 0, -1
    while position <= len(text) and (limit < 0 or len(found) < limit):
        match = compiled.search(text, position)
        if match is None:
            break
        start, end = match.span()
        if end != position or start != last_end:
            found.append(match[0])
        position = end if end != position else position + 1
        last_end = end
    return found


REGEXES = Library(
    name="kubernetes.regex",
    functions=(
        Function("find", Overload("string_find_string", (STRING, STRING), STRING, _find, member=True)),
        Function(
            "findAll",
            Overload("string_find_all_string", (STRING, STRING), list_of(STRING), _find_all, member=True),
            Overload("string_find_all_string_int", (STRING, STRING, INT), list_of(STRING), _find_all, member=True),
        ),
    ),
)
