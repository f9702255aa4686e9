"""What pods' groups are held to."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_kubelet.cgroups.policy import Policy, quality_settings, reserved_settings, whole_settings
from hyperkube_kubelet.cgroups.settings import UNBOUNDED, Settings
from hyperkube_kubelet.podresources import page_sizes, pod_limits, pod_requests, quality_of

from ..builders import container, pod, sidecar

MIB = 1 << 20
BOTH = {"cpu": "1", "memory": "1"}


def asking(name: str = "main", requests: dict[str, str] | None = None, **limits: str) -> dict[str, Any]:
    resources: dict[str, Any] = {"limits": limits} if limits else {}
    if requests is not None:
        resources["requests"] = requests
    elif limits:
        resources["requests"] = dict(limits)
    return container(name, resources=resources)


@pytest.mark.parametrize(
    ("made", "quality"),
    [
        (pod(container()), "BestEffort"),
        (pod(asking(cpu="1", memory="1Gi")), "Guaranteed"),
        (pod(asking(cpu="1", memory="1Gi"), container("other")), "Burstable"),
        (pod(asking(cpu="1")), "Burstable"),
        (pod(asking(requests={"cpu": "0"})), "BestEffort"),
        (pod(asking(requests={"ephemeral-storage": "1Gi"})), "BestEffort"),
        (pod(asking(requests={"cpu": "500m"}, cpu="1", memory="1Gi")), "Burstable"),
        (pod(asking(cpu="1", memory="1Gi"), initContainers=[container("init")]), "Burstable"),
        (pod(container(), resources={"limits": BOTH, "requests": {"cpu": "1"}}), "Burstable"),
        (
            pod(
                container(), resources={"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}}
            ),
            "Guaranteed",
        ),
        (pod(container(), resources={"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}), "Burstable"),
        (pod(asking(cpu="1", memory="1Gi"), status={"qosClass": "BestEffort"}), "BestEffort"),
    ],
)
def test_a_pods_quality(made: dict[str, Any], quality: str) -> None:
    assert quality_of(made) == quality


def test_init_containers_and_sidecars_count_as_they_run() -> None:
    made = pod(
        asking(cpu="1", memory="100Mi"),
        initContainers=[
            asking("first", cpu="3"),
            {**asking("side", cpu="500m", memory="1Mi"), "restartPolicy": "Always"},
            asking("last", cpu="2"),
        ],
        overhead={"cpu": "10m", "memory": "5Mi"},
    )
    requests, limits = pod_requests(made), pod_limits(made)
    assert (requests["cpu"].milli, requests["memory"].value) == (3010, 106 * MIB)
    assert (limits["cpu"].milli, limits["memory"].value) == (3010, 106 * MIB)
    assert sidecar("x")["restartPolicy"] == "Always"


def test_what_is_said_for_the_whole_pod_goes_before_the_sum() -> None:
    made = pod(
        asking(cpu="1", memory="1Gi"),
        resources={"requests": {"cpu": "2", "example.com/x": "3"}, "limits": {"cpu": "4", "hugepages-2Mi": "4Mi"}},
    )
    assert pod_requests(made).keys() == {"cpu", "memory"}, "other resources can't be asked for so"
    assert pod_requests(made)["cpu"].milli == 2000
    assert pod_limits(made)["cpu"].milli == 4000
    assert page_sizes(pod_limits(made)) == {2 * MIB: 4 * MIB}


def test_a_guaranteed_pod_has_all_of_its_limits() -> None:
    assert Policy(pods_pids=50).pod(pod(asking(cpu="1500m", memory="64Mi"))) == Settings(
        cpu_shares=1536, cpu_quota=150_000, cpu_period=100_000, memory_bytes=64 * MIB, pids=50, hugepages={}
    )


def test_a_burstable_pod_has_limits_where_all_of_its_containers_do() -> None:
    settings = Policy().pod(pod(asking(requests={"cpu": "100m"}, memory="64Mi"), asking("b", cpu="1", memory="1Mi")))
    assert settings == Settings(cpu_shares=1126, memory_bytes=65 * MIB, hugepages={})


def test_a_pod_that_was_promised_nothing_has_the_least_shares() -> None:
    assert Policy().pod(pod(container())) == Settings(cpu_shares=2, hugepages={})


def test_quotas_may_be_left_out_and_have_another_period() -> None:
    made = pod(asking(cpu="1", memory="1Mi"))
    assert Policy(cpu_quota=False).pod(made).cpu_quota == -1
    settings = Policy(cpu_period=10_000).pod(made)
    assert (settings.cpu_quota, settings.cpu_period) == (10_000, 10_000)


def test_memory_that_is_asked_for_may_be_protected() -> None:
    policy = Policy(protects_memory=True)
    assert policy.pod(pod(asking(cpu="1", memory="1Mi"))).unified == {"memory.min": MIB}
    assert policy.pod(pod(asking(memory="1Mi"))).unified == {"memory.low": MIB}
    assert policy.pod(pod(asking(cpu="1"))).unified == {}


def test_huge_pages_of_a_pod() -> None:
    assert Policy().pod(
        pod(container(resources={"requests": {"hugepages-2Mi": "4Mi", "memory": "1Gi"}}))
    ).hugepages == {2 * MIB: 4 * MIB}


def test_qualities_have_what_their_pods_ask_for() -> None:
    pods = [
        pod(asking(requests={"cpu": "250m", "memory": "100Mi"})),
        pod(asking(requests={"cpu": "750m"})),
        pod(asking(cpu="4", memory="200Mi")),
        pod(container()),
    ]
    sizes = [2 * MIB]
    found = quality_settings(pods, sizes)
    unbounded = {2 * MIB: UNBOUNDED}
    assert found["Burstable"] == Settings(cpu_shares=1024, hugepages=unbounded)
    assert found["BestEffort"] == Settings(cpu_shares=2, hugepages=unbounded)
    assert found["Guaranteed"] == Settings(hugepages=unbounded), "that is the group of all pods"
    protected = quality_settings(pods, (), protects=True)
    assert protected["Guaranteed"].unified == {"memory.min": 300 * MIB}
    assert protected["Burstable"].unified == {"memory.low": 100 * MIB}
    reserved = quality_settings(pods, (), memory=1000 * MIB, reserved_percent=50)
    assert reserved["Burstable"].memory_bytes == 900 * MIB
    assert reserved["BestEffort"].memory_bytes == 850 * MIB


def test_the_group_of_all_pods_is_held_to_the_node() -> None:
    allocatable = {"cpu": "3500m", "memory": "1Gi", "hugepages-2Mi": "4Mi", "pods": "110"}
    assert whole_settings(allocatable, pids=1000, sizes=[2 * MIB, 1 << 30]) == Settings(
        cpu_shares=3584, memory_bytes=1 << 30, pids=1000, hugepages={2 * MIB: 4 * MIB, 1 << 30: 0}
    )


def test_groups_that_stand_for_what_is_reserved() -> None:
    reserved = {"cpu": "500m", "memory": "1Gi", "pid": "100", "ephemeral-storage": "1Gi"}
    assert reserved_settings(reserved, compressible=True) == Settings(cpu_shares=512)
    assert reserved_settings(reserved, compressible=False) == Settings(
        cpu_shares=512, memory_bytes=1 << 30, pids=100, hugepages={}
    )
