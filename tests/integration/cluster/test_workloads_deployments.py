"""Deployments and replica sets, as kubectl asks for them and shows them. Nothing is executed: see `_stage`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from _clusters import Cluster, eventually
from _stage import Stage, workloads

from hyperkube_machinery.builtin import (
    DEPLOYMENTS,
    EVENTS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICE_ACCOUNTS,
)
from hyperkube_machinery.client import Client

pytestmark = pytest.mark.anyio

Tree = Mapping[str, Any]


@pytest.fixture
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    async with workloads(cluster) as stage:
        yield stage


def deployment(name: str = "web", *, replicas: int = 3, image: str = "web:1", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"metadata": {"name": name}, "spec": body}


async def pods(client: Client, labels: str = "app=web") -> list[dict[str, Any]]:
    return (await client.list(PODS, "default", labels=labels)).items


async def replica_sets(client: Client) -> list[dict[str, Any]]:
    return (await client.list(REPLICA_SETS, "default")).items


async def events(client: Client) -> list[tuple[str, str, str, str]]:
    items = (await client.list(EVENTS, "default")).items
    return [(one["source"]["component"], one["type"], one["reason"], one["message"]) for one in items]


def image_of(obj: Tree) -> str:
    spec = obj["spec"]
    return str((spec.get("template") or obj)["spec"]["containers"][0]["image"])


def is_ready(pod: Tree) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    going = "deletionTimestamp" in pod["metadata"]
    return not going and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


class Watched:
    """What was ever true of the pods of a deployment."""

    def __init__(self) -> None:
        self.most = 0
        self.fewest_ready = 1 << 30
        self.images_together: set[frozenset[str]] = set()


@asynccontextmanager
async def watched(client: Client) -> AsyncIterator[Watched]:
    """Follow the pods for the length of the block, from their present state on."""
    seen, known = Watched(), {pod["metadata"]["name"]: pod for pod in await pods(client)}

    async def follow(resource_version: str) -> None:
        async for event in client.watch(PODS, "default", resource_version=resource_version):
            if event.type == "BOOKMARK":
                continue
            if event.type == "DELETED":
                known.pop(event.object["metadata"]["name"], None)
            else:
                known[event.object["metadata"]["name"]] = event.object
            alive = [pod for pod in known.values() if "deletionTimestamp" not in pod["metadata"]]
            seen.most = max(seen.most, len(alive))
            seen.fewest_ready = min(seen.fewest_ready, sum(is_ready(pod) for pod in known.values()))
            seen.images_together.add(frozenset(image_of(pod) for pod in known.values()))

    listing = await client.list(PODS, "default")
    following = asyncio.create_task(follow(listing.resource_version))
    try:
        yield seen
    finally:
        following.cancel()
        await asyncio.wait([following])


async def test_a_deployment_rolls_from_one_version_to_the_next_within_its_limits(
    cluster: Cluster, stage: Stage
) -> None:
    limits = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "34%", "maxUnavailable": 1}}
    await cluster.client.create(DEPLOYMENTS, deployment(replicas=6, strategy=limits), "default")
    assert "successfully rolled out" in await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    async with watched(cluster.client) as seen:
        await cluster.kubectl("set", "image", "deployment/web", "c=web:2")
        told = await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        await eventually(lambda: _all_are(cluster.client, "web:2", 6))
    assert 'deployment "web" successfully rolled out' in told
    assert seen.most <= 9
    assert seen.fewest_ready >= 5
    new, old = sorted(await replica_sets(cluster.client), key=lambda one: -one["spec"]["replicas"])
    assert (new["spec"]["replicas"], old["spec"]["replicas"]) == (6, 0)
    assert new["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    found = await eventually(lambda: _event(cluster.client, "Scaled up replica set"))
    name = old["metadata"]["name"]
    assert (
        "deployment-controller",
        "Normal",
        "ScalingReplicaSet",
        f"Scaled up replica set {name} from 0 to 6",
    ) in found


async def _all_are(client: Client, image: str, count: int) -> bool:
    return [image_of(pod) for pod in await pods(client)] == [image] * count


async def _event(client: Client, text: str) -> list[tuple[str, str, str, str]]:
    found = await events(client)
    return found if any(text in message for *_, message in found) else []


async def test_a_rollout_is_undone_by_what_the_history_keeps(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DEPLOYMENTS, deployment(), "default")
    await cluster.kubectl("annotate", "deployment", "web", "kubernetes.io/change-cause=the first")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    await cluster.kubectl("set", "image", "deployment/web", "c=web:2")
    await cluster.kubectl("annotate", "deployment", "web", "kubernetes.io/change-cause=the second", "--overwrite")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    history = (await cluster.kubectl("rollout", "history", "deployment/web")).split()
    assert history[1:] == ["REVISION", "CHANGE-CAUSE", "1", "the", "first", "2", "the", "second"]
    assert "web:1" in await cluster.kubectl("rollout", "history", "deployment/web", "--revision=1")
    assert "rolled back" in await cluster.kubectl("rollout", "undo", "deployment/web")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    await eventually(lambda: _all_are(cluster.client, "web:1", 3))
    revisions = (await cluster.kubectl("rollout", "history", "deployment/web")).split()
    assert [word for word in revisions if word.isdigit()] == ["2", "3"]
    found = {image_of(one): one["metadata"]["annotations"] for one in await replica_sets(cluster.client)}
    assert found["web:1"]["deployment.kubernetes.io/revision-history"] == "1"


async def test_a_paused_deployment_scales_and_does_not_roll(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DEPLOYMENTS, deployment(), "default")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    await cluster.kubectl("rollout", "pause", "deployment/web")
    await cluster.kubectl("set", "image", "deployment/web", "c=web:2")
    await cluster.kubectl("scale", "deployment/web", "--replicas=5")
    await eventually(lambda: _all_are(cluster.client, "web:1", 5))
    assert "DeploymentPaused" in await cluster.kubectl("describe", "deployment", "web")
    assert len(await replica_sets(cluster.client)) == 1
    await cluster.kubectl("rollout", "resume", "deployment/web")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    await eventually(lambda: _all_are(cluster.client, "web:2", 5))


async def test_a_restart_replaces_every_pod(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DEPLOYMENTS, deployment(), "default")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    before = {pod["metadata"]["uid"] for pod in await pods(cluster.client)}
    await cluster.kubectl("rollout", "restart", "deployment/web")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    await eventually(lambda: _all_are(cluster.client, "web:1", 3))
    assert not before & {pod["metadata"]["uid"] for pod in await pods(cluster.client)}


async def test_a_replacement_starts_nothing_before_the_last_old_pod_is_gone(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DEPLOYMENTS, deployment(strategy={"type": "Recreate"}), "default")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    async with watched(cluster.client) as seen:
        await cluster.kubectl("set", "image", "deployment/web", "c=web:2")
        await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        await eventually(lambda: _all_are(cluster.client, "web:2", 3))
    assert frozenset({"web:1", "web:2"}) not in seen.images_together


async def test_a_rollout_without_progress_is_told_as_failed_and_keeps_what_served(
    cluster: Cluster, stage: Stage
) -> None:
    stage.is_ready = lambda pod: image_of(pod) != "web:bad"
    await cluster.client.create(DEPLOYMENTS, deployment(progressDeadlineSeconds=2), "default")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    await cluster.kubectl("set", "image", "deployment/web", "c=web:bad")
    status, _, complaint = await cluster.try_kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert status != 0
    assert 'deployment "web" exceeded its progress deadline' in complaint
    assert sum(is_ready(pod) for pod in await pods(cluster.client)) == 3
    found = await cluster.client.get(DEPLOYMENTS, "web", "default")
    told = next(one for one in found["status"]["conditions"] if one["type"] == "Progressing")
    assert (told["status"], told["reason"]) == ("False", "ProgressDeadlineExceeded")
    await cluster.kubectl("rollout", "undo", "deployment/web")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    await eventually(lambda: _all_are(cluster.client, "web:1", 3))


async def test_a_pod_that_is_deleted_is_replaced_and_one_that_is_relabelled_released(
    cluster: Cluster, stage: Stage
) -> None:
    await cluster.client.create(DEPLOYMENTS, deployment(), "default")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    first, second, _ = await pods(cluster.client)
    await cluster.kubectl("delete", "pod", first["metadata"]["name"])
    await cluster.kubectl("label", "pod", second["metadata"]["name"], "app=mine", "--overwrite")
    await eventually(lambda: _all_are(cluster.client, "web:1", 3))

    async def is_free() -> bool:
        mine = await cluster.client.get(PODS, second["metadata"]["name"], "default")
        return not mine["metadata"].get("ownerReferences")

    await eventually(is_free)
    await cluster.kubectl("label", "pod", second["metadata"]["name"], "app=web", "--overwrite")

    async def settled() -> bool:
        found = await pods(cluster.client)
        return len(found) == 3 and all(pod["metadata"].get("ownerReferences") for pod in found)

    await eventually(settled)  # it was adopted again, and one of the four went


async def test_a_deployment_adopts_a_replica_set_that_fits(cluster: Cluster, stage: Stage) -> None:
    wanted = deployment()
    alone = {"metadata": {"name": "before", "labels": {"app": "web"}}, "spec": {**wanted["spec"], "replicas": 2}}
    await cluster.client.create(REPLICA_SETS, alone, "default")
    await eventually(lambda: _all_are(cluster.client, "web:1", 2))
    before = {pod["metadata"]["uid"] for pod in await pods(cluster.client)}
    await cluster.client.create(DEPLOYMENTS, wanted, "default")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    [found] = await replica_sets(cluster.client)
    assert [owner["kind"] for owner in found["metadata"]["ownerReferences"]] == ["Deployment"]
    assert before < {pod["metadata"]["uid"] for pod in await pods(cluster.client)}


async def test_two_templates_of_one_hash_get_different_names(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DEPLOYMENTS, deployment(), "default")
    [made] = await eventually(lambda: replica_sets(cluster.client))
    await cluster.client.delete(DEPLOYMENTS, "web", "default", propagation="Orphan")
    await cluster.client.delete(REPLICA_SETS, made["metadata"]["name"], "default")
    await eventually(lambda: _none(cluster.client))
    labels = {"squats": "here"}
    template = {"metadata": {"labels": labels}, "spec": made["spec"]["template"]["spec"]}
    squatter = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    name = made["metadata"]["name"]
    await cluster.client.create(
        REPLICA_SETS, {"metadata": {"name": name, "labels": labels}, "spec": squatter}, "default"
    )
    await cluster.client.create(DEPLOYMENTS, deployment(), "default")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert (await cluster.client.get(DEPLOYMENTS, "web", "default"))["status"]["collisionCount"] == 1
    assert len(await replica_sets(cluster.client)) == 2


async def _none(client: Client) -> bool:
    listing = await client.list(DEPLOYMENTS, "default")
    return not listing.items and not await replica_sets(client)


async def test_history_is_kept_to_its_limit(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DEPLOYMENTS, deployment(revisionHistoryLimit=1), "default")
    for version in range(2, 5):
        await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        await cluster.kubectl("set", "image", "deployment/web", f"c=web:{version}")
    await cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")

    async def images() -> set[str]:
        return {image_of(one) for one in await replica_sets(cluster.client)}

    async def trimmed() -> bool:
        return await images() == {"web:3", "web:4"}

    await eventually(trimmed)


async def test_why_pods_cannot_be_made_is_told_and_tried_again(cluster: Cluster, stage: Stage) -> None:
    wanted = deployment(replicas=1)
    wanted["spec"]["template"]["spec"]["serviceAccountName"] = "later"
    await cluster.client.create(DEPLOYMENTS, wanted, "default")

    async def failed() -> str:
        found = await cluster.client.get(DEPLOYMENTS, "web", "default")
        conditions = (found.get("status") or {}).get("conditions") or ()
        told = [one for one in conditions if one["type"] == "ReplicaFailure" and one["reason"] == "FailedCreate"]
        return told[0]["message"] if told else ""

    assert 'serviceaccount "later" not found' in await eventually(failed)
    found = await eventually(lambda: _event(cluster.client, "Error creating: "))
    assert any(one[:3] == ("replicaset-controller", "Warning", "FailedCreate") for one in found)
    await cluster.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "later"}}, "default")
    await eventually(lambda: _all_are(cluster.client, "web:1", 1))

    async def recovered() -> bool:
        return not await failed()

    await eventually(recovered)


async def test_a_pod_counts_as_available_only_after_a_while(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(DEPLOYMENTS, deployment(replicas=1, minReadySeconds=2), "default")

    async def status() -> Mapping[str, Any]:
        found = await cluster.client.get(DEPLOYMENTS, "web", "default")
        return found.get("status") or {}

    async def ready() -> bool:
        return (await status()).get("readyReplicas") == 1

    async def available() -> bool:
        return (await status()).get("availableReplicas") == 1

    await eventually(ready)
    assert not await available()
    await eventually(available)  # nothing but time has passed


async def test_a_replication_controller_keeps_its_number_of_pods(cluster: Cluster, stage: Stage) -> None:
    template = deployment()["spec"]["template"]
    spec = {"replicas": 2, "selector": {"app": "web"}, "template": template}
    await cluster.client.create(REPLICATION_CONTROLLERS, {"metadata": {"name": "web"}, "spec": spec}, "default")
    await eventually(lambda: _all_are(cluster.client, "web:1", 2))
    await cluster.kubectl("scale", "replicationcontroller/web", "--replicas=3")
    await eventually(lambda: _all_are(cluster.client, "web:1", 3))

    async def told() -> bool:
        status = (await cluster.client.get(REPLICATION_CONTROLLERS, "web", "default"))["status"]
        return (status["replicas"], status.get("availableReplicas")) == (3, 3)

    await eventually(told)
