"""Protobuf messages as text, read without their schema.

A message is a dict from field names to lists of what the field was given, as fields may repeat.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["Message", "parse_message"]

Message = dict[str, list[Any]]

_TOKEN = re.compile(
    r"""(?:\s|\#[^\n]*)*(?:(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<punctuation>[{}\[\]<>:,;])"""
    r"""|(?P<word>[-+.\w/]+))""",
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_SIMPLE = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def parse_message(text: str) -> Message:
    return _Parser(text).message("")


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while found := _TOKEN.match(text, at):
            self._tokens.append((found.lastgroup or "", found[found.lastgroup or 0]))
            at = found.end()
        assert not re.sub(r"#[^\n]*|\s", "", text[at:]), text[at : at + 80]
        self._at = 0

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _next(self) -> tuple[str, str]:
        self._at += 1
        return self._tokens[self._at - 1]

    def message(self, end: str) -> Message:
        fields: Message = {}
        while self._peek() != end:
            name = self._name()
            if self._peek() == ":":
                self._next()
            values = fields.setdefault(name, [])
            if self._peek() == "[":
                self._next()
                while self._peek() != "]":
                    values.append(self._value())
                    if self._peek() == ",":
                        self._next()
                self._next()
            else:
                values.append(self._value())
            if self._peek() in (",", ";"):
                self._next()
        if end:
            self._next()
        return fields

    def _name(self) -> str:
        _, name = self._next()
        if name != "[":
            return name
        parts = []
        while self._peek() != "]":
            parts.append(self._next()[1])
        self._next()
        return f"[{''.join(parts)}]"

    def _value(self) -> Any:
        kind, token = self._next()
        if token in ("{", "<"):
            return self.message("}" if token == "{" else ">")
        if kind != "string":
            return token
        text = _unquoted(token)
        while self._at < len(self._tokens) and self._tokens[self._at][0] == "string":
            text += _unquoted(self._next()[1])
        return text


def _unquoted(token: str) -> bytes:
    def decoded(found: re.Match[bytes]) -> bytes:
        hexadecimal, octal, short, long, simple = found.groups()
        if simple is not None:
            return _SIMPLE.get(simple, simple)
        if hexadecimal or octal:
            return bytes((int(hexadecimal, 16) if hexadecimal else int(octal, 8),))
        return chr(int(short or long, 16)).encode()

    return _ESCAPE.sub(decoded, token[1:-1].encode())
