"""Timestamps as the API reads and writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_machinery.timestamps import (
    TimestampError,
    format_micro,
    format_seconds,
    normal_micro,
    normal_seconds,
    parse,
)


@given(st.integers(-62135596799, 253402300799))
def test_what_is_written_is_read_back(seconds: int) -> None:
    text = format_seconds(seconds)
    assert parse(text) == seconds
    assert normal_seconds(text) == text


def test_a_moment_is_written_in_seconds_and_with_six_decimals() -> None:
    assert format_seconds(1767323045.987) == "2026-01-02T03:04:05Z"
    assert format_micro(1767323045.5) == "2026-01-02T03:04:05.500000Z"


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.999Z", "2026-01-02T03:04:05Z"),
        ("2026-01-01T23:04:05-04:00", "2026-01-02T03:04:05Z"),
        ("2024-02-29T23:59:59+00:00", "2024-02-29T23:59:59Z"),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_a_time_is_normalised_to_seconds_in_utc(given: str, normal: str | None) -> None:
    assert normal_seconds(given) == normal


def test_a_micro_time_keeps_its_decimals() -> None:
    assert normal_micro("2026-01-01T23:04:05.120000-04:00") == "2026-01-02T03:04:05.120000Z"


_SECONDS = '"2006-01-02T15:04:05Z07:00"'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", f'parsing time "" as {_SECONDS}: cannot parse "" as "2006"'),
        ("bad", f'parsing time "bad" as {_SECONDS}: cannot parse "bad" as "2006"'),
        ("2026-1-02", f'parsing time "2026-1-02" as {_SECONDS}: cannot parse "1-02" as "01"'),
        ("2026-01-02", f'parsing time "2026-01-02" as {_SECONDS}: cannot parse "" as "T"'),
        ("2026-01-02T03:04:05", f'parsing time "2026-01-02T03:04:05" as {_SECONDS}: cannot parse "" as "Z07:00"'),
        ("2026-13-02T03:04:05Z", 'parsing time "2026-13-02T03:04:05Z": month out of range'),
        ("2026-02-29T03:04:05Z", 'parsing time "2026-02-29T03:04:05Z": day out of range'),
        ("2026-02-01T24:04:05Z", 'parsing time "2026-02-01T24:04:05Z": hour out of range'),
        ("2026-02-01T03:04:05Zz", 'parsing time "2026-02-01T03:04:05Zz": extra text: "z"'),
    ],
)
def test_what_is_no_time_is_refused_in_gos_words(text: str, why: str) -> None:
    with pytest.raises(TimestampError) as raised:
        normal_seconds(text)
    assert str(raised.value) == why


def test_a_micro_time_needs_its_decimals() -> None:
    with pytest.raises(TimestampError) as raised:
        normal_micro("2020-01-01T00:00:00Z")
    assert str(raised.value) == (
        'parsing time "2020-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000"'
    )
