"""Schedulers that are killed: every pod gets its node all the same, and no node more than it can take."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

import pytest
from _clusters import Cluster, Process, eventually
from _scheduling import SPACE, Space

from hyperkube_machinery.builtin import LEASES, PODS

pytestmark = pytest.mark.anyio

ROUNDS = 8
NODES, A_NODE = 6, 10  # pods that a node takes; almost as many come
SHORT_LEASE = (
    "--leader-elect-lease-duration=2s",
    "--leader-elect-renew-deadline=1500ms",
    "--leader-elect-retry-period=200ms",
)


async def bound(space: Space) -> Counter[str]:
    """How many pods each node has."""
    listing = await space.client.list(PODS, SPACE, fields="spec.nodeName!=")
    return Counter(pod["spec"]["nodeName"] for pod in listing.items)


async def start(cluster: Cluster, *flags: str) -> Process:
    return await cluster.start_process("scheduler", "--secure-port=0", *flags)


async def test_killed_again_and_again_it_places_every_pod_once(processes: Cluster) -> None:
    space, random = Space(processes), Random(7)
    await space.open()
    for index in range(NODES):
        await space.add_node(f"node-{index}")
    wanted = 0
    for _ in range(ROUNDS):
        scheduler = await start(processes, "--leader-elect=false")
        for index in range(wanted, wanted + NODES * A_NODE // ROUNDS):
            await space.add_pod(f"pod-{index}", cpu="10m")
            wanted += 1
        await asyncio.sleep(random.random() / 5)  # a moment of its work, whichever
        await scheduler.kill()
    await start(processes, "--leader-elect=false")

    async def all_bound() -> bool:
        return (await bound(space)).total() == wanted

    await eventually(all_bound)
    assert max((await bound(space)).values()) <= A_NODE


async def test_another_takes_over_from_one_that_was_killed(processes: Cluster) -> None:
    space = Space(processes)
    await space.open()
    await space.add_node("only")
    first = await start(processes, *SHORT_LEASE)
    await space.add_pod("early")
    assert await space.node_of("early") == "only"
    second = await start(processes, *SHORT_LEASE)
    assert "successfully acquired lease" not in second.log
    await first.kill()
    await space.add_pod("late")
    assert await space.node_of("late") == "only"
    assert "successfully acquired lease" in second.log


async def test_one_that_is_asked_to_stop_gives_the_lease_back(processes: Cluster) -> None:
    space = Space(processes)
    await space.open()
    scheduler = await start(processes)

    async def holder() -> str:
        leases = await space.client.list(LEASES, "kube-system", fields="metadata.name=kube-scheduler")
        return "".join(lease["spec"].get("holderIdentity", "") for lease in leases.items)

    await eventually(holder)
    assert await scheduler.stop() in (0, -15, 143)
    assert await holder() == ""
