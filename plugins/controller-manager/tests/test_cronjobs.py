"""Cron schedules and which run is due; facts of robfig/cron's and Kubernetes' pkg/controller/cronjob tests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from hyperkube_controller_manager.cronschedule import parse, zone_of
from hyperkube_controller_manager.crontimes import Due, due, job_for, seconds_to_next, spent
from hyperkube_machinery.timestamps import format_seconds

UTC = zone_of("UTC")


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone_of(zone)).timestamp()


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("0/15 * * * *", "2012-07-09 14:45", "2012-07-09 15:00"),
        ("0/15 * * * *", "2012-07-09 14:59", "2012-07-09 15:00"),
        ("0/15 * * * *", "2012-07-09 14:59:59", "2012-07-09 15:00"),
        ("20-35/15 * * * *", "2012-07-09 15:45", "2012-07-09 16:20"),
        ("*/15 * * * *", "2012-07-09 23:46", "2012-07-10 00:00"),
        ("20-35/15 * * * *", "2012-07-09 23:45", "2012-07-10 00:20"),
        ("20-35/15 1/2 * * *", "2012-07-09 23:35", "2012-07-10 01:20"),
        ("20-35/15 10-12 * * *", "2012-07-09 23:35", "2012-07-10 10:20"),
        ("20-35/15 1/2 */2 * *", "2012-07-09 23:35", "2012-07-11 01:20"),
        ("20-35/15 * 9-20 * *", "2012-07-09 23:35", "2012-07-10 00:20"),
        ("20-35/15 * 9-20 Jul *", "2012-07-09 23:35", "2012-07-10 00:20"),
        ("0 0 9 Apr-Oct ?", "2012-07-09 23:35", "2012-08-09 00:00"),
        ("0 0 */5 Apr,Aug,Oct Mon", "2012-07-09 23:35", "2012-08-01 00:00"),
        ("0 0 */5 Oct Mon", "2012-07-09 23:35", "2012-10-01 00:00"),
        ("0 0 * Feb Mon", "2012-07-09 23:35", "2013-02-04 00:00"),
        ("0 0 * Feb Mon/2", "2012-07-09 23:35", "2013-02-01 00:00"),
        ("0 0 29 Feb ?", "2012-07-09 23:35", "2016-02-29 00:00"),
        ("0 0 30 Feb ?", "2012-07-09 23:35", None),
        ("0 0 31 Apr ?", "2012-07-09 23:35", None),
        ("@hourly", "2012-07-09 15:30", "2012-07-09 16:00"),
        ("@daily", "2012-07-09 15:30", "2012-07-10 00:00"),
        ("@weekly", "2012-07-09 15:30", "2012-07-15 00:00"),
        ("@monthly", "2012-07-09 15:30", "2012-08-01 00:00"),
        ("@yearly", "2012-07-09 15:30", "2013-01-01 00:00"),
        ("@every 1h30m", "2012-07-09 15:30", "2012-07-09 17:00"),
        ("@every 10ms", "2012-07-09 15:30", "2012-07-09 15:30:01"),
        ("0 0 13 * Fri", "2012-07-09 15:30", "2012-07-13 00:00"),
        ("0 0 * * Fri", "2012-07-09 15:30", "2012-07-13 00:00"),
        ("0 0 15 * ?", "2012-07-09 15:30", "2012-07-15 00:00"),
    ],
)
def test_when_a_schedule_is_due_next(schedule: str, after: str, expected: str | None) -> None:
    assert parse(schedule, UTC).next(at(after)) == (None if expected is None else at(expected))


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        # Two o'clock is left out on the first of these days, and comes twice on the second.
        ("TZ=America/New_York 30 2 11 Mar ?", "2012-03-11 00:00", "2013-03-11 02:30"),
        ("CRON_TZ=America/New_York 0 3 * * ?", "2012-03-11 01:00", "2012-03-11 03:00"),
        ("TZ=America/New_York 0 0 * * ?", "2012-11-04 00:00", "2012-11-05 00:00"),
        ("TZ=America/New_York 0 * * * ?", "2012-03-11 01:00", "2012-03-11 03:00"),
        ("TZ=America/New_York 0 12 * * ?", "2012-11-03 13:00", "2012-11-04 12:00"),
    ],
)
def test_clocks_that_are_put_forward_and_back(schedule: str, after: str, expected: str) -> None:
    assert parse(schedule).next(at(after, "America/New_York")) == at(expected, "America/New_York")


@pytest.mark.parametrize("text", ["", "* * * *", "60 * * * *", "* * 0 * *", "* * * 13 *", "5-1 * * * *", "x * * * *"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected exactly|out of bounds|failed to parse"):
        parse(text, UTC)


def test_a_time_zone_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown time zone Middle/Earth"):
        parse("TZ=Middle/Earth 0 * * * *")


HOURLY = parse("0 * * * *", UTC)
TEN = at("2026-05-19 10:00")


def cron_job(last: float | None = None, created: float = TEN - 60, **spec: Any) -> dict[str, Any]:
    body = {"schedule": "0 * * * *", "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}}, **spec}
    status = {"lastScheduleTime": format_seconds(last)} if last is not None else {}
    meta = {"name": "tick", "namespace": "ns", "uid": "c", "creationTimestamp": format_seconds(created)}
    return {"metadata": meta, "spec": body, "status": status}


@pytest.mark.parametrize(
    ("obj", "now", "expected"),
    [
        (cron_job(), TEN - 30, Due(TEN - 60)),
        (cron_job(), TEN + 60, Due(TEN - 60, TEN)),
        (cron_job(last=TEN), TEN + 60, Due(TEN)),
        (cron_job(last=TEN), TEN + 3700, Due(TEN, TEN + 3600)),
        (cron_job(), TEN + 2 * 3600 + 1, Due(TEN - 60, TEN + 2 * 3600, 3)),
        (cron_job(startingDeadlineSeconds=600), TEN + 2 * 3600 + 1, Due(TEN + 2 * 3600 - 599, TEN + 2 * 3600)),
        (cron_job(startingDeadlineSeconds=10), TEN + 60, Due(TEN + 50)),
        (cron_job(), TEN + 1000 * 3600, Due(TEN - 60, TEN + 1000 * 3600, 1001)),
    ],
)
def test_the_latest_run_that_should_have_begun_is_due(obj: dict[str, Any], now: float, expected: Due) -> None:
    assert due(obj, HOURLY, now) == expected


def test_many_missed_runs_are_told_of() -> None:
    assert due(cron_job(), HOURLY, TEN + 1000 * 3600).missed_many
    assert not due(cron_job(), HOURLY, TEN + 50 * 3600).missed_many


@pytest.mark.parametrize(
    ("last", "now", "expected"), [(None, TEN - 30, 30), (TEN, TEN + 60, 3540), (None, TEN + 60, 3540)]
)
def test_it_is_looked_at_again_when_the_next_run_is_due(last: float | None, now: float, expected: float) -> None:
    assert seconds_to_next(cron_job(last), HOURLY, now) == pytest.approx(expected + 0.1)


def test_a_schedule_that_is_never_due_is_not_waited_for() -> None:
    assert seconds_to_next(cron_job(), parse("0 0 30 Feb ?", UTC), TEN) is None


@pytest.mark.parametrize(
    ("schedule", "created", "now"),
    [
        ("0 0 30 Feb ?", TEN, TEN),
        ("0 0 29 Feb ?", at("2096-02-28 10:00"), at("2096-03-01 10:00")),  # 2100 has no such day
    ],
)
def test_a_schedule_is_invalid_where_it_is_not_due_twice_in_five_years(
    schedule: str, created: float, now: float
) -> None:
    with pytest.raises(ValueError, match="difference between two schedules is less than 1 second"):
        due(cron_job(created=created), parse(schedule, UTC), now)


def test_the_job_of_a_run_is_named_after_its_time() -> None:
    made = job_for(cron_job(timeZone="Europe/Berlin"), TEN)
    assert made["metadata"]["name"] == f"tick-{int(TEN) // 60}"
    assert made["metadata"]["labels"] == {"a": "b"}
    scheduled = "batch.kubernetes.io/cronjob-scheduled-timestamp"
    assert made["metadata"]["annotations"] == {scheduled: "2026-05-19T12:00:00+02:00"}
    assert made["spec"] == {"x": 1}
    assert job_for(cron_job(), TEN)["metadata"]["annotations"] == {scheduled: "2026-05-19T10:00:00Z"}


def test_of_finished_jobs_the_oldest_go() -> None:
    def job(name: str, started: str, kind: str) -> dict[str, Any]:
        condition = {"type": kind, "status": "True"}
        return {"metadata": {"name": name}, "status": {"startTime": started, "conditions": [condition]}}

    jobs = [job("c", "3", "Complete"), job("a", "1", "Complete"), job("f", "1", "Failed"), job("b", "2", "Complete")]
    assert [one["metadata"]["name"] for one in spent(jobs, "Complete", 1)] == ["a", "b"]
    assert [one["metadata"]["name"] for one in spent(jobs, "Failed", 0)] == ["f"]
    assert spent(jobs, "Complete", None) == []
