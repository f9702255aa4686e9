"""The values of literal tokens. Source: cel-go's parser/unescape.go."""

from __future__ import annotations

import math
import re

from hyperkube_machinery.cel.values import UInt

__all__ = ["BadLiteral", "read_bytes", "read_double", "read_int", "read_string", "read_uint"]

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1

_ESCAPES = re.compile(r"\\(?:([xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class BadLiteral(ValueError):
    """A token has the form of a literal and is none."""


def read_int(text: str) -> int:
    negative = text.startswith("-")
    digits = text.removeprefix("-")
    number = int(digits[2:], 16) if digits.startswith("0x") else _decimal(digits)
    number = -number if negative else number
    if not INT_MIN <= number <= INT_MAX:
        raise BadLiteral("invalid int literal")
    return number


def read_uint(text: str) -> UInt:
    digits = text[:-1]
    number = int(digits[2:], 16) if digits.startswith("0x") else _decimal(digits)
    if number > UINT_MAX:
        raise BadLiteral("invalid uint literal")
    return UInt(number)


def read_double(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadLiteral("invalid double literal")
    return number


def read_string(token: str) -> str:
    raw, text = _unquote(token)
    if raw or "\\" not in text:
        return text

    def decoded(found: re.Match[str]) -> str:
        digits, octal, simple = found.groups()
        if simple is not None:
            return _SIMPLE.get(simple, simple)
        number = int(octal, 8) if octal else int(digits[1:], 16)
        if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
            raise BadLiteral("invalid unicode code point")
        return chr(number)

    return _ESCAPES.sub(decoded, text)


def read_bytes(token: str) -> bytes:
    raw, text = _unquote(token[1:])
    if raw or "\\" not in text:
        return text.encode()
    parts: list[bytes] = []
    at = 0
    for found in _ESCAPES.finditer(text):
        parts.append(text[at : found.start()].encode())
        digits, octal, simple = found.groups()
        if simple is not None:
            parts.append(_SIMPLE.get(simple, simple).encode())
        elif octal:
            parts.append(bytes((int(octal, 8),)))
        elif digits[0] in "uU":
            raise BadLiteral("unable to unescape string")
        else:
            parts.append(bytes((int(digits[1:], 16),)))
        at = found.end()
    parts.append(text[at:].encode())
    return b"".join(parts)


def _decimal(digits: str) -> int:
    """A number of any length, which `int` refuses to read beyond 4300 digits."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= 20 else UINT_MAX + 1


def _unquote(token: str) -> tuple[bool, str]:
    raw = token[0] in "rR"
    text = token[1:] if raw else token
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    quotes = 3 if len(text) >= 6 and text[:3] in ('"""', "'''") else 1
    return raw, text[quotes:-quotes]
