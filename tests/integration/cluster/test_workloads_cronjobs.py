"""Cron jobs, as kubectl asks for them and shows them. Nothing is executed: see `_stage`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from _clusters import Cluster, eventually
from _stage import Stage, workloads

from hyperkube_machinery.builtin import CRON_JOBS, JOBS
from hyperkube_machinery.client import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    async with workloads(cluster) as stage:
        yield stage


def cron_job(**spec: Any) -> dict[str, Any]:
    pod_spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "work:1"}]}
    body = {"schedule": "@every 1s", "jobTemplate": {"spec": {"template": {"spec": pod_spec}}}, **spec}
    return {"metadata": {"name": "tick"}, "spec": body}


async def jobs(client: Client) -> list[dict[str, Any]]:
    return (await client.list(JOBS, "default")).items


async def test_a_job_is_made_when_the_schedule_is_due_and_followed_to_its_end(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(CRON_JOBS, cron_job(), "default")
    [made, *_] = await eventually(lambda: jobs(cluster.client))
    assert [owner["kind"] for owner in made["metadata"]["ownerReferences"]] == ["CronJob"]
    assert "batch.kubernetes.io/cronjob-scheduled-timestamp" in made["metadata"]["annotations"]

    async def status() -> dict[str, Any]:
        return (await cluster.client.get(CRON_JOBS, "tick", "default")).get("status") or {}

    async def listed() -> bool:
        return made["metadata"]["uid"] in {one["uid"] for one in (await status()).get("active") or ()}

    await eventually(listed)
    assert (await status())["lastScheduleTime"]
    stage.does_its_work = lambda _: True
    for pod in (await cluster.kubectl("get", "pods", "-o", "name")).split():
        await cluster.kubectl("annotate", pod, "wake=up")

    async def succeeded() -> bool:
        return bool((await status()).get("lastSuccessfulTime"))

    await eventually(succeeded)

    async def told() -> bool:
        text = await cluster.kubectl("describe", "cronjob", "tick")
        name = made["metadata"]["name"]
        return f"Created job {name}" in text and f"Saw completed job: {name}, condition: Complete" in text

    await eventually(told)


async def test_a_suspended_cron_job_makes_nothing_until_it_goes_on(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(CRON_JOBS, cron_job(suspend=True), "default")
    await cluster.client.create(CRON_JOBS, {**cron_job(), "metadata": {"name": "other"}}, "default")

    async def other_was_started() -> bool:
        return any(job["metadata"]["name"].startswith("other-") for job in await jobs(cluster.client))

    await eventually(other_was_started)
    assert not any(job["metadata"]["name"].startswith("tick-") for job in await jobs(cluster.client))
    await cluster.client.patch(CRON_JOBS, "tick", {"spec": {"suspend": False}}, "default")

    async def was_started() -> bool:
        return any(job["metadata"]["name"].startswith("tick-") for job in await jobs(cluster.client))

    await eventually(was_started)


async def test_jobs_go_with_their_cron_job(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(CRON_JOBS, cron_job(), "default")
    await eventually(lambda: jobs(cluster.client))
    await cluster.kubectl("delete", "cronjob", "tick")

    async def gone() -> bool:
        return not await jobs(cluster.client)

    await eventually(gone)
