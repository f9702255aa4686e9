"""The syntax of JSON paths as kubectl's templates know it: what is wrong with one, in the words of Go's parser.

Source: k8s.io/client-go/util/jsonpath (parser.go).
"""

from __future__ import annotations

import math
import re

__all__ = ["JSONPathError", "check_json_path"]

_MOST_NESTED = 100
_TERMINATORS = frozenset(" \t\r\n.,[]$@{}")
_dict_key_re = re.compile(r"'([^']*)'")
_slice_re = re.compile(r"(-?[0-9]*)(:-?[0-9]*)?(:-?[0-9]*)?")
_comparison_re = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)
_number_re = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
_ESCAPES = r"\\([abfnrtv\\QUOTE]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"
_quoted_re = {quote: re.compile(rf"([^\\\n{quote}]|{_ESCAPES.replace('QUOTE', quote)})*") for quote in ('"', "'")}


class JSONPathError(ValueError):
    """The text is no JSON path."""


def check_json_path(text: str) -> None:
    """Raise JSONPathError if `text`, with actions in braces, can't be parsed."""
    _Parser(text, 0).text()


class _Parser:
    def __init__(self, text: str, depth: int) -> None:
        if depth > _MOST_NESTED:
            raise JSONPathError("filters are nested too deeply")
        self._text = text
        self._depth = depth
        self._at = 0
        self._recursive = False  # the last node was `..`

    def text(self) -> None:
        while (start := self._text.find("{", self._at)) >= 0:
            self._at = start + 1
            self._action()

    def _action(self) -> None:
        """Read up to the closing brace."""
        self._recursive = False
        while not self._text.startswith("}", self._at):
            if self._text.startswith("[?(", self._at):
                self._filter()
            elif self._text.startswith("..", self._at):
                self._descend()
            else:
                self._node()
        self._at += 1

    def _node(self) -> None:
        char = self._text[self._at : self._at + 1]
        if char in ("", "\r", "\n"):
            raise JSONPathError("unclosed action")
        if char in " @$":
            self._at += 1
            return
        if char == "[":
            self._array()
        elif char in "\"'":
            self._quote(char)
        elif char == ".":
            self._at += 1
            self._field()
        elif char in "+-" or char.isdecimal():
            self._number()
        elif char == "_" or char.isalpha():
            while self._text[self._at : self._at + 1] not in ("", *_TERMINATORS):
                self._at += 1
        else:
            raise JSONPathError(f"unrecognized character in action: U+{ord(char):04X} '{char}'")
        self._recursive = False

    def _descend(self) -> None:
        if self._recursive:
            raise JSONPathError("invalid multiple recursive descent")
        self._at += 2
        self._recursive = True
        following = self._text[self._at : self._at + 1]
        if following == "_" or following.isalpha() or following.isdecimal():
            self._field()
            self._recursive = False

    def _field(self) -> None:
        while (char := self._text[self._at : self._at + 1]) and char not in _TERMINATORS:
            self._at += 2 if char == "\\" else 1
        self._at = min(self._at, len(self._text))

    def _number(self) -> None:
        start = self._at
        self._at += self._text[start] in "+-"
        while (char := self._text[self._at : self._at + 1]) and (char == "." or char.isdecimal()):
            self._at += 1
        value = self._text[start : self._at]
        if not _number_re.fullmatch(value) or not math.isfinite(float(value)):
            raise JSONPathError(f"cannot parse number {value}")

    def _quote(self, quote: str) -> None:
        start = self._at
        self._at += 1
        while True:
            char = self._text[self._at : self._at + 1]
            if char in ("", "\n"):
                raise JSONPathError("unterminated quoted string")
            self._at += 1
            if char == quote and self._text[self._at - 2] != "\\":
                break
        value = self._text[start : self._at]
        if not _quoted_re[quote].fullmatch(value[1:-1]):
            raise JSONPathError(f"unquote string {value} error invalid syntax")

    def _array(self) -> None:
        start = self._at
        while (char := self._text[self._at : self._at + 1]) != "]":
            if char in ("", "\n"):
                raise JSONPathError("unterminated array")
            self._at += 1
        self._at += 1
        inside = self._text[start + 1 : self._at - 1]
        if "," in inside:
            for part in inside.split(","):
                self._inner("[" + part.strip(" ") + "]")
        elif key := _dict_key_re.fullmatch(inside):
            self._inner("." + key[1])
        elif inside != "*":
            self._slice(inside)

    def _slice(self, inside: str) -> None:
        match = _slice_re.fullmatch(inside)
        if match is None:
            raise JSONPathError(f"invalid array index {inside}")
        for position, part in enumerate(match.groups("")):
            value = part[1:] if position else part
            if value == "-" or (value and not -(1 << 63) <= int(value[:30]) < 1 << 63):
                raise JSONPathError(f"array index {value} is not a number")

    def _filter(self) -> None:
        self._at += 3
        start = self._at
        quote, closed = "", False
        while True:
            char = self._text[self._at : self._at + 1]
            if char in ("", "\n"):
                raise JSONPathError("unterminated filter")
            self._at += 1
            if char in "\"'":
                if not quote:
                    quote = char
                elif char == quote and self._text[self._at - 2] != "\\":
                    closed = True
            elif char == ")" and bool(quote) == closed:
                break
        if self._text[self._at : self._at + 1] != "]":
            raise JSONPathError("unclosed array expect ]")
        self._at += 1
        inside = self._text[start : self._at - 2]
        comparison = _comparison_re.fullmatch(inside)
        for part in (comparison[1], comparison[3]) if comparison else (inside,):
            self._inner(part)
        self._recursive = False

    def _inner(self, action: str) -> None:
        _Parser("{" + action + "}", self._depth + 1).text()
