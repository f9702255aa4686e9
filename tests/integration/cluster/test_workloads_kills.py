"""A controller manager that is killed at any moment, without a word: another takes up where it was."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from _clusters import Cluster, Process, eventually
from _stage import CONTROLLER_FLAGS, ready_namespace, staged

from hyperkube_machinery.builtin import DAEMON_SETS, DEPLOYMENTS, JOBS, PODS, REPLICA_SETS
from hyperkube_machinery.client import Client

pytestmark = pytest.mark.anyio

ROUNDS = 8
LONGEST_LIFE_SECONDS = 0.6


async def started(cluster: Cluster) -> Process:
    # Without a lease, which the next would have to wait for: what is tested is what the last one left behind.
    return await cluster.start_process("controller-manager", *CONTROLLER_FLAGS, "--leader-elect=false")


@asynccontextmanager
async def killed_again_and_again(cluster: Cluster) -> AsyncIterator[None]:
    """For the length of the block a controller manager lives only for moments; after it one is there to stay."""
    enough = asyncio.Event()

    async def rounds() -> None:
        chance = random.Random(7)
        for _ in range(ROUNDS):
            process = await started(cluster)
            await asyncio.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
            await process.kill()
        enough.set()

    killing = asyncio.create_task(rounds())
    try:
        yield
        await enough.wait()
    finally:
        await killing
    await started(cluster)


def template(app: str, **spec: Any) -> dict[str, Any]:
    pod_spec = {"containers": [{"name": "c", "image": f"{app}:0"}], **spec}
    return {"metadata": {"labels": {"app": app}}, "spec": pod_spec}


async def images(client: Client, app: str) -> list[str]:
    pods = (await client.list(PODS, "default", labels=f"app={app}")).items
    return [pod["spec"]["containers"][0]["image"] for pod in pods]


async def test_rollouts_complete_and_leave_nothing_over(processes: Cluster) -> None:
    client = processes.client
    await ready_namespace(client)
    async with staged(client, "a", "b", "c"):
        selector = {"matchLabels": {"app": "web"}}
        spec = {"replicas": 10, "selector": selector, "template": template("web")}
        await client.create(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec}, "default")
        daemons = {"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent")}
        await client.create(DAEMON_SETS, {"metadata": {"name": "agent"}, "spec": daemons}, "default")
        most = 0
        async with killed_again_and_again(processes):
            for version in range(1, ROUNDS):
                await processes.kubectl("set", "image", "deployment/web", f"c=web:{version}")
                await processes.kubectl("set", "image", "daemonset/agent", f"c=agent:{version}")
                for _ in range(10):
                    most = max(most, len(await images(client, "web")))
                    await asyncio.sleep(0.05)
        await processes.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        await processes.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")

        async def settled() -> bool:
            web, agent = await images(client, "web"), await images(client, "agent")
            return web == [f"web:{ROUNDS - 1}"] * 10 and agent == [f"agent:{ROUNDS - 1}"] * 3

        await eventually(settled)
        sizes = [one["spec"]["replicas"] for one in (await client.list(REPLICA_SETS, "default")).items]
        assert sorted(sizes)[-2:] == [0, 10]
        # Ten, a surge of three, those being deleted, and at most what was asked for in the moment of a death.
        assert most <= 20


async def test_each_pod_of_a_job_is_counted_once(processes: Cluster) -> None:
    client = processes.client
    await ready_namespace(client)
    async with staged(client, "a", "b", "c") as stage:
        stage.does_its_work = lambda pod: "job-name" in pod["metadata"]["labels"]
        spec = {"completions": 40, "parallelism": 8, "template": template("work", restartPolicy="Never")}
        await client.create(JOBS, {"metadata": {"name": "plain"}, "spec": spec}, "default")
        indexed = {**spec, "completionMode": "Indexed"}
        await client.create(JOBS, {"metadata": {"name": "indexed"}, "spec": indexed}, "default")
        async with killed_again_and_again(processes):
            pass
        for name in ("plain", "indexed"):
            await processes.kubectl("wait", "--for=condition=complete", f"job/{name}", "--timeout=60s")
            status = (await client.get(JOBS, name, "default"))["status"]
            pods = (await client.list(PODS, "default", labels=f"job-name={name}")).items
            succeeded = [pod for pod in pods if pod["status"]["phase"] == "Succeeded"]
            assert not any(pod["metadata"].get("finalizers") for pod in pods)
            assert status.get("failed") is None
            if name == "plain":
                # A pod may be one too many, made in the moment of a death; it is counted all the same.
                assert status["succeeded"] == len(succeeded) <= 40 + ROUNDS
            else:
                assert (status["succeeded"], status["completedIndexes"]) == (40, "0-39")
