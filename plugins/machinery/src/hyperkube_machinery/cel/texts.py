"""Values as messages show them. Source: Go's %v of cel-go's values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.cel.times import show_duration, show_timestamp
from hyperkube_machinery.cel.types import Type
from hyperkube_machinery.cel.values import Duration, Optional, Timestamp

__all__ = ["show", "show_double"]

_PLAIN_DIGITS = 6  # before the point, beyond which there is an exponent


def show_double(number: float) -> str:
    """As `string(double)` and Go's %g write it: `1e+06` from a million on, `1e-05` below a ten-thousandth."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    sign = "-" if math.copysign(1, number) < 0 else ""
    digits, exponent = _shortest(abs(number))
    if exponent < -4 or exponent >= _PLAIN_DIGITS:
        mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
        return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    fraction = digits[exponent + 1 :]
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def _shortest(number: float) -> tuple[str, int]:
    """The fewest digits that read back as the number, and the decimal exponent of the first."""
    if number == 0:
        return "0", 0
    mantissa, _, exponent = repr(number).partition("e")
    whole, _, fraction = mantissa.partition(".")
    places = int(exponent or "0") + len(whole) - 1
    digits = whole + fraction
    stripped = digits.lstrip("0")
    places -= len(digits) - len(stripped)
    return stripped.rstrip("0") or "0", places


def show(value: Any) -> str:
    """Any value, within a message."""
    match value:
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case float():
            return show_double(value)
        case bytes():
            return value.decode(errors="replace")
        case list():
            return f"[{', '.join(map(show, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{show(key)}: {show(held)}' for key, held in value.items())}}}"
        case Timestamp():
            return show_timestamp(value)
        case Duration():
            return show_duration(value)
        case Type():
            return value.name
        case Optional():
            return f"optional({show(value.value)})" if value.present else "optional.none()"
    return str(value)
