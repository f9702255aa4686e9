"""Whom the next connection goes to."""

from __future__ import annotations

from hyperkube_proxy.relaying.balancer import Balancer

A, B, C = ("10.1.0.1", 80), ("10.1.0.2", 80), ("10.1.0.3", 80)


class Now:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def balancer(*targets: tuple[str, int], affinity_seconds: int = 0, now: Now | None = None) -> Balancer:
    made = Balancer(now or Now())
    made.update(targets, affinity_seconds=affinity_seconds)
    return made


def first(made: Balancer, client: str = "c") -> tuple[str, int]:
    chosen = next(made.candidates(client))
    made.keep(client, chosen)
    return chosen


def test_targets_take_turns_and_each_connection_may_try_all() -> None:
    made = balancer(A, B, C)
    assert [list(made.candidates("c")) for _ in range(4)] == [[A, B, C], [B, C, A], [C, A, B], [A, B, C]]


def test_without_targets_there_is_nobody_to_try() -> None:
    assert list(balancer().candidates("c")) == []


def test_a_client_stays_with_its_target_and_does_not_take_anybodys_turn() -> None:
    made = balancer(A, B, affinity_seconds=10)
    assert [first(made, "x"), first(made, "x"), first(made, "y"), first(made, "x")] == [A, A, B, A]


def test_a_target_that_refuses_is_left_for_another() -> None:
    made = balancer(A, B, affinity_seconds=10)
    assert first(made, "x") == A
    made.keep("x", B)  # A refused
    assert first(made, "x") == B
    assert list(made.candidates("x")) == [B, A], "the other one is still tried after it"


def test_the_time_begins_anew_with_each_connection() -> None:
    now = Now()
    made = balancer(A, B, affinity_seconds=10, now=now)
    assert first(made, "x") == A
    for _ in range(3):
        now.seconds += 9
        assert first(made, "x") == A
    now.seconds += 11
    assert first(made, "x") == B


def test_a_client_of_a_target_that_left_gets_another_for_good() -> None:
    made = balancer(A, B, C, affinity_seconds=10)
    assert [first(made, client) for client in "xyz"] == [A, B, C]
    made.update([B, C], affinity_seconds=10)
    assert first(made, "y") == B
    assert first(made, "x") in (B, C)
    made.update([A, B, C], affinity_seconds=10)
    assert first(made, "x") in (B, C), "it isn't torn away when the first comes back"


def test_affinity_that_is_switched_off_is_forgotten() -> None:
    made = balancer(A, B, affinity_seconds=10)
    first(made, "x")
    made.update([A, B])
    made.update([A, B], affinity_seconds=10)
    assert [first(made, "x"), first(made, "x")] == [B, B]


def test_clients_whose_time_is_over_are_not_kept_for_ever() -> None:
    now = Now()
    made = balancer(A, affinity_seconds=10, now=now)
    for number in range(5000):
        now.seconds += 1
        first(made, str(number))
    assert len(made._kept) < 2000
