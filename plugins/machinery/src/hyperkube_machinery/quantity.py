"""Quantities: `500m`, `1Gi`, `1e3`. Exact, to the billionth.

Source: k8s.io/apimachinery/pkg/api/resource. A quantity keeps the notation it was written in (decimal, binary or
exponent), which arithmetic hands on; a value finer than a billionth is rounded up, away from zero.
"""

from __future__ import annotations

import re
from functools import lru_cache, total_ordering

__all__ = ["Quantity", "QuantityError", "canonical"]

_NANO = 10**9
_MAX_INT64 = 2**63 - 1
_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_NUMERIC = "unable to parse numeric part of quantity"
_SUFFIX = "unable to parse quantity's suffix"
_SHAPE = re.compile(r"([+-]?)0*(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_BINARY_SUFFIX = ["", *_BINARY]

# Far beyond any resource; without limits `1e999999999` is a number of a billion digits, and so may be what is sent.
_MAX_EXPONENT = 400
_MAX_LENGTH = 1000


class QuantityError(ValueError):
    """A text is no quantity; the message is the API server's."""


@total_ordering
class Quantity:
    """An amount of a resource: immutable, hashable, ordered by value."""

    __slots__ = ("_text", "nano", "notation")

    def __init__(self, nano: int, notation: str = "decimal") -> None:
        """`nano`: billionths; `notation`: "decimal", "binary" or "exponent"."""
        self.nano = nano
        self.notation = notation
        self._text: str | None = None

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Read `text` as the API does, or raise QuantityError with its words."""
        return _parse(text)

    @property
    def value(self) -> int:
        """Whole units, rounded up: what counts of things and bytes are compared by."""
        return _round_up(self.nano, _NANO)

    @property
    def milli(self) -> int:
        """Thousandths, rounded up: what CPU is compared by."""
        return _round_up(self.nano, _NANO // 1000)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano + other.nano, self.notation if self.nano else other.notation)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, self.notation if self.nano else other.notation)

    def __mul__(self, factor: int) -> Quantity:
        return Quantity(self.nano * factor, self.notation)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.notation)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def __repr__(self) -> str:
        return f"Quantity({str(self)!r})"

    def __str__(self) -> str:
        if self._text is None:
            self._text = _canonical(self.nano, self.notation)
        return self._text


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """`text` as the API writes it back: `1000m` is `1`, `1024Mi` is `1Gi`."""
    return str(_parse(text))


@lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    if len(text) > _MAX_LENGTH:
        raise QuantityError(_NUMERIC)
    match = _SHAPE.fullmatch(text)
    if match is None or not text:
        raise QuantityError(_WRONG)
    sign, whole, fraction, suffix = match[1], match[2], match[3] or "", match[4]
    whole = whole or "0"
    exponent, notation = _interpret(suffix)
    if abs(exponent) > _MAX_EXPONENT:
        raise QuantityError(_NUMERIC)
    digits = int(whole + fraction)
    if notation == "binary":
        # As upstream: up to here it counts in 64-bit integers, and beyond in decimals that are capped.
        room = 15 - len(whole) - int(exponent * 3 / 10) - 1
        if not fraction and room >= 0:
            quantity = Quantity(_signed(sign, (digits << exponent) * _NANO), "binary")
            if digits & 7:
                quantity._text = text
            return quantity
        nano = _scale(digits << exponent, 9 - len(fraction))
        nano = min(nano, _MAX_INT64 * _NANO)
        return Quantity(_signed(sign, nano), "decimal" if 0 < nano < _NANO else "binary")
    scale = exponent - len(fraction)
    quantity = Quantity(_signed(sign, _scale(digits, 9 + scale)), notation)
    shown = whole + fraction
    if len(shown) <= 18 and scale >= -9 and scale % 3 == 0 and not shown.endswith("000") and shown[0] != "0":
        quantity._text = text  # upstream takes this to be canonical, and so `1.500` stays `1.500`
    return quantity


def _interpret(suffix: str) -> tuple[int, str]:
    """The power of ten (or of two, for binary ones) and the notation."""
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], "decimal"
    if suffix in _BINARY:
        return _BINARY[suffix], "binary"
    if suffix[0] in "eE" and re.fullmatch(r"[-+]?[0-9]+", suffix[1:]):
        return int(suffix[1:]), "exponent"
    raise QuantityError(_SUFFIX)


def _signed(sign: str, value: int) -> int:
    return -value if sign == "-" else value


def _scale(digits: int, exponent: int) -> int:
    """`digits` times ten to the `exponent`, rounded up."""
    power: int = 10 ** abs(exponent)
    return digits * power if exponent >= 0 else -(-digits // power)


def _round_up(nano: int, unit: int) -> int:
    """Away from zero, as upstream's decimals round up."""
    return -(-nano // unit) if nano >= 0 else nano // unit


def _canonical(nano: int, notation: str) -> str:
    if nano == 0:
        return "0"
    sign, nano = ("-", -nano) if nano < 0 else ("", nano)
    whole, rest = divmod(nano, _NANO)
    if notation == "binary" and whole >= 1024 and not rest:
        power = 0
        while whole % 1024 == 0 and power < 6:
            whole //= 1024
            power += 1
        return f"{sign}{whole}{_BINARY_SUFFIX[power]}"
    exponent = -9
    top = 18 if notation != "exponent" else 10 * _MAX_EXPONENT
    while nano % 1000 == 0 and exponent < top:
        nano //= 1000
        exponent += 3
    if notation == "exponent":
        return f"{sign}{nano}e{exponent}" if exponent else f"{sign}{nano}"
    return f"{sign}{nano}{_DECIMAL_SUFFIX[exponent]}"
