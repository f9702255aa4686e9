from __future__ import annotations

import pytest

from hyperkube_apiserver.registry.schedules import complaint, is_time_zone


@pytest.mark.parametrize(
    "schedule",
    [
        *("* * * * *", "*/5 * * * *", "0 0 1 1 *", "0 12 ? * MON-FRI", "1,2,30-40/2 0-23 * jan,FEB 0-6", "@daily"),
        *("@every 1h30m", "@hourly", "TZ=Europe/Berlin 0 0 * * *", "5/15 * * * *"),
    ],
)
def test_schedules_that_the_parser_takes(schedule: str) -> None:
    assert complaint(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("@fortnightly", "unrecognized descriptor: @fortnightly"),
        ("@every soon", 'failed to parse duration soon: time: invalid duration "soon"'),
        ("TZ=Mars/Olympus 0 0 * * *", "provided bad location Mars/Olympus: unknown time zone Mars/Olympus"),
    ],
)
def test_schedules_that_it_refuses_with_its_words(schedule: str, text: str) -> None:
    assert complaint(schedule) == text


def test_time_zones_are_those_of_the_tz_database() -> None:
    assert is_time_zone("Europe/Berlin")
    assert not is_time_zone("Mars/Olympus")
    assert not is_time_zone("../etc/passwd")
