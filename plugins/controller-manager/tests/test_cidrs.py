"""Which ranges nodes get."""

from __future__ import annotations

import pytest

from hyperkube_controller_manager.cidrs import CIDRSet, NoneLeft, OutOfRange, parse


def test_ranges_are_given_in_turn_until_none_is_left() -> None:
    ranges = CIDRSet(parse("10.244.0.0/22"), 24)
    assert [str(ranges.take()) for _ in range(4)] == [f"10.244.{n}.0/24" for n in range(4)]
    with pytest.raises(NoneLeft, match="no remaining CIDRs"):
        ranges.take()
    ranges.release(parse("10.244.1.0/24"))
    assert str(ranges.take()) == "10.244.1.0/24"


def test_a_range_just_released_rests_while_there_are_others() -> None:
    ranges = CIDRSet(parse("10.244.0.0/16"), 24)
    first = ranges.take()
    ranges.release(first)
    assert str(ranges.take()) == "10.244.1.0/24"


@pytest.mark.parametrize(
    ("occupied", "count", "first"),
    [
        ("10.244.0.0/24", 1, "10.244.1.0/24"),
        ("10.244.0.0/23", 2, "10.244.2.0/24"),
        ("10.244.0.128/25", 1, "10.244.1.0/24"),
        ("10.244.1.0/24", 1, "10.244.0.0/24"),
        ("10.244.2.0/23", 2, "10.244.0.0/24"),
    ],
)
def test_what_overlaps_is_taken(occupied: str, count: int, first: str) -> None:
    ranges = CIDRSet(parse("10.244.0.0/22"), 24)
    ranges.occupy(parse(occupied))
    assert len(ranges) == count
    assert str(ranges.take()) == first


def test_a_larger_range_takes_all() -> None:
    ranges = CIDRSet(parse("10.244.4.0/22"), 24)
    ranges.occupy(parse("10.244.0.0/16"))
    assert len(ranges) == 4


@pytest.mark.parametrize("foreign", ["10.245.0.0/24", "fd00::/64"])
def test_what_is_elsewhere_is_refused(foreign: str) -> None:
    ranges = CIDRSet(parse("10.244.0.0/16"), 24)
    with pytest.raises(OutOfRange, match="out the range"):
        ranges.occupy(parse(foreign))
    with pytest.raises(OutOfRange):
        ranges.release(parse(foreign))


def test_ranges_of_ipv6() -> None:
    ranges = CIDRSet(parse("fd00:10:244::/56"), 64)
    assert [str(ranges.take()) for _ in range(2)] == ["fd00:10:244::/64", "fd00:10:244:1::/64"]


@pytest.mark.parametrize(
    ("cluster", "mask", "why"),
    [
        ("10.244.0.0/16", 8, "cannot be larger"),
        ("10.244.0.0/16", 33, "no mask"),
        ("fd00::/40", 64, "the most that there may be"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(cluster: str, mask: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        CIDRSet(parse(cluster), mask)
