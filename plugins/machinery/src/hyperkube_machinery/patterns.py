"""Regular expressions that users write, in the dialect of Go and without exponential cases.

Source: Go's regexp/syntax, for the words of its complaints.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

__all__ = ["PatternError", "compile_pattern", "matches"]

_LONGEST_KEPT = 1024
_CASES: tuple[tuple[str, str], ...] = (  # what RE2 says, what Go says
    ("missing ]", "missing closing ]"),
    ("missing )", "missing closing )"),
    ("no argument for repetition operator", "missing argument to repetition operator"),
    ("bad repetition operator", "invalid nested repetition operator"),
    ("invalid repetition size", "invalid repeat count"),
    ("invalid named capture group", "invalid named capture"),
    ("invalid perl operator", "invalid or unsupported Perl syntax"),
    ("trailing \\", "trailing backslash at end of expression"),
)


class PatternError(ValueError):
    """The text is no regular expression; told as Go tells it."""


def matches(pattern: str, text: str) -> bool:
    """Whether `pattern` is found anywhere in `text`. Raises PatternError."""
    return compile_pattern(pattern).search(text) is not None


def compile_pattern(pattern: str) -> Any:
    """The compiled pattern. Raises PatternError."""
    return _compile_kept(pattern) if len(pattern) <= _LONGEST_KEPT else _compile(pattern)


def _compile(pattern: str) -> Any:
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as exc:
        told = exc.args[0]
        raise PatternError(_in_go(told.decode(errors="replace") if isinstance(told, bytes) else str(told))) from None


_compile_kept = lru_cache(maxsize=256)(_compile)


def _in_go(told: str) -> str:
    for case, go in _CASES:
        if told.startswith(case):
            what, _, where = (go + told[len(case) :]).rpartition(": ")
            return f"error parsing regexp: {what}: `{where}`" if what else f"error parsing regexp: {go}: ``"
    what, _, where = told.rpartition(": ")
    return f"error parsing regexp: {what}: `{where}`" if what else f"error parsing regexp: {told}"
