"""Jobs, as kubectl asks for them and shows them. Nothing is executed: see `_stage`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from _clusters import Cluster, eventually
from _stage import Stage, workloads

from hyperkube_machinery.builtin import JOBS, PODS
from hyperkube_machinery.client import Client
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio

INDEX = "batch.kubernetes.io/job-completion-index"


@pytest.fixture
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    async with workloads(cluster) as stage:
        yield stage


def job(**spec: Any) -> dict[str, Any]:
    pod_spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "work:1"}]}
    return {"metadata": {"name": "work"}, "spec": {"template": {"spec": pod_spec}, **spec}}


async def status_of(client: Client) -> Mapping[str, Any]:
    return (await client.get(JOBS, "work", "default")).get("status") or {}


async def condition(client: Client, kind: str) -> Mapping[str, Any] | None:
    found = (await status_of(client)).get("conditions") or ()
    return next((one for one in found if one["type"] == kind and one["status"] == "True"), None)


async def running(client: Client, count: int) -> list[dict[str, Any]]:
    """The job's pods that run, once there are so many."""

    async def found() -> list[dict[str, Any]]:
        items = (await client.list(PODS, "default", labels="job-name=work")).items
        alive = [one for one in items if (one.get("status") or {}).get("phase") == "Running"]
        return alive if len(alive) == count and all("deletionTimestamp" not in one["metadata"] for one in alive) else []

    return list(await eventually(found))


async def test_a_job_runs_until_enough_pods_have_succeeded(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(JOBS, job(completions=3, parallelism=2), "default")
    for pod in await running(cluster.client, 2):
        await stage.show(pod, "Succeeded", exit_code=0)
    [last] = await running(cluster.client, 1)
    assert await condition(cluster.client, "Complete") is None
    await stage.show(last, "Succeeded", exit_code=0)
    await cluster.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=60s")
    status = await status_of(cluster.client)
    assert (status["succeeded"], status.get("active"), status["uncountedTerminatedPods"]) == (3, None, {})
    assert [one["type"] for one in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    pods = (await cluster.client.list(PODS, "default", labels="job-name=work")).items
    assert [pod["metadata"].get("finalizers") for pod in pods] == [None] * 3
    told = await cluster.kubectl("describe", "job", "work")
    assert "Pods Statuses:    0 Active (0 Ready) / 3 Succeeded / 0 Failed" in told
    assert "Normal  Completed         " in told
    assert "Job completed" in told


async def test_each_index_is_done_once(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(JOBS, job(completions=3, parallelism=3, completionMode="Indexed"), "default")
    pods = await running(cluster.client, 3)
    assert sorted(pod["metadata"]["annotations"][INDEX] for pod in pods) == ["0", "1", "2"]
    assert sorted(pod["spec"]["hostname"] for pod in pods) == ["work-0", "work-1", "work-2"]
    by_index = {pod["metadata"]["annotations"][INDEX]: pod for pod in pods}
    await stage.show(by_index["0"], "Succeeded", exit_code=0)
    await stage.show(by_index["2"], "Succeeded", exit_code=0)

    async def two_done() -> bool:
        return (await status_of(cluster.client)).get("completedIndexes") == "0,2"

    await eventually(two_done)
    await stage.show(by_index["1"], "Succeeded", exit_code=0)
    await cluster.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=60s")
    assert "Completed Indexes:  0-2" in await cluster.kubectl("describe", "job", "work")


async def test_a_job_that_fails_too_often_is_given_up(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(JOBS, job(completions=2, parallelism=2, backoffLimit=0), "default")
    first, _ = await running(cluster.client, 2)
    await stage.show(first, "Failed", exit_code=1)
    await cluster.kubectl("wait", "--for=condition=failed", "job/work", "--timeout=60s")
    failed = await condition(cluster.client, "Failed")
    assert failed is not None
    assert (failed["reason"], failed["message"]) == (
        "BackoffLimitExceeded",
        "Job has reached the specified backoff limit",
    )
    assert await condition(cluster.client, "FailureTarget") is not None
    assert (await status_of(cluster.client))["failed"] == 2  # the other one was stopped

    async def told() -> bool:
        return "BackoffLimitExceeded" in await cluster.kubectl("describe", "job", "work")

    await eventually(told)


async def test_a_job_is_stopped_at_its_deadline(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(JOBS, job(completions=1, activeDeadlineSeconds=2), "default")
    await running(cluster.client, 1)
    await cluster.kubectl("wait", "--for=condition=failed", "job/work", "--timeout=60s")
    failed = await condition(cluster.client, "Failed")
    assert failed is not None
    assert failed["reason"] == "DeadlineExceeded"


async def test_a_failure_that_a_policy_ignores_costs_nothing_and_one_that_it_names_ends_the_job(
    cluster: Cluster, stage: Stage
) -> None:
    rules = [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
    ]
    wanted = job(completions=1, backoffLimit=0, podFailurePolicy={"rules": rules})
    await cluster.client.create(JOBS, wanted, "default")
    [first] = await running(cluster.client, 1)
    await stage.show(first, "Failed", exit_code=7)

    async def replaced() -> bool:
        return not (await cluster.client.get(PODS, first["metadata"]["name"], "default"))["metadata"].get("finalizers")

    await eventually(replaced)
    assert (await status_of(cluster.client)).get("failed") is None
    # The pause after a failure is ten seconds, whatever a policy says of it.
    [second] = await running(cluster.client, 1)
    await stage.show(second, "Failed", exit_code=42)
    await cluster.kubectl("wait", "--for=condition=failed", "job/work", "--timeout=60s")
    failed = await condition(cluster.client, "Failed")
    assert failed is not None
    assert failed["reason"] == "PodFailurePolicy"
    assert failed["message"].endswith("failed with exit code 42 matching FailJob rule at index 1")


async def test_a_suspended_job_gives_its_pods_up_and_goes_on_later(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(JOBS, job(completions=2, parallelism=2), "default")
    await running(cluster.client, 2)
    await cluster.client.patch(JOBS, "work", {"spec": {"suspend": True}}, "default")

    async def none_left() -> bool:
        status = await status_of(cluster.client)
        pods = (await cluster.client.list(PODS, "default", labels="job-name=work")).items
        return not pods and not status.get("active") and not status.get("startTime")

    await eventually(none_left)
    assert await condition(cluster.client, "Suspended") is not None
    await cluster.client.patch(JOBS, "work", {"spec": {"suspend": False}}, "default")
    for pod in await running(cluster.client, 2):
        await stage.show(pod, "Succeeded", exit_code=0)
    await cluster.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=60s")
    assert (await status_of(cluster.client)).get("failed") is None


async def test_an_early_success_is_enough_where_a_policy_says_so(cluster: Cluster, stage: Stage) -> None:
    policy = {"rules": [{"succeededIndexes": "1"}]}
    wanted = job(completions=3, parallelism=3, completionMode="Indexed", successPolicy=policy)
    await cluster.client.create(JOBS, wanted, "default")
    pods = {pod["metadata"]["annotations"][INDEX]: pod for pod in await running(cluster.client, 3)}
    await stage.show(pods["1"], "Succeeded", exit_code=0)
    await cluster.kubectl("wait", "--for=condition=complete", "job/work", "--timeout=60s")
    status = await status_of(cluster.client)
    assert (status["succeeded"], status["completedIndexes"], status.get("failed")) == (1, "1", None)


async def test_pods_of_a_job_that_is_gone_are_not_kept(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(JOBS, job(completions=1), "default")
    [pod] = await running(cluster.client, 1)
    await cluster.kubectl("delete", "job", "work", "--cascade=orphan")

    async def let_go() -> bool:
        left = await cluster.client.get(PODS, pod["metadata"]["name"], "default")
        return not left["metadata"].get("finalizers")

    await eventually(let_go)
    await cluster.kubectl("delete", "pod", pod["metadata"]["name"])
    with pytest.raises(APIError, match="not found"):
        await cluster.client.get(PODS, pod["metadata"]["name"], "default")
