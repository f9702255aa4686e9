"""Between the API's amounts and the kernel's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_kubelet.cgroups.conversions import (
    milli_of_quota,
    milli_of_shares,
    page_name,
    quota_of,
    shares_of,
    shares_of_weight,
    weight_of,
)
from hyperkube_kubelet.cgroups.names import parse, written


@pytest.mark.parametrize(
    ("milli", "shares"), [(0, 2), (1, 2), (2, 2), (10, 10), (100, 102), (1000, 1024), (2500, 2560), (10**9, 262144)]
)
def test_requests_are_shares(milli: int, shares: int) -> None:
    assert shares_of(milli) == shares


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (102, 4), (1024, 39), (2048, 79), (262144, 10000)])
def test_shares_are_weights_in_version_2(shares: int, weight: int) -> None:
    assert weight_of(shares) == weight


@pytest.mark.parametrize(
    ("milli", "period", "quota"),
    [(0, 100_000, 0), (1, 100_000, 1000), (10, 100_000, 1000), (500, 100_000, 50_000), (1500, 10_000, 15_000)],
)
def test_limits_are_quotas(milli: int, period: int, quota: int) -> None:
    assert quota_of(milli, period) == quota


@pytest.mark.parametrize(("size", "name"), [(64 << 10, "64KB"), (2 << 20, "2MB"), (1 << 30, "1GB"), (16 << 30, "16GB")])
def test_huge_pages_are_named_as_the_kernel_does(size: int, name: str) -> None:
    assert page_name(size) == name


@given(st.integers(0, 10**7))
def test_shares_stay_in_the_kernels_range_and_grow_with_the_request(milli: int) -> None:
    assert 2 <= shares_of(milli) <= shares_of(milli + 1) <= 262144
    assert 1 <= weight_of(shares_of(milli)) <= weight_of(shares_of(milli + 1)) <= 10000


@given(st.integers(3, 256_000))
def test_a_request_is_read_back_from_its_shares(milli: int) -> None:
    assert milli_of_shares(shares_of(milli)) == milli


@given(st.integers(10, 10**6))
def test_a_limit_is_read_back_from_its_quota(milli: int) -> None:
    assert milli_of_quota(quota_of(milli), 100_000) == milli


@given(st.integers(1, 10000))
def test_shares_of_a_weight_have_that_weight_or_the_one_below(weight: int) -> None:
    assert 2 <= shares_of_weight(weight) <= 262144
    assert weight_of(shares_of_weight(weight)) in (weight, weight - 1)


_PARTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@given(st.lists(_PARTS, max_size=4).map(tuple), st.sampled_from(["cgroupfs", "systemd"]))
def test_names_are_read_back(name: tuple[str, ...], driver: str) -> None:
    assert parse(written(name, driver), driver) == name  # type: ignore[arg-type]


def test_systemd_names_say_the_whole_way_down() -> None:
    name = ("kubepods", "burstable", "pod1234-abcd")
    assert written(name, "cgroupfs") == "/kubepods/burstable/pod1234-abcd"
    assert written(name, "systemd") == (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1234_abcd.slice"
    )
    assert written((), "systemd") == written((), "cgroupfs") == "/"
