"""Daemon sets, as kubectl asks for them and shows them. Nothing is executed: see `_stage`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from _clusters import Cluster, eventually
from _stage import Stage, workloads

from hyperkube_machinery.builtin import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from hyperkube_machinery.client import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    async with workloads(cluster) as stage:
        yield stage


def daemon_set(*, image: str = "agent:1", pod_spec: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    labels = {"app": "agent"}
    containers = [{"name": "c", "image": image}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers, **(pod_spec or {})}}
    return {"metadata": {"name": "agent"}, "spec": {"selector": {"matchLabels": labels}, "template": template, **spec}}


async def placed(client: Client) -> dict[str, str]:
    """The image on each node."""
    found = (await client.list(PODS, "default", labels="app=agent")).items
    return {pod["spec"].get("nodeName", ""): pod["spec"]["containers"][0]["image"] for pod in found}


def everywhere(image: str, *nodes: str) -> dict[str, str]:
    return dict.fromkeys(nodes or ("a", "b", "c"), image)


async def test_each_node_has_a_pod_and_a_new_node_too(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DAEMON_SETS, daemon_set(), "default")
    told = await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    assert 'daemon set "agent" successfully rolled out' in told
    assert await placed(cluster.client) == everywhere("agent:1")
    await cluster.client.create(NODES, {"metadata": {"name": "d"}})
    await cluster.client.patch(NODES, "d", {"spec": {"taints": None}})

    async def on_all() -> bool:
        return await placed(cluster.client) == everywhere("agent:1", "a", "b", "c", "d")

    await eventually(on_all)
    assert "4         4         4       4            4" in await cluster.kubectl("get", "daemonset", "agent")


async def test_an_update_goes_from_node_to_node_and_back_again(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DAEMON_SETS, daemon_set(), "default")
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    await cluster.kubectl("set", "image", "daemonset/agent", "c=agent:2")
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    assert await placed(cluster.client) == everywhere("agent:2")
    history = await cluster.kubectl("rollout", "history", "daemonset/agent")
    assert [word for word in history.split() if word.isdigit()] == ["1", "2"]
    await cluster.kubectl("rollout", "undo", "daemonset/agent")
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    assert await placed(cluster.client) == everywhere("agent:1")
    history = await cluster.kubectl("rollout", "history", "daemonset/agent")
    assert [word for word in history.split() if word.isdigit()] == ["2", "3"]
    assert len((await cluster.client.list(CONTROLLER_REVISIONS, "default")).items) == 2


async def test_an_update_stops_at_the_first_pod_that_does_not_serve(cluster: Cluster, stage: Stage) -> None:
    stage.is_ready = lambda pod: pod["spec"]["containers"][0]["image"] != "agent:bad"
    await cluster.client.create(DAEMON_SETS, daemon_set(), "default")
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    await cluster.kubectl("set", "image", "daemonset/agent", "c=agent:bad")

    async def stuck() -> bool:
        status = (await cluster.client.get(DAEMON_SETS, "agent", "default"))["status"]
        return (status.get("updatedNumberScheduled"), status.get("numberUnavailable")) == (1, 1)

    await eventually(stuck)
    assert sorted((await placed(cluster.client)).values()) == ["agent:1", "agent:1", "agent:bad"]


async def test_a_surge_never_leaves_a_node_without_a_pod_that_serves(cluster: Cluster, stage: Stage) -> None:
    stage.is_ready = lambda pod: pod["spec"]["containers"][0]["image"] != "agent:bad"
    surge = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await cluster.client.create(DAEMON_SETS, daemon_set(updateStrategy=surge), "default")
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    await cluster.kubectl("set", "image", "daemonset/agent", "c=agent:bad")

    async def one_more() -> bool:
        found = (await cluster.client.list(PODS, "default", labels="app=agent")).items
        images = sorted(pod["spec"]["containers"][0]["image"] for pod in found)
        return images == ["agent:1", "agent:1", "agent:1", "agent:bad"]

    await eventually(one_more)
    await cluster.kubectl("set", "image", "daemonset/agent", "c=agent:2")
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")

    async def all_new() -> bool:
        return await placed(cluster.client) == everywhere("agent:2")

    await eventually(all_new)


async def test_with_ondelete_a_pod_is_replaced_only_by_hand(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DAEMON_SETS, daemon_set(updateStrategy={"type": "OnDelete"}), "default")

    async def all_there() -> bool:
        return await placed(cluster.client) == everywhere("agent:1")

    await eventually(all_there)
    await cluster.kubectl("set", "image", "daemonset/agent", "c=agent:2")

    async def seen() -> bool:
        found = await cluster.client.get(DAEMON_SETS, "agent", "default")
        return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"])

    await eventually(seen)
    assert await placed(cluster.client) == everywhere("agent:1")
    await cluster.kubectl("delete", "pod", "-l", "app=agent", "--field-selector=spec.nodeName=b")

    async def one_new() -> bool:
        return await placed(cluster.client) == {**everywhere("agent:1"), "b": "agent:2"}

    await eventually(one_new)


async def test_pods_follow_the_labels_and_taints_of_nodes(cluster: Cluster, stage: Stage) -> None:
    await cluster.kubectl("label", "node", "a", "disk=fast")
    wanted = daemon_set(pod_spec={"nodeSelector": {"disk": "fast"}})
    await cluster.client.create(DAEMON_SETS, wanted, "default")

    async def are_on(*nodes: str) -> bool:
        return await placed(cluster.client) == dict.fromkeys(nodes, "agent:1")

    await eventually(lambda: are_on("a"))
    await cluster.kubectl("label", "node", "b", "disk=fast")
    await eventually(lambda: are_on("a", "b"))
    await cluster.kubectl("label", "node", "a", "disk-")
    await eventually(lambda: are_on("b"))
    await cluster.kubectl("taint", "node", "b", "broken=yes:NoExecute")
    await eventually(lambda: are_on())


async def test_a_pod_that_failed_is_replaced_and_told_of(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DAEMON_SETS, daemon_set(), "default")
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    [pod, *_] = (await cluster.client.list(PODS, "default", labels="app=agent")).items
    await stage.show(pod, "Failed", exit_code=1)

    async def replaced() -> bool:
        found = (await cluster.client.list(PODS, "default", labels="app=agent")).items
        return len(found) == 3 and pod["metadata"]["uid"] not in {one["metadata"]["uid"] for one in found}

    await eventually(replaced)
    text = f"Found failed daemon pod default/{pod['metadata']['name']} on node {pod['spec']['nodeName']}"

    async def told() -> bool:
        return text in await cluster.kubectl("describe", "daemonset", "agent")

    await eventually(told)


async def test_a_daemon_set_adopts_the_pods_and_the_history_of_the_one_before(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DAEMON_SETS, daemon_set(), "default")
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    before = {pod["metadata"]["uid"] for pod in (await cluster.client.list(PODS, "default", labels="app=agent")).items}
    await cluster.kubectl("delete", "daemonset", "agent", "--cascade=orphan")
    made = await cluster.client.create(DAEMON_SETS, daemon_set(), "default")
    await cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")

    async def adopted() -> bool:
        pods = (await cluster.client.list(PODS, "default", labels="app=agent")).items
        revisions = (await cluster.client.list(CONTROLLER_REVISIONS, "default")).items
        owners = [one["metadata"].get("ownerReferences") or [{}] for one in (*pods, *revisions)]
        same = {pod["metadata"]["uid"] for pod in pods} == before
        return same and [owner[0].get("uid") for owner in owners] == [made["metadata"]["uid"]] * 4

    await eventually(adopted)
