"""Texts as Go quotes them in messages (%q). Source: Go's strconv.Quote."""

from __future__ import annotations

import re

__all__ = ["quoted"]

_PLAIN = re.compile(r"[ !#-\[\]-~]*")
_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def quoted(text: str) -> str:
    """`text` in double quotes, with what can't be printed escaped."""
    return f'"{text}"' if _PLAIN.fullmatch(text) else '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char in _ESCAPES or char.isprintable():
        return _ESCAPES.get(char, char)
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
