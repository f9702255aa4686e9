"""Waits between the tries of what keeps failing."""

from __future__ import annotations

from hyperkube_kubelet.containers.backoff import BackOff


def test_waits_double_up_to_the_longest() -> None:
    back_off, now, waits = BackOff(), 0.0, []
    for _ in range(8):
        assert back_off.remaining("a", now, now) == back_off.seconds("a")
        now += back_off.seconds("a")
        back_off.advance("a", now, now)
        waits.append(back_off.seconds("a"))
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]


def test_the_first_time_nothing_waits() -> None:
    assert BackOff().remaining("a", 100.0, 100.0) == 0


def test_the_wait_counts_from_the_end_of_what_failed() -> None:
    back_off = BackOff()
    back_off.advance("a", 0.0, 0.0)
    assert back_off.remaining("a", 50.0, 53.0) == 7
    assert back_off.remaining("a", 50.0, 61.0) == 0


def test_who_did_well_for_long_begins_anew() -> None:
    back_off = BackOff()
    for moment in (0.0, 20.0, 50.0):
        back_off.advance("a", moment, moment)
    assert back_off.seconds("a") == 40
    assert back_off.remaining("a", 651.0, 651.0) == 0
    back_off.advance("a", 651.0, 651.0)
    assert back_off.seconds("a") == 10


def test_keys_are_forgotten_by_how_they_begin() -> None:
    back_off = BackOff()
    for key in ("a_1", "a_2", "b_1"):
        back_off.advance(key, 0.0, 0.0)
    back_off.forget("a_")
    assert [back_off.seconds(key) for key in ("a_1", "a_2", "b_1")] == [0, 0, 10]


def test_a_shorter_wait_at_most_is_the_first_one_as_well() -> None:
    back_off = BackOff(most=4.0)
    for _ in range(3):
        back_off.advance("a", 0.0, 0.0)
        assert back_off.seconds("a") == 4
