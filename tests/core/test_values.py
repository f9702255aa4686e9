"""What the text of settings means."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_core._values import KINDS, format_duration, parse_duration, parse_quantity


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("90s", 90.0),
        ("1m30s", 90.0),
        ("1h0m0s", 3600.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("5.s", 5.0),
        ("250ms", 0.25),
        ("-2m", -120.0),
        ("+2m", 120.0),
        ("3us", 3e-6),
        ("3µs", 3e-6),
        ("3μs", 3e-6),
        ("-0", 0.0),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1m30", "m", "1x", "1m 30s", "--1s", ".s", "-", "1.2.3s", "\u0661s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (60, "1m0s"),
        (3600, "1h0m0s"),
        (90.5, "1m30.5s"),
        (0.25, "250ms"),
        (0.0000015, "1.5µs"),
        (-90, "-1m30s"),
        (5, "5s"),
        (1e-9, "1ns"),
    ],
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_a_duration_that_was_written_reads_the_same(microseconds: int) -> None:
    seconds = microseconds / 1e6
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("500Mi", 500 * 1024**2),
        ("1.5Gi", 1536 * 1024**2),
        ("100m", Decimal("0.1")),
        ("12e6", 12_000_000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("2k", 2000),
        ("-1", -1),
        ("+.5", Decimal("0.5")),
        ("3n", Decimal("3e-9")),
    ],
)
def test_quantities_are_read_as_kubernetes_does(text: str, amount: object) -> None:
    assert parse_quantity(text) == amount


@pytest.mark.parametrize("text", ["", "Mi", "1K", "1MiB", "1 Mi", "0x10", "1e", "1.2.3"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("bool", "T", True),
        ("bool", "0", False),
        ("int", "0x1F", 31),
        ("int", "017", 15),
        ("int", "-5", -5),
        ("int", "0", 0),
        ("float", "1e-3", 0.001),
        ("strings", "a,b", ("a", "b")),
        ("strings", '"a,b",c', ("a,b", "c")),
        ("strings", "", ()),
        ("array", "a,b", ("a,b",)),
        ("map", "a=1,b=x=y", {"a": "1", "b": "x=y"}),
        ("less-than-map", "a<1,b<x=y", {"a": "1", "b": "x=y"}),
        ("feature-gates", "A=true,B=0", {"A": True, "B": False}),
        ("ip", "::1", "::1"),
        ("cidr", "10.0.0.0/24", "10.0.0.0/24"),
        ("path", "/a/b", Path("/a/b")),
        ("path", "", None),
    ],
)
def test_each_kind_reads_its_text(kind: str, text: str, value: object) -> None:
    assert KINDS[kind].parse(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("bool", "maybe", "neither true nor false"),
        ("bool", "", "neither true nor false"),
        ("int", "1.5", "not a whole number"),
        ("int", "1_000", "not a whole number"),
        ("int", "089", "not a whole number"),
        ("float", "x", "not a number"),
        ("map", "a", "not of the form key=value"),
        ("map", "=a", "not of the form key=value"),
        ("less-than-map", "a=1", "not of the form key<value"),
        ("feature-gates", "A=perhaps", "invalid value of A"),
        ("ip", "localhost", "not an IP address"),
        ("cidr", "10.0.0.0", None),
        ("cidr", "10.0.0.0/33", "not an address range"),
        ("strings", '"a', "not a comma-separated list"),
    ],
)
def test_each_kind_says_what_is_wrong(kind: str, text: str, reason: str | None) -> None:
    if reason is None:  # a single address is a range of one
        assert KINDS[kind].parse(text) == "10.0.0.0/32"
        return
    with pytest.raises(ValueError, match=reason):
        KINDS[kind].parse(text)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), max_size=5))
def test_a_list_that_was_written_reads_the_same(items: list[str]) -> None:
    kind = KINDS["strings"]
    assert kind.parse(kind.format(tuple(items))) == tuple(items)


@pytest.mark.parametrize(
    ("kind", "held", "value"),
    [
        ("int", 5, 5),
        ("int", "5", 5),
        ("bool", False, False),
        ("float", 1, 1.0),
        ("string", 5, "5"),
        ("strings", ["a,b", "c"], ("a,b", "c")),
        ("array", ["a,b"], ("a,b",)),
        ("map", {"a": "x,y"}, {"a": "x,y"}),
        ("less-than-map", {"a": "x=y"}, {"a": "x=y"}),
        ("feature-gates", {"A": True}, {"A": True}),
        ("quantity", 5, 5),
        ("duration", "1m", 60.0),
    ],
)
def test_config_files_hold_typed_values(kind: str, held: object, value: object) -> None:
    assert KINDS[kind].load(held) == value


@pytest.mark.parametrize(
    ("kind", "held"),
    [
        ("int", True),
        ("int", 1.5),
        ("int", None),
        ("bool", 1),
        ("string", ["a"]),
        ("string", {"a": 1}),
        ("strings", [["a"]]),
        ("strings", [None]),
        ("map", {"a": {"b": 1}}),
        ("map", {"a": None}),
        ("map", ["a"]),
    ],
)
def test_config_files_hold_no_other_types(kind: str, held: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the words differ
        KINDS[kind].load(held)
