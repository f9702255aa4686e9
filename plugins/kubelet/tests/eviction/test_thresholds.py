"""Thresholds, as flags say them."""

from __future__ import annotations

import re

import pytest

from hyperkube_kubelet.eviction.signals import Layout, with_container_disk
from hyperkube_kubelet.thresholds import Amount, Threshold, parse_thresholds


def parsed(
    hard: dict[str, str] | None = None,
    soft: dict[str, str] | None = None,
    grace: dict[str, str] | None = None,
    reclaim: dict[str, str] | None = None,
    *,
    allocatable: bool = False,
) -> tuple[Threshold, ...]:
    return parse_thresholds(hard or {}, soft or {}, grace or {}, reclaim or {}, allocatable=allocatable)


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("100Mi", Amount(100 << 20)),
        ("1.5Gi", Amount(3 << 29)),
        ("10%", Amount(share=0.1)),
        ("12.5%", Amount(share=0.125)),
    ],
)
def test_a_threshold_is_an_amount_or_a_part(text: str, least: Amount) -> None:
    assert parsed({"memory.available": text}) == (Threshold(signal="memory.available", least=least),)


@pytest.mark.parametrize("text", ["0%", "100%"])
def test_all_and_nothing_are_no_threshold(text: str) -> None:
    assert parsed({"nodefs.available": text}) == ()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"hard": {"memory.free": "1Gi"}}, "unsupported eviction signal memory.free"),
        ({"hard": {"memory.available": "0"}}, "eviction threshold memory.available must be positive: 0"),
        ({"hard": {"memory.available": "-1"}}, "eviction threshold memory.available must be positive: -1"),
        ({"hard": {"memory.available": "-3%"}}, "eviction percentage threshold memory.available must be >= 0%: -3%"),
        (
            {"hard": {"memory.available": "101%"}},
            "eviction percentage threshold memory.available must be <= 100%: 101%",
        ),
        ({"hard": {"memory.available": "much"}}, "quantities must match"),
        (
            {"soft": {"memory.available": "1Gi"}},
            "grace period must be specified for the soft eviction threshold memory.available",
        ),
        ({"grace": {"memory.available": "soon"}}, "soon"),
        (
            {"grace": {"memory.available": "-1s"}},
            "invalid eviction grace period specified: -1s, must be a positive value",
        ),
        (
            {"reclaim": {"memory.available": "0%"}},
            "eviction percentage minimum reclaim memory.available must be positive: 0%",
        ),
        (
            {"reclaim": {"memory.available": "-1"}},
            "negative eviction minimum reclaim specified for memory.available",
        ),
    ],
)
def test_what_is_wrong_is_told(given: dict[str, dict[str, str]], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parsed(**given)  # type: ignore[arg-type]


def test_soft_thresholds_have_their_grace_and_all_their_reclaim() -> None:
    hard, soft = parsed(
        {"memory.available": "1Gi"},
        {"memory.available": "2Gi"},
        {"memory.available": "1m30s"},
        {"memory.available": "500Mi"},
    )
    assert (hard.hard, soft.hard, soft.grace_seconds) == (True, False, 90.0)
    assert hard.reclaim == soft.reclaim == Amount(500 << 20)


def test_where_pods_are_limited_together_their_memory_is_watched_too() -> None:
    found = parsed(
        {"memory.available": "1Gi", "nodefs.available": "10%"},
        {"memory.available": "2Gi"},
        {"memory.available": "1m"},
        allocatable=True,
    )
    assert [one.signal for one in found] == [
        "memory.available",
        "nodefs.available",
        "memory.available",
        "allocatableMemory.available",
    ]
    assert found[-1].hard


@pytest.mark.parametrize(
    ("layout", "source"),
    [(Layout.ALL_TOGETHER, "10%"), (Layout.IMAGES_APART, "15%"), (Layout.IMAGES_ALONE, "10%")],
)
def test_containers_disk_is_the_one_that_it_is_on(layout: Layout, source: str) -> None:
    given = parsed({"nodefs.available": "10%", "imagefs.available": "15%", "containerfs.available": "99%"})
    found = {one.signal: one for one in with_container_disk(given, layout)}
    assert found["containerfs.available"].least == Amount(share=float(source[:-1]) / 100)
    assert len(found) == 3
