"""What containers and sandboxes may use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperkube_kubelet.containers.limits import Rules, container_limits, sandbox_limits, sandbox_overhead
from hyperkube_kubelet.runtime.values import Limits

from ..builders import container, pod, sidecar

MIB, GIB = 1 << 20, 1 << 30
RULES = Rules(memory_capacity=4 * GIB)
V2 = replace(RULES, version=2, kills_alone=True)


def asking(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **fields: Any) -> Any:
    return container(resources={"requests": requests or {}, "limits": limits or {}}, **fields)


def limits_of(spec: dict[str, Any], rules: Rules = RULES, **of_pod: Any) -> Limits:
    return container_limits(pod(spec, **of_pod), spec, rules)


def test_a_container_that_asks_for_nothing() -> None:
    assert limits_of(container()) == Limits(cpu_shares=2, oom_score_adj=1000)


def test_requests_are_shares_and_limits_are_limits() -> None:
    found = limits_of(asking({"cpu": "250m", "memory": "1Gi"}, {"cpu": "500m", "memory": "2Gi"}))
    assert found == Limits(
        cpu_shares=256,
        cpu_quota=50_000,
        memory_bytes=2 * GIB,
        memory_request_bytes=GIB,
        oom_score_adj=750,
    )


def test_a_limit_stands_for_a_request_that_is_not_there() -> None:
    assert limits_of(asking(limits={"cpu": "2"})).cpu_shares == 2048
    assert limits_of(asking({"cpu": "0"}, {"cpu": "2"})).cpu_shares == 2


def test_quotas_may_be_left_out_and_have_another_period() -> None:
    spec = asking(limits={"cpu": "2"})
    assert limits_of(spec, replace(RULES, cpu_quota=False)).cpu_quota is None
    found = limits_of(spec, replace(RULES, cpu_period=20_000))
    assert (found.cpu_quota, found.cpu_period) == (40_000, 20_000)


def test_what_the_pod_limits_as_a_whole_limits_each_container() -> None:
    whole = {"limits": {"cpu": "1", "memory": "64Mi", "hugepages-2Mi": "4Mi"}}
    rules = replace(RULES, page_sizes=(2 * MIB, GIB))
    found = limits_of(container(), rules, resources=whole)
    assert (found.cpu_quota, found.memory_bytes, found.hugepages) == (100_000, 64 * MIB, {"2MB": 4 * MIB, "1GB": 0})
    own = limits_of(asking(limits={"cpu": "500m", "memory": "32Mi", "hugepages-2Mi": "2Mi"}), rules, resources=whole)
    assert (own.cpu_quota, own.memory_bytes, own.hugepages["2MB"]) == (50_000, 32 * MIB, 2 * MIB)


@pytest.mark.parametrize(
    ("quality", "score"), [("Guaranteed", -997), ("BestEffort", 1000), ("Burstable", 1000 - 1000 * GIB // (4 * GIB))]
)
def test_who_is_killed_first(quality: str, score: int) -> None:
    assert limits_of(asking({"memory": "1Gi"}), status={"qosClass": quality}).oom_score_adj == score


def test_pods_that_the_node_can_not_do_without_are_killed_last() -> None:
    critical: dict[str, Any] = {"priorityClassName": "system-node-critical", "priority": 2_000_001_000}
    assert limits_of(container(), **critical).oom_score_adj == -997
    assert limits_of(container(), priorityClassName="system-node-critical", priority=5).oom_score_adj == 1000


def test_a_sidecar_is_not_killed_before_those_whom_it_serves() -> None:
    side = sidecar("side", resources={"requests": {"memory": "1Mi"}})
    made = pod(
        asking({"memory": "2Gi"}), container("b", resources={"requests": {"memory": "1Gi"}}), initContainers=[side]
    )
    assert container_limits(made, side, RULES).oom_score_adj == 750
    assert container_limits(made, made["spec"]["containers"][0], RULES).oom_score_adj == 500


def test_memory_that_the_pod_asks_for_as_a_whole_is_shared_out() -> None:
    spec = asking({"memory": "1Gi"})
    made = pod(spec, container("b"), resources={"requests": {"memory": "3Gi"}})
    assert container_limits(made, spec, RULES).oom_score_adj == 1000 - 500


@given(st.integers(0, 64 * GIB), st.integers(1, 32 * GIB))
def test_a_burstable_container_stays_between_the_others(request: int, capacity: int) -> None:
    found = limits_of(asking({"memory": str(request), "cpu": "1"}), replace(RULES, memory_capacity=capacity))
    assert 3 <= found.oom_score_adj <= 999


def test_on_version_1_nothing_is_swapped() -> None:
    rules = replace(RULES, version=1, swap_counted=True)
    assert limits_of(asking(limits={"memory": "1Gi"}), rules).memory_swap_bytes == GIB
    assert limits_of(container(), rules).memory_swap_bytes is None
    assert limits_of(asking(limits={"memory": "1Gi"}), replace(rules, swap_counted=False)).memory_swap_bytes is None


def test_on_version_2_burstable_pods_may_swap_some() -> None:
    rules = replace(V2, swap_counted=True, limited_swap=True, swap_capacity=8 * GIB)
    assert limits_of(asking({"memory": "1Gi"}), rules).unified == {"memory.swap.max": str(2 * GIB)}
    for spec, more in (
        (asking({"memory": "1Gi"}, {"memory": "1Gi"}), {}),
        (asking({"cpu": "1"}), {}),
        (container(), {}),
        (asking({"memory": "1Gi"}), {"priority": 2_000_000_000}),
        (asking({"memory": "5Gi"}), {}),
    ):
        assert limits_of(spec, rules, **more).unified == {"memory.swap.max": "0"}
    assert limits_of(asking({"memory": "1Gi"}), replace(rules, limited_swap=False)).unified == {"memory.swap.max": "0"}


def test_on_version_2_a_container_out_of_memory_is_killed_as_a_whole_unless_told_otherwise() -> None:
    assert limits_of(container(), replace(V2, kills_alone=False)).unified == {"memory.oom.group": "1"}
    assert limits_of(container(), V2).unified == {}
    assert limits_of(container(), replace(RULES, version=1)).unified == {}


def test_memory_may_be_protected_and_slowed_down() -> None:
    rules = replace(V2, protects_memory=True, memory_allocatable=2 * GIB, throttling=0.5)
    guaranteed = asking({"memory": "1Gi", "cpu": "1"}, {"memory": "1Gi", "cpu": "1"})
    assert limits_of(guaranteed, rules).unified == {"memory.min": str(GIB)}
    bursting = asking({"memory": "1Gi"}, {"memory": "3Gi"})
    assert limits_of(bursting, rules).unified == {"memory.low": str(GIB), "memory.high": str(2 * GIB)}
    open_ended = limits_of(asking({"memory": "1Gi"}), rules).unified
    assert open_ended == {"memory.low": str(GIB), "memory.high": str(GIB + GIB // 2)}


def test_a_sandbox_has_the_sum_and_its_overhead_apart() -> None:
    made = pod(asking({"cpu": "100m"}, {"cpu": "1", "memory": "1Gi"}), overhead={"cpu": "250m", "memory": "64Mi"})
    assert sandbox_limits(made, RULES) == Limits(cpu_shares=102, cpu_quota=100_000, memory_bytes=GIB)
    assert sandbox_overhead(made, RULES) == Limits(cpu_shares=256, cpu_quota=25_000, memory_bytes=64 * MIB)
