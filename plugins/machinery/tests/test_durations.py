"""Durations, read and written as Go does."""

from __future__ import annotations

import pytest

from hyperkube_machinery.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("5s", 5), ("1h30m", 5400), ("1.5s", 1.5), (".5m", 30), ("300ms", 0.3), ("-2s", -2), ("+1us", 1e-6)],
)
def test_what_go_reads(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", 'time: invalid duration ""'),
        ("abc", 'time: invalid duration "abc"'),
        ("-", 'time: invalid duration "-"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("1s2", 'time: missing unit in duration "1s2"'),
    ],
)
def test_what_go_refuses_in_its_words(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"^time: ") as caught:
        parse_duration(text)
    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0000015, "1.5µs"),
        (0.25, "250ms"),
        (10, "10s"),
        (1.5, "1.5s"),
        (300, "5m0s"),
        (5400, "1h30m0s"),
        (-2, "-2s"),
    ],
)
def test_what_go_writes(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
