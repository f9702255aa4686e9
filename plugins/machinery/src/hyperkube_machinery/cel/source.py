"""Where in an expression's text something is, and how that is shown.

Source: cel-go's common/error.go, whose texts these are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from hyperkube_machinery.cel.errors import CompileError, Issue

__all__ = ["Problem", "Source"]

_SHOWN_AT_MOST = 16384  # bytes of a line
_REPORTED_AT_MOST = 100

Problem = tuple[int, str]
"""The code point where something is wrong (-1: nowhere in particular), and what."""


class Source:
    """An expression's text."""

    __slots__ = ("_starts", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0, *(at + 1 for at, character in enumerate(text) if character == "\n")]

    def failure(self, problems: Iterable[Problem]) -> CompileError:
        """All of the problems, in the order of the text."""
        issues = [self._issue(offset, message) for offset, message in problems]
        shown = sorted(issues[:_REPORTED_AT_MOST], key=lambda issue: (issue.line, issue.column))
        texts = [self._show(issue) for issue in shown]
        if len(issues) > _REPORTED_AT_MOST:
            texts.append(f"{len(issues) - _REPORTED_AT_MOST} more errors were truncated")
        return CompileError("\n".join(texts), shown)

    def _issue(self, offset: int, message: str) -> Issue:
        if offset < 0:
            return Issue(message, -1, -1)
        line = bisect_right(self._starts, offset)
        return Issue(message, line, offset - self._starts[line - 1])

    def _show(self, issue: Issue) -> str:
        head = f"ERROR: <input>:{issue.line}:{issue.column + 1}: {issue.message}"
        if issue.line < 1 or not self.text:
            return head
        start = self._starts[issue.line - 1]
        end = self._starts[issue.line] - 1 if issue.line < len(self._starts) else len(self.text)
        line = self.text[start:end].replace("\t", " ")
        if len(line.encode()) > _SHOWN_AT_MOST:
            return head
        dots = "".join("." if character.isascii() else "\uff0e" for character in line[: issue.column])
        marked = line[issue.column : issue.column + 1]
        caret = "^" if not marked or marked.isascii() else "\uff3e"
        return f"{head}\n | {line}\n | {dots}{caret}"
