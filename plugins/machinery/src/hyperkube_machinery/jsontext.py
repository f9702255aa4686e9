"""JSON as bytes: what is wrong with it, in Go's words, and what a fast parser doesn't tell.

orjson reads the usual body. It refuses some texts that Go takes (bytes that are no UTF-8, lone surrogates), words
errors in its own way and drops duplicate keys without a word; this module covers the rest.
Source: Go's encoding/json (scanner.go) and sigs.k8s.io/json.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any

import orjson

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.schema.exact import Literal, Pairs, plain

__all__ = ["MAX_DEPTH", "BadJSON", "has_duplicates", "is_too_deep", "overflowing", "parse", "parse_exactly"]

# Go stops at 10,000 levels; orjson writes 254, and Python's stack ends not far from there. No object comes near either.
MAX_DEPTH = 200

# Digits that Python converts to an integer without a limit on their number.
_MAX_DIGITS = 1000


class BadJSON(ValueError):
    """A text is no JSON; the message is Go's."""


def parse(body: bytes) -> Any:
    """The value of a JSON text; the last of duplicate keys wins. Raises BadJSON."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return plain(parse_exactly(body))
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and is_too_deep(value):
        raise BadJSON(_Scanner(body).error())
    return value


def is_too_deep(value: Any) -> bool:
    """Whether `value` nests deeper than MAX_DEPTH; what does can neither be written nor walked."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            item
            for container in level
            if isinstance(container, dict | list)
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, dict | list)
        ]
        if not level:
            return False
    return True


def has_duplicates(body: bytes, value: Any) -> bool:
    """Whether an object in `body`, which `value` was read from, may hold a key twice. It errs towards yes.

    Colons are counted: one stands behind each key, in the text and in the text of what was read, and those inside
    strings are the same in both. Only an escaped colon could hide a key from the count, so it counts as a yes.
    """
    if b"\\" in body and _HIDDEN.search(body):
        return True
    return body.count(b":") != encode(value).count(b":")


_HIDDEN = re.compile(rb"\\u003[aA]")


def parse_exactly(body: bytes) -> Any:
    """The value of a JSON text, with `Pairs` for objects and `Literal` for numbers that are no 64-bit integers."""
    message = _Scanner(body).error()
    if message is not None:
        raise BadJSON(message)
    text = body.decode("utf-8", "hk-each-byte")
    value = _DECODER.decode(text)
    return _without_surrogates(value) if "\\u" in text else value


def overflowing(body: bytes) -> str:
    """The first number of a JSON text that no float64 holds, as it is written there; else empty."""
    return _overflowing(parse_exactly(body)) if _LARGE.search(body) else ""


_LARGE = re.compile(rb"[0-9][eE]\+?[0-9]{3}|[0-9]{309}")


def _overflowing(value: Any) -> str:
    if isinstance(value, Literal):
        return value.text if math.isinf(value) else ""
    if isinstance(value, Pairs):
        return next((found for _, inner in value if (found := _overflowing(inner))), "")
    if isinstance(value, list):
        return next((found for inner in value if (found := _overflowing(inner))), "")
    return ""


def _each_byte(error: UnicodeError) -> tuple[str, int]:
    """Go puts one replacement character for each byte that is no UTF-8."""
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd" * (error.end - error.start), error.end


codecs.register_error("hk-each-byte", _each_byte)


def _integer(text: str) -> int | Literal:
    if len(text) > _MAX_DIGITS:
        return Literal.of(text)
    number = int(text)
    return number if -(2**63) <= number < 2**63 else Literal.of(text)


_DECODER = json.JSONDecoder(object_pairs_hook=Pairs, parse_float=Literal.of, parse_int=_integer)
_SURROGATE = re.compile("[\ud800-\udfff]")


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Pairs):
        return Pairs((_without_surrogates(key), _without_surrogates(item)) for key, item in value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


_SPACE = re.compile(rb"[ \t\r\n]*")
# Groups are not possessive: before Python 3.11.5 what such a group had begun to match in vain was not given back.
# Source: CPython's issue 106052.
_STRING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*"')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
_SCALAR = rb"(?:%s|%s|true|false|null)" % (_STRING.pattern, _NUMBER.pattern)
_S = rb"[ \t\r\n]*+"
# Whole runs of scalars at once: a large text is not walked value by value.
_ITEMS = re.compile(rb"(?:%s%s%s,)+" % (_S, _SCALAR, _S))
_MEMBERS = re.compile(rb"(?:%s%s%s:%s%s%s,)+" % (_S, _STRING.pattern, _S, _S, _SCALAR, _S))


class _Stop(Exception):
    """The text is wrong, in Go's words."""


class _Scanner:
    """Finds the first error of a JSON text."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def error(self) -> str | None:
        try:
            self._document()
        except _Stop as stop:
            return str(stop)
        return None

    def _document(self) -> None:
        stack: list[int] = []
        opened = self._value(stack)
        while stack:
            opened = self._inside(stack, opened)
        self._skip()
        if self.at < len(self.body):
            raise self._unexpected("after top-level value")

    def _inside(self, stack: list[int], first: bool) -> bool:
        """Go on in the innermost object or array, which was just opened if `first`. Returns whether one was opened."""
        in_object = stack[-1] == 0x7B
        closing = 0x7D if in_object else 0x5D
        if not first:
            self._skip()
            char = self._peek()
            if char == closing:
                self.at += 1
                stack.pop()
                return False
            if char != 0x2C:
                raise self._unexpected("after object key:value pair" if in_object else "after array element")
            self.at += 1
        run = (_MEMBERS if in_object else _ITEMS).match(self.body, self.at)
        if run is not None:
            self.at = run.end()
            first = False
        self._skip()
        if first and self._peek() == closing:
            self.at += 1
            stack.pop()
            return False
        if in_object:
            if self._peek() != 0x22:
                raise self._unexpected("looking for beginning of object key string")
            self._string()
            self._skip()
            if self._peek() != 0x3A:
                raise self._unexpected("after object key")
            self.at += 1
        return self._value(stack)

    def _value(self, stack: list[int]) -> bool:
        self._skip()
        char = self._peek()
        if char in b"{[":
            stack.append(char)
            if len(stack) > MAX_DEPTH:
                raise self._unexpected("exceeded max depth")
            self.at += 1
            return True
        if char == 0x22:
            self._string()
        elif char in b"-0123456789":
            self._number()
        elif char in b"tfn":
            self._literal({0x74: b"true", 0x66: b"false", 0x6E: b"null"}[char])
        else:
            raise self._unexpected("looking for beginning of value")
        return False

    def _skip(self) -> None:
        match = _SPACE.match(self.body, self.at)
        assert match is not None
        self.at = match.end()

    def _peek(self) -> int:
        if self.at >= len(self.body):
            raise _Stop("unexpected end of JSON input")
        return self.body[self.at]

    def _unexpected(self, where: str) -> _Stop:
        return _Stop(f"invalid character {_quote_char(self._peek())} {where}")

    def _string(self) -> None:
        match = _STRING.match(self.body, self.at)
        if match is not None:
            self.at = match.end()
            return
        self.at += 1
        while True:
            char = self._peek()
            if char == 0x5C:
                self.at += 1
                escape = self._peek()
                if escape == 0x75:
                    for _ in range(4):
                        self.at += 1
                        if self._peek() not in b"0123456789abcdefABCDEF":
                            raise self._unexpected("in \\u hexadecimal character escape")
                elif escape not in b'"\\/bfnrt':
                    raise self._unexpected("in string escape code")
            elif char < 0x20:
                raise self._unexpected("in string literal")
            self.at += 1

    def _number(self) -> None:
        if self._peek() == 0x2D:
            self.at += 1
            if self._peek() not in b"0123456789":
                raise self._unexpected("in numeric literal")
        if self._peek() == 0x30:
            self.at += 1
        else:
            self._digits()
        if self.at < len(self.body) and self.body[self.at] == 0x2E:
            self.at += 1
            if self._peek() not in b"0123456789":
                raise self._unexpected("after decimal point in numeric literal")
            self._digits()
        if self.at < len(self.body) and self.body[self.at] in b"eE":
            self.at += 1
            if self._peek() in b"+-":
                self.at += 1
            if self._peek() not in b"0123456789":
                raise self._unexpected("in exponent of numeric literal")
            self._digits()

    def _digits(self) -> None:
        match = _DIGITS.match(self.body, self.at)
        assert match is not None
        self.at = match.end()

    def _literal(self, word: bytes) -> None:
        for index, char in enumerate(word):
            if self._peek() != char:
                raise self._unexpected(f"in literal {word.decode()} (expecting {_quote_char(word[index])})")
            self.at += 1


_DIGITS = re.compile(rb"[0-9]*+")


def _quote_char(char: int) -> str:
    """As Go's scanner quotes one byte."""
    if char == 0x27:
        return "'\\''"
    if char == 0x22:
        return "'\"'"
    shown = {0x5C: "\\\\", 0x07: "\\a", 0x08: "\\b", 0x0C: "\\f", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x0B: "\\v"}
    if char in shown:
        return f"'{shown[char]}'"
    letter = chr(char)
    if letter.isprintable():
        return f"'{letter}'"
    return f"'\\x{char:02x}'" if char < 0x80 else f"'\\u{char:04x}'"
