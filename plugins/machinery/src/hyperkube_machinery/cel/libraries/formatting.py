"""`"%s is %d".format([…])`. Source: cel-go's ext/formatting.go and ext/formatting_v2.go."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hyperkube_machinery.cel.errors import CostExceeded, EvaluationError
from hyperkube_machinery.cel.kinds import type_of_value
from hyperkube_machinery.cel.texts import show_double
from hyperkube_machinery.cel.times import show_duration, show_timestamp
from hyperkube_machinery.cel.types import Type
from hyperkube_machinery.cel.values import Duration, Timestamp, UInt
from hyperkube_machinery.quoting import quoted

__all__ = ["PLAIN", "US_ENGLISH", "Style", "clauses", "format_text"]

_LONGEST = 10_000_000  # code points that one call may make
_DEFAULT_PRECISION = 6
_LARGEST_PRECISION = 1000
_CLAUSE = re.compile(r"%(?:(%)|(?:(\.)([0-9]*))?(.)?)", re.DOTALL)
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SPECIAL = ("NaN", "Infinity", "-Infinity")

Style = bool
"""How numbers are written: plainly, or as a printer for US English writes them."""
US_ENGLISH, PLAIN = False, True


def format_text(text: str, arguments: list[Any], style: Style) -> str:
    """The text with each clause replaced by the argument at its place. Raises EvaluationError."""
    parts: list[str] = []
    at = used = size = 0
    for clause in _CLAUSE.finditer(text):
        parts.append(text[at : clause.start()])
        at = clause.end()
        if clause[1]:
            parts.append("%")
            continue
        if used >= len(arguments):
            raise EvaluationError(f"index {used} out of range")
        parts.append(_formatted(clause, arguments[used], style))
        used += 1
        size += len(parts[-1])
        if size > _LONGEST:
            raise CostExceeded
    parts.append(text[at:])
    return "".join(parts)


def clauses(text: str) -> Iterator[str]:
    """The letters of the clauses in a text. Raises EvaluationError for what is no clause."""
    for clause in _CLAUSE.finditer(text):
        if not clause[1]:
            _precision(clause)
            yield _verb(clause)


def _verb(clause: re.Match[str]) -> str:
    verb = clause[4]
    if verb not in _VERBS:
        raise EvaluationError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
    return verb


def _formatted(clause: re.Match[str], value: Any, style: Style) -> str:
    precision = _precision(clause)
    format = _VERBS[_verb(clause)]
    try:
        return format(value, precision, style)
    except _Unfit as exc:
        given = _shown_type(value)
        raise EvaluationError(f"error during formatting: {exc}, was given {given}") from None


class _Unfit(Exception):
    """A value that the clause is not for; the text says which are."""


def _precision(clause: re.Match[str]) -> int:
    if clause[4] is None:
        if clause[2]:
            raise EvaluationError(
                "could not parse formatting clause: error while parsing precision:"
                " could not find end of precision specifier"
            )
        raise EvaluationError("unexpected end of string")
    if not clause[2]:
        return _DEFAULT_PRECISION
    digits = clause[3]
    if not digits or len(digits) > 18:
        what = "invalid syntax" if not digits else "value out of range"
        raise EvaluationError(
            "could not parse formatting clause: error while parsing precision:"
            f' error while converting precision to integer: strconv.Atoi: parsing "{digits}": {what}'
        )
    return min(int(digits), _LARGEST_PRECISION)


def _shown_type(value: Any) -> str:
    return type_of_value(value).name


def _string(value: Any, _: int, style: Style) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case int():
            return str(int(value))
        case float():
            return _double(value, style)
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                raise EvaluationError(
                    "error during formatting: could not convert argument"
                    ' "invalid UTF-8 in bytes, cannot convert to string" to string'
                ) from None
        case Timestamp():
            return show_timestamp(value)
        case Duration():
            return show_duration(value)
        case Type():
            return value.name
        case list():
            return f"[{', '.join(_nested(item, style) for item in value)}]"
        case Mapping():
            return _map(value, style)
    raise _Unfit(
        "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations,"
        " and timestamps"
    )


def _double(value: float, style: Style) -> str:
    if style is PLAIN:
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return "NaN" if math.isnan(value) else _shortest(value)
    return show_double(value)


def _shortest(value: float) -> str:
    """All digits of a number that is whole and not huge, without an exponent."""
    text = show_double(value)
    if "e" not in text or abs(value) >= 1e21 or value != int(value):
        return text
    return str(int(value))


def _nested(value: Any, style: Style) -> str:
    """Within a list or map: as expressions would write it, in the older style."""
    if style is PLAIN:
        return _string(value, _DEFAULT_PRECISION, style)
    match value:
        case bool() | None | Type():
            return _string(value, _DEFAULT_PRECISION, style)
        case str():
            return quoted(value)
        case bytes():
            return f"b{quoted(_string(value, _DEFAULT_PRECISION, style))}"
        case float():
            return f"{value:.6f}" if math.isfinite(value) else f'"{show_double(value)}"'
        case Timestamp():
            return f"timestamp({quoted(show_timestamp(value))})"
        case Duration():
            return f"duration({quoted(show_duration(value))})"
        case int() | list() | Mapping():
            return _string(value, _DEFAULT_PRECISION, style)
    raise EvaluationError(f"error during formatting: no formatting function for {_shown_type(value)}")


def _map(value: Mapping[Any, Any], style: Style) -> str:
    pairs: list[tuple[str, str]] = []
    for key, held in value.items():
        if not isinstance(key, str | int):
            raise EvaluationError(
                f"error during formatting: no formatting function for map key of type {_shown_type(key)}"
            )
        pairs.append((_nested(key, style), _nested(held, style)))
    separator = ": " if style is PLAIN else ":"
    return f"{{{', '.join(f'{key}{separator}{held}' for key, held in sorted(pairs))}}}"


def _decimal(value: Any, _: int, style: Style) -> str:
    if type(value) in (int, UInt):
        return str(int(value))
    if type(value) is float and style is PLAIN:
        return _double(value, style)
    raise _Unfit("decimal clause can only be used on integers")


def _number(value: Any, clause: str, style: Style) -> float:
    if style is PLAIN and type(value) in (int, UInt):
        return float(value)
    if type(value) is float:
        return value
    if value in _SPECIAL and isinstance(value, str):
        return float(value)
    raise _Unfit(f"{clause} clause can only be used on doubles")


def _fixed(value: Any, precision: int, style: Style) -> str:
    number = _number(value, "fixed-point", style)
    if not math.isfinite(number):
        return _infinite(number, style)
    return format(number, f".{precision}f") if style is PLAIN else format(number or 0.0, f",.{precision}f")


def _scientific(value: Any, precision: int, style: Style) -> str:
    number = _number(value, "scientific", style)
    if style is PLAIN:
        return format(number, f".{precision}e") if math.isfinite(number) else _infinite(number, style)
    # The printer for US English takes no precision here, and fills up what is shorter than that of others.
    if not math.isfinite(number):
        return _infinite(number, style).rjust(_DEFAULT_PRECISION)
    text = format(number or 0.0, f".{_DEFAULT_PRECISION}e")
    mantissa, _, exponent = text.partition("e")
    power = exponent.replace("+", "").translate(_SUPERSCRIPTS)
    return f"{mantissa}\u00d710{power}"


def _infinite(number: float, style: Style) -> str:
    if math.isnan(number):
        return "NaN"
    endless = "Infinity" if style is PLAIN else "∞"
    return endless if number > 0 else f"-{endless}"


def _binary(value: Any, _: int, __: Style) -> str:
    if type(value) in (int, UInt):
        return format(int(value), "b")
    if type(value) is bool:
        return "1" if value else "0"
    raise _Unfit("only integers and bools can be formatted as binary")


def _octal(value: Any, _: int, __: Style) -> str:
    if type(value) in (int, UInt):
        return format(int(value), "o")
    raise _Unfit("octal clause can only be used on integers")


def _hexadecimal(value: Any, _: int, __: Style) -> str:
    if type(value) in (int, UInt):
        return format(int(value), "x")
    if isinstance(value, str):
        return value.encode().hex()
    if isinstance(value, bytes):
        return value.hex()
    raise _Unfit("only integers, byte buffers, and strings can be formatted as hex")


_VERBS: dict[str, Callable[[Any, int, Style], str]] = {
    "s": _string,
    "d": _decimal,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "o": _octal,
    "x": _hexadecimal,
    "X": lambda value, precision, style: _hexadecimal(value, precision, style).upper(),
}
