"""Cases are facts of Kubernetes' own tests: pkg/controller/deployment/{rolling,sync}_test.go and util."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_controller_manager.rollout import (
    Scale,
    Sized,
    Wanted,
    fenceposts,
    next_new_size,
    next_old_sizes,
    resolved,
    scaling_sizes,
)


@pytest.mark.parametrize(
    ("surge", "unavailable", "desired", "expected"),
    [
        ("0%", "0%", 0, (0, 1)),
        ("39%", "39%", 10, (4, 3)),
        (None, "39%", 10, (0, 3)),
        ("39%", None, 10, (4, 0)),
        (None, None, 10, (0, 1)),
        (1, 0, 3, (1, 0)),
        ("1%", "25%", 1, (1, 0)),
        ("0%", "1%", 2, (0, 1)),
    ],
)
def test_percentages_of_surge_round_up_and_of_unavailability_down(
    surge: Any, unavailable: Any, desired: Any, expected: Any
) -> None:
    assert fenceposts(surge, unavailable, desired) == expected


@pytest.mark.parametrize("amount", ["oops", "12", "%", "1.5%", "-1%", "٣%"])
def test_an_amount_that_is_no_percentage_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="not a percentage"):
        resolved(amount, 10, up=True)


def test_no_more_may_be_missing_than_there_are() -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 5}}
    wanted = Wanted.of({"spec": {"replicas": 2, "strategy": strategy}})
    assert (wanted.least_available, wanted.most) == (0, 2)


@pytest.mark.parametrize(
    ("replicas", "surge", "old", "new", "expected"),
    [
        (10, 0, 10, 0, 0),
        (10, 2, 10, 0, 2),
        (10, 2, 5, 0, 7),
        (10, 2, 10, 2, 2),
        (10, 2, 2, 11, 10),
        (6, 10, 0, 2, 6),
    ],
)
def test_the_new_replica_set_grows_into_the_room_there_is(
    replicas: int, surge: int, old: int, new: int, expected: int
) -> None:
    assert next_new_size(Wanted(replicas=replicas, surge=surge), old + new, new) == expected


def test_a_replacement_makes_all_pods_at_once() -> None:
    assert next_new_size(Wanted(replicas=3, rolling=False), 4, 1) == 3


@pytest.mark.parametrize(
    ("unavailable", "old", "new", "old_available", "new_available", "expected"),
    [
        (0, 10, 0, 10, 0, 10),
        (2, 10, 0, 10, 0, 8),
        (2, 10, 0, 8, 0, 8),
        (2, 10, 0, 9, 0, 8),
        (2, 8, 2, 8, 0, 8),
        (2, 10, 0, 1, 0, 8),
        (2, 8, 2, 8, 2, 6),
        (2, 0, 10, 0, 10, 0),
    ],
)
def test_old_replica_sets_give_up_what_can_be_spared(
    unavailable: int, old: int, new: int, old_available: int, new_available: int, expected: int
) -> None:
    one = Sized(name="old", replicas=old, available=old_available)
    steps = next_old_sizes(
        Wanted(replicas=10, unavailable=unavailable), Sized(name="new", replicas=new, available=new_available), [one]
    )
    assert (steps[-1].replicas if steps else old) == expected


def test_broken_old_pods_go_first_and_from_the_oldest_replica_set() -> None:
    old = [
        Sized(name="younger", replicas=5, available=5, created=2),
        Sized(name="older", replicas=5, available=3, created=1),
    ]
    steps = next_old_sizes(Wanted(replicas=10, surge=3), Sized(name="new", replicas=3, available=3), old)
    assert steps == [Scale("older", 3), Scale("older", 2)]


def test_a_status_that_is_older_than_the_size_is_not_acted_on() -> None:
    old = [Sized(name="old", replicas=2, available=5)]
    assert next_old_sizes(Wanted(replicas=5), Sized(name="new", replicas=5, available=5), old) == []


V1, V2, V3 = 1.0, 2.0, 3.0


@pytest.mark.parametrize(
    ("replicas", "before", "surge", "new", "old", "expected"),
    [
        (12, 10, (0, 0), ("v1", 10, V3), [], {"v1": 12}),
        (5, 10, (0, 0), ("v1", 10, V3), [], {"v1": 5}),
        (10, 5, (0, 0), ("v2", 2, V3), [("v1", 3, V2)], {"v2": 4, "v1": 6}),
        (3, 5, (0, 0), ("v2", 2, V3), [("v1", 3, V2)], {"v2": 1, "v1": 2}),
        (4, 9, (0, 0), ("v2", 8, V3), [("v1", 1, V2)], {"v2": 4, "v1": 0}),
        (10, 7, (0, 0), ("v3", 2, V3), [("v2", 3, V2), ("v1", 2, V1)], {"v3": 3, "v2": 4, "v1": 3}),
        (8, 13, (0, 0), ("v3", 2, V3), [("v2", 8, V2), ("v1", 3, V1)], {"v3": 1, "v2": 5, "v1": 2}),
        (4, 3, (0, 0), ("v3", 1, V3), [("v2", 1, V2), ("v1", 1, V1)], {"v3": 2, "v2": 1, "v1": 1}),
        (2, 3, (0, 0), ("v3", 1, V3), [("v2", 1, V2), ("v1", 1, V1)], {"v3": 1, "v2": 1, "v1": 0}),
        (5, 4, (0, 0), None, [("v2", 2, V2), ("v1", 2, V1)], {"v2": 3, "v1": 2}),
        (0, 6, (0, 0), ("v3", 3, V3), [("v2", 2, V2), ("v1", 1, V1)], {"v3": 0, "v2": 0, "v1": 0}),
        (6, 6, (0, 0), ("v3", 0, V3), [("v2", 0, V2), ("v1", 0, V1)], {"v3": 6, "v2": 0, "v1": 0}),
        (20, 10, (2, 2), ("v2", 6, V3), [("v1", 6, V2)], {"v2": 11, "v1": 11}),
        (50, 10, (6, 3), ("v2", 5, V3), [("v1", 8, V2)], {"v2": 22, "v1": 34}),
        (14, 10, (0, 0), None, [("v2", 7, V3), ("v1", 3, V2)], {"v2": 10, "v1": 4}),
    ],
)
def test_each_replica_set_has_its_share_of_a_scaling(
    replicas: Any, before: Any, surge: Any, new: Any, old: Any, expected: Any
) -> None:
    def sized(name: str, size: int, created: float) -> Sized:
        return Sized(
            name=name,
            replicas=size,
            available=size,
            created=created,
            desired=before,
            maximum=before + surge[1],
        )

    sets = [sized(*one) for one in old]
    fresh = sized(*new) if new else None
    sizes = {one.name: one.replicas for one in [*sets, *([fresh] if fresh else [])]}
    for step in scaling_sizes(Wanted(replicas=replicas, surge=surge[0]), fresh, sets):
        sizes[step.name] = step.replicas
    assert sizes == expected


def test_a_new_replica_set_that_is_full_but_broken_takes_nothing_from_the_old() -> None:
    new = Sized(name="v2", replicas=2, available=0, created=V2, desired=2, maximum=3)
    old = [Sized(name="v1", replicas=1, available=1, created=V1, desired=2, maximum=3)]
    steps = scaling_sizes(Wanted(replicas=2, surge=1, unavailable=1), new, old)
    assert {step.name: step.replicas for step in steps} == {"v2": 2, "v1": 1}


def test_a_new_replica_set_that_has_all_ends_the_old_ones() -> None:
    new = Sized(name="v2", replicas=2, available=2, created=V2, desired=2, maximum=3)
    old = [Sized(name="v1", replicas=1, available=1, created=V1)]
    assert scaling_sizes(Wanted(replicas=2, surge=1), new, old) == [Scale("v1", 0)]


def test_the_only_replica_set_is_told_of_a_scaling_that_somebody_did_already() -> None:
    only = Sized(name="v1", replicas=5, available=5, desired=3, maximum=4)
    assert scaling_sizes(Wanted(replicas=5, surge=1), only, []) == [Scale("v1", 5)]
    told = Sized(name="v1", replicas=5, available=5, desired=5, maximum=6)
    assert scaling_sizes(Wanted(replicas=5, surge=1), told, []) == []


def test_without_a_note_of_the_last_size_the_status_stands_in() -> None:
    new = Sized(name="v2", replicas=2, created=V2)
    old = [Sized(name="v1", replicas=3, created=V1)]
    steps = scaling_sizes(Wanted(replicas=10, observed=5), new, old)
    assert {step.name: step.replicas for step in steps} == {"v2": 4, "v1": 6}
