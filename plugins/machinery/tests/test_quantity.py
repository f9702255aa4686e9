"""Quantities against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.quantity import Quantity, QuantityError, canonical

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_MAX = 2**63 - 1


def _fraction(sign: str, digits: str, suffix: str) -> Fraction:
    """What a quantity is worth, rounded up to a billionth."""
    if suffix in _BINARY:
        exact = Fraction(digits) * 1024 ** _BINARY[suffix]
    elif suffix in _DECIMAL:
        exact = Fraction(digits) * Fraction(10) ** _DECIMAL[suffix]
    else:
        exact = Fraction(digits) * Fraction(10) ** int(suffix[1:])
    rounded = -(-exact * 10**9 // 1)
    worth = Fraction(rounded, 10**9)
    return -worth if sign == "-" else worth


_DIGITS = st.builds(
    lambda whole, rest: f"{whole}.{rest}" if rest else str(whole),
    st.integers(0, 10**12),
    st.text("0123456789", max_size=12),
)
_SUFFIXES = st.sampled_from([*_DECIMAL, *_BINARY, "e3", "E-3", "e0", "e12"])


@given(sign=st.sampled_from(["", "+", "-"]), digits=_DIGITS, suffix=_SUFFIXES)
def test_a_quantity_is_worth_what_it_says(sign: str, digits: str, suffix: str) -> None:
    worth = _fraction(sign, digits, suffix)
    quantity = Quantity.parse(f"{sign}{digits}{suffix}")
    if suffix in _BINARY and abs(worth) > _MAX:
        worth = Fraction(_MAX if worth > 0 else -_MAX) if "." in digits or len(digits) + 6 > 15 else worth
    if abs(worth) <= _MAX:
        assert Fraction(quantity.nano, 10**9) == worth


@given(sign=st.sampled_from(["", "-"]), digits=_DIGITS, suffix=_SUFFIXES)
def test_the_canonical_form_is_worth_the_same_and_stays(sign: str, digits: str, suffix: str) -> None:
    quantity = Quantity.parse(f"{sign}{digits}{suffix}")
    again = Quantity.parse(str(quantity))
    assert again == quantity
    assert str(again) == str(quantity)


@given(one=st.integers(-(10**20), 10**20), other=st.integers(-(10**20), 10**20))
def test_arithmetic_and_order_are_exact(one: int, other: int) -> None:
    a, b = Quantity(one), Quantity(other)
    assert (a + b).nano == one + other
    assert (a - b).nano == one - other
    assert (a < b, a == b, a > b) == (one < other, one == other, one > other)
    assert (-a).nano == -one
    assert (a * 3).nano == one * 3


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("0", "0"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1.5", "1500m"),
        ("0.1", "100m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1000k", "1M"),
        ("100000000", "100M"),
        ("123456", "123456"),
        ("1e3", "1e3"),
        ("1000e3", "1e6"),
        ("0.0000000001", "1n"),
        ("-0.5", "-500m"),
        ("0Gi", "0"),
        ("1.1Mi", "1153433600m"),
        ("10000Pi", "9223372036854775807"),
        ("+5", "+5"),  # taken to be canonical as it is, as upstream takes it
    ],
)
def test_a_quantity_is_shown_as_the_api_shows_it(written: str, shown: str) -> None:
    assert canonical(written) == shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "quantities must match the regular expression"),
        ("x", "quantities must match the regular expression"),
        ("1.2.3", "quantities must match the regular expression"),
        ("1 Gi", "quantities must match the regular expression"),
        ("1mm", "unable to parse quantity's suffix"),
        ("1e", "unable to parse quantity's suffix"),
        ("1gi", "quantities must match the regular expression"),
        ("1e999999999", "unable to parse numeric part of quantity"),
    ],
)
def test_what_is_no_quantity_is_refused(text: str, message: str) -> None:
    with pytest.raises(QuantityError, match=message):
        Quantity.parse(text)


def test_whole_units_and_thousandths_are_rounded_away_from_zero() -> None:
    assert (Quantity.parse("1.1").value, Quantity.parse("1").value, Quantity.parse("-1.1").value) == (2, 1, -2)
    assert (Quantity.parse("1u").milli, Quantity.parse("250m").milli) == (1, 250)


def test_a_sum_keeps_the_notation_of_what_came_first() -> None:
    assert str(Quantity.parse("1Gi") + Quantity.parse("1024Mi")) == "2Gi"
    assert str(Quantity.parse("0") + Quantity.parse("2Ki")) == "2Ki"
