"""Stateful sets, as kubectl asks for them and shows them. Nothing is executed: see `_stage`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from _clusters import Cluster, eventually
from _stage import Stage, workloads

from hyperkube_machinery.builtin import PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from hyperkube_machinery.client import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    async with workloads(cluster) as stage:
        yield stage


def stateful_set(*, replicas: int = 3, claims: bool = False, **spec: Any) -> dict[str, Any]:
    labels = {"app": "db"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "db:1"}]}}
    body = {"replicas": replicas, "serviceName": "db", "selector": {"matchLabels": labels}, "template": template}
    if claims:
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        body["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
    return {"metadata": {"name": "db"}, "spec": {**body, **spec}}


async def images(client: Client) -> dict[str, str]:
    found = (await client.list(PODS, "default", labels="app=db")).items
    return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in found}


def all_of(image: str, count: int) -> dict[str, str]:
    return {f"db-{number}": image for number in range(count)}


async def become(client: Client, wanted: dict[str, str]) -> None:
    async def reached() -> bool:
        return await images(client) == wanted

    await eventually(reached)


async def test_pods_come_one_after_the_other(cluster: Cluster, stage: Stage) -> None:
    stage.is_ready = lambda pod: pod["metadata"]["name"] != "db-1"
    await cluster.client.create(STATEFUL_SETS, stateful_set(), "default")
    await become(cluster.client, all_of("db:1", 2))
    pod = await cluster.client.get(PODS, "db-1", "default")
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "db")
    assert pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-1"
    assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"
    stage.is_ready = lambda _: True
    await stage.show(pod, "Running", ready=True)
    told = await cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    assert "partitioned roll out complete" in told or "statefulset rolling update complete 3 pods" in told
    await become(cluster.client, all_of("db:1", 3))

    async def told_of() -> bool:
        return "Create Pod db-2 in StatefulSet db successful" in await cluster.kubectl("describe", "statefulset", "db")

    await eventually(told_of)


async def test_an_update_begins_at_the_highest_number_and_waits_for_each(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(STATEFUL_SETS, stateful_set(), "default")
    await cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    stage.is_ready = lambda pod: pod["spec"]["containers"][0]["image"] != "db:bad"
    await cluster.kubectl("set", "image", "statefulset/db", "c=db:bad")
    await become(cluster.client, {**all_of("db:1", 2), "db-2": "db:bad"})
    await cluster.kubectl("rollout", "undo", "statefulset/db")
    # As upstream, one after the other also means that a broken pod is waited for, until somebody deletes it.
    await cluster.kubectl("delete", "pod", "db-2")
    await become(cluster.client, all_of("db:1", 3))
    await cluster.kubectl("set", "image", "statefulset/db", "c=db:2")
    await cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    await become(cluster.client, all_of("db:2", 3))
    history = await cluster.kubectl("rollout", "history", "statefulset/db")
    assert [word for word in history.split() if word.isdigit()] == ["2", "3", "4"]


async def test_a_partition_holds_an_update_back(cluster: Cluster, stage: Stage) -> None:
    held = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    await cluster.client.create(STATEFUL_SETS, stateful_set(updateStrategy=held), "default")
    await cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    await cluster.kubectl("set", "image", "statefulset/db", "c=db:2")
    await become(cluster.client, {**all_of("db:1", 2), "db-2": "db:2"})
    await cluster.kubectl("delete", "pod", "db-0")
    await become(cluster.client, {**all_of("db:1", 2), "db-2": "db:2"})
    free = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}
    await cluster.client.patch(STATEFUL_SETS, "db", free, "default")
    await become(cluster.client, all_of("db:2", 3))


async def test_what_is_too_many_goes_from_the_highest_number_on(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(STATEFUL_SETS, stateful_set(replicas=4), "default")
    await cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    stage.lets_go = False
    await cluster.kubectl("scale", "statefulset/db", "--replicas=1")

    async def going() -> list[str]:
        found = (await cluster.client.list(PODS, "default", labels="app=db")).items
        return [pod["metadata"]["name"] for pod in found if "deletionTimestamp" in pod["metadata"]]

    assert await eventually(going) == ["db-3"]
    stage.lets_go = True
    await cluster.client.delete(PODS, "db-3", "default", grace_seconds=0)
    await become(cluster.client, all_of("db:1", 1))


async def test_in_parallel_nobody_waits(cluster: Cluster, stage: Stage) -> None:
    stage.is_ready = lambda _: False
    await cluster.client.create(STATEFUL_SETS, stateful_set(podManagementPolicy="Parallel"), "default")
    await become(cluster.client, all_of("db:1", 3))
    await cluster.kubectl("scale", "statefulset/db", "--replicas=1")
    await become(cluster.client, all_of("db:1", 1))


async def test_claims_are_made_and_kept_as_the_policy_says(cluster: Cluster, stage: Stage) -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    wanted = stateful_set(replicas=2, claims=True, persistentVolumeClaimRetentionPolicy=policy)
    await cluster.client.create(STATEFUL_SETS, wanted, "default")
    await cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    pod = await cluster.client.get(PODS, "db-1", "default")
    [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == "data"]
    assert volume["persistentVolumeClaim"]["claimName"] == "data-db-1"

    async def claims() -> list[str]:
        return [
            one["metadata"]["name"] for one in (await cluster.client.list(PERSISTENT_VOLUME_CLAIMS, "default")).items
        ]

    assert await claims() == ["data-db-0", "data-db-1"]
    await cluster.kubectl("scale", "statefulset/db", "--replicas=1")

    async def one_left() -> bool:
        return await claims() == ["data-db-0"]

    await eventually(one_left)
    await cluster.kubectl("delete", "statefulset", "db")
    await become(cluster.client, {})
    assert await claims() == ["data-db-0"]
