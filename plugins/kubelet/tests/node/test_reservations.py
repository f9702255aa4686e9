"""What of a machine is left for pods."""

from __future__ import annotations

import pytest

from hyperkube_kubelet.cpulists import cpu_list
from hyperkube_kubelet.node.reservations import (
    OverReserved,
    allocatable,
    eviction_reservation,
    pods_at_most,
    with_reserved_cpus,
)


@pytest.mark.parametrize(
    ("reserved", "expected"),
    [
        ([{}], {"cpu": "4", "memory": "1Gi"}),
        ([{"cpu": "500m"}], {"cpu": "3500m", "memory": "1Gi"}),
        ([{"cpu": "500m"}, {"cpu": "250m", "memory": "24Mi"}], {"cpu": "3250m", "memory": "1000Mi"}),
        ([{"memory": "1Mi", "pods": "3", "pid": "5"}], {"cpu": "4", "memory": "1023Mi"}),
    ],
)
def test_pods_get_what_is_left(reserved: list[dict[str, str]], expected: dict[str, str]) -> None:
    assert allocatable({"cpu": "4", "memory": "1Gi"}, *reserved) == expected


def test_more_than_there_is_can_not_be_reserved() -> None:
    with pytest.raises(OverReserved) as caught:
        allocatable({"cpu": "4", "memory": "1Gi"}, {"cpu": "3"}, {"cpu": "2"})
    assert str(caught.value) == (
        'invalid Node Allocatable configuration. Resource "cpu" has a reservation of 5 but capacity of 4.'
        " Expected capacity >= reservation."
    )


def test_huge_pages_are_memory_no_more() -> None:
    found = allocatable({"memory": "1Gi", "hugepages-2Mi": "24Mi"})
    assert found == {"memory": "1000Mi", "hugepages-2Mi": "24Mi"}


def test_hard_eviction_keeps_something_free() -> None:
    capacity = {"memory": "1Gi", "ephemeral-storage": "1000Ki"}
    thresholds = {"memory.available": "100Mi", "nodefs.available": "10%", "pid.available": "5%"}
    assert eviction_reservation(thresholds, capacity) == {"memory": "100Mi", "ephemeral-storage": "102400"}
    assert eviction_reservation({"memory.available": "50%"}, capacity) == {"memory": str(1 << 29)}
    assert eviction_reservation({}, capacity) == {}
    large = {"ephemeral-storage": "264212084Ki"}  # of a machine on which upstream's kubelet was asked
    left = allocatable(large, eviction_reservation({"nodefs.available": "10%"}, large))
    assert left == {"ephemeral-storage": "243497856212"}


@pytest.mark.parametrize(("most", "per_core", "expected"), [(110, 0, 110), (110, 10, 40), (30, 10, 30)])
def test_how_many_pods(most: int, per_core: int, expected: int) -> None:
    assert pods_at_most(most, per_core, cpus=4) == expected


def test_lists_of_processors() -> None:
    assert cpu_list("0-2,7") == {0, 1, 2, 7}
    assert cpu_list("") == set()
    for wrong in ("a", "3-1", "1-", "-1"):
        with pytest.raises(ValueError, match="no list of processors"):
            cpu_list(wrong)


def test_reserved_processors_go_before_amounts() -> None:
    system, kube = {"cpu": "100m", "memory": "1Gi"}, {"cpu": "200m", "memory": "2Gi"}
    assert with_reserved_cpus("0-1", system, kube, 4) == ({"cpu": "2", "memory": "1Gi"}, {"memory": "2Gi"})
    assert with_reserved_cpus("", system, kube, 4) == (system, kube)
    with pytest.raises(ValueError, match="reserved-cpus: 3-4 is not a subset of online-cpus: 0-3"):
        with_reserved_cpus("3-4", system, kube, 4)
