"""Durations, read as Go reads them."""

from __future__ import annotations

import pytest

from hyperkube_machinery.durations import parse_duration


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
