"""The scheduler beside a real API server: where pods go, and what is said of those that go nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from _clusters import Cluster, eventually
from _scheduling import SPACE, Space

from hyperkube_machinery.builtin import LEASES, NODES, POD_DISRUPTION_BUDGETS, PODS, PRIORITY_CLASSES

pytestmark = pytest.mark.anyio


@pytest.fixture
async def space(cluster: Cluster) -> Space:
    """A namespace, and a scheduler for its pods."""
    space = Space(cluster)
    await space.open()
    await cluster.start("scheduler", "--secure-port=0")
    return space


async def test_pods_are_spread_and_their_owner_is_told(space: Space) -> None:
    for name in ("one", "two"):
        await space.add_node(name)
    for index in range(4):
        await space.add_pod(f"pod-{index}")
    nodes = [await space.node_of(f"pod-{index}") for index in range(4)]
    assert sorted(nodes) == ["one", "one", "two", "two"]
    event = (await space.events("pod-0", "Scheduled"))[0]
    assert event["note"] == f"Successfully assigned {SPACE}/pod-0 to {nodes[0]}"
    assert (event["type"], event["action"], event["reportingController"]) == ("Normal", "Binding", "default-scheduler")


async def test_a_pod_that_fits_nowhere_is_told_why_and_goes_once_there_is_room(space: Space) -> None:
    await space.add_node("small", cpu="1")
    await space.add_node("barred", taints=[{"key": "reserved", "effect": "NoSchedule"}])
    await space.add_pod("large", cpu="3")
    said = (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). no new claims to deallocate, "
        "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    )
    condition = await space.refusal("large")
    assert (condition["reason"], condition["message"]) == ("Unschedulable", said)
    event = (await space.events("large", "FailedScheduling"))[0]
    assert (event["type"], event["note"], event["action"]) == ("Warning", said, "Scheduling")
    await space.client.patch(NODES, "barred", {"spec": {"taints": None}})
    assert await space.node_of("large") == "barred"
    pod = await space.pod("large")
    scheduled = next(one for one in pod["status"]["conditions"] if one["type"] == "PodScheduled")
    assert scheduled["status"] == "True"


async def test_without_nodes_pods_wait_for_the_first(space: Space) -> None:
    await space.add_pod("early")
    condition = await space.refusal("early")
    assert condition["reason"] == "Unschedulable"
    assert condition["message"] == "no nodes available to schedule pods"
    await space.add_node("first")
    assert await space.node_of("early") == "first"


async def test_a_gated_pod_waits_for_its_gates(space: Space) -> None:
    await space.add_node("one")
    await space.add_pod("gated", schedulingGates=[{"name": "example.com/quota"}])
    await space.add_pod("free")
    await space.node_of("free")
    assert "nodeName" not in (await space.pod("gated"))["spec"]
    await space.client.patch(PODS, "gated", {"spec": {"schedulingGates": []}}, SPACE)
    assert await space.node_of("gated") == "one"


async def test_affinity_spreading_and_selectors_decide(space: Space) -> None:
    for name, zone in (("a1", "a"), ("a2", "a"), ("b1", "b")):
        await space.add_node(name, zone=zone)
    web = {"matchLabels": {"app": "web"}}
    near = [{"labelSelector": web, "topologyKey": "topology.kubernetes.io/zone"}]
    apart = [{"labelSelector": web, "topologyKey": "kubernetes.io/hostname"}]
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    await space.add_pod("chosen", labels={"app": "web"}, nodeSelector={"kubernetes.io/hostname": "a2"})
    assert await space.node_of("chosen") == "a2"
    affinity = {"podAffinity": {required: near}, "podAntiAffinity": {required: apart}}
    await space.add_pod("beside", affinity=affinity)
    assert await space.node_of("beside") == "a1", "in the zone of the other, on another node"
    spreading = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": web,
    }
    await space.add_pod("spread", labels={"app": "web"}, topologySpreadConstraints=[spreading])
    assert await space.node_of("spread") == "b1"


async def test_an_important_pod_takes_the_place_of_others(space: Space) -> None:
    await space.add_node("only", cpu="2")
    for name, value in (("high", 1000), ("low", 1)):
        await space.client.create(PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value})
    for name in ("kept", "lost"):
        await space.add_pod(name, labels={"app": name}, priorityClassName="low")
        await space.node_of(name)
    budget = {"metadata": {"name": "kept"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}}}
    await space.client.create(POD_DISRUPTION_BUDGETS, budget, SPACE)
    important = await space.add_pod("important", priorityClassName="high")

    async def is_leaving() -> bool:
        return await space.is_gone("lost") or "deletionTimestamp" in (await space.pod("lost"))["metadata"]

    await eventually(is_leaving)
    event = (await space.events("lost", "Preempted"))[0]
    assert event["note"] == f"Preempted by pod {important['metadata']['uid']} on node only"
    assert event["related"]["name"] == "important"
    if not await space.is_gone("lost"):
        await space.client.delete(PODS, "lost", SPACE, grace_seconds=0)  # as the kubelet would
    assert await space.node_of("important") == "only"
    assert "deletionTimestamp" not in (await space.pod("kept"))["metadata"]


async def test_the_lease_says_who_schedules(space: Space) -> None:
    async def holders() -> list[str]:
        leases = await space.client.list(LEASES, "kube-system", fields="metadata.name=kube-scheduler")
        return [lease["spec"]["holderIdentity"] for lease in leases.items]

    assert all(await eventually(holders))


async def test_pods_of_two_profiles_are_placed_and_those_of_strangers_left_alone(
    cluster: Cluster, tmp_path: Path
) -> None:
    space = Space(cluster)
    await space.open()
    config = tmp_path / "scheduler.yaml"
    config.write_text(
        """\
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- schedulerName: default-scheduler
- schedulerName: packing
  plugins:
    score:
      disabled: [{name: NodeResourcesBalancedAllocation}, {name: PodTopologySpread}]
  pluginConfig:
  - name: NodeResourcesFit
    args:
      scoringStrategy: {type: MostAllocated}
"""
    )
    await cluster.start("scheduler", "--secure-port=0", "--leader-elect=false", f"--config={config}")
    for name in ("one", "two"):
        await space.add_node(name)
    await space.add_pod("foreign", schedulerName="somebody-else")
    await space.add_pod("ours")
    first = await space.node_of("ours")
    for index in range(3):
        await space.add_pod(f"packed-{index}", schedulerName="packing")
        assert await space.node_of(f"packed-{index}") == first
    assert (await space.events("packed-0", "Scheduled"))[0]["reportingController"] == "packing"
    assert "nodeName" not in (await space.pod("foreign"))["spec"]
