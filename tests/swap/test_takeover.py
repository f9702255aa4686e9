"""Kubernetes' controller manager and hk's take over from each other, and nothing that runs notices."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import _tools
import pytest
from _clusters import Process, eventually
from _peers import MixedCluster, Peer, open_mixed

from hyperkube_machinery.builtin import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
)

pytestmark = pytest.mark.anyio

APP = {"app": "all"}
POD = {
    "terminationGracePeriodSeconds": 1,
    "containers": [{"name": "c", "image": "busybox:1", "command": ["sh", "-c", "true && sleep 1000 </dev/null"]}],
}
OWNERS = (DEPLOYMENTS, DAEMON_SETS, STATEFUL_SETS)


def manifests() -> str:
    template = {"metadata": {"labels": APP}, "spec": POD}
    specs: dict[str, dict[str, Any]] = {
        "Deployment": {"replicas": 2},
        "DaemonSet": {},
        "StatefulSet": {"replicas": 2, "serviceName": "all"},
    }
    items: list[Any] = [
        {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": kind.lower()},
            "spec": {"selector": {"matchLabels": APP | {"kind": kind}}, "template": _labelled(template, kind), **spec},
        }
        for kind, spec in specs.items()
    ]
    service = {"selector": APP, "ports": [{"port": 80}]}
    items.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "all"}, "spec": service})
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _labelled(template: dict[str, Any], kind: str) -> dict[str, Any]:
    return {**template, "metadata": {"labels": APP | {"kind": kind}}}


@pytest.fixture(params=["apiserver", "none"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Any) -> AsyncIterator[MixedCluster]:
    upstream = [name for name in (request.param,) if name != "none"]
    async with open_mixed([*upstream, "controller-manager"], tmp_path, lambda: _tools.kubectl()[0]) as cluster:
        yield cluster


async def stop(server: Peer | Process) -> None:
    await server.stop()


async def made(cluster: MixedCluster) -> set[tuple[str, str]]:
    """What controllers have made, by kind and UID."""
    found = set()
    for resource in (PODS, REPLICA_SETS, CONTROLLER_REVISIONS, ENDPOINT_SLICES):
        items = (await cluster.client.list(resource, "default")).items
        found |= {
            (resource.resource, f"{one['metadata']['name']} {one['metadata']['uid']}")
            for one in items
            if one["metadata"].get("labels", {}).get("app") or resource is ENDPOINT_SLICES
        }
    return found


async def is_settled(cluster: MixedCluster) -> bool:
    for resource in OWNERS:
        status = (await cluster.client.get(resource, resource.kind.lower(), "default")).get("status", {})
        if status.get("readyReplicas", status.get("numberReady")) != 2:
            return False
    return len((await cluster.client.list(PODS, "default")).items) == 6


async def has_looked(cluster: MixedCluster, generations: dict[str, int]) -> bool:
    """Whether a controller manager has looked at what was changed since."""
    for resource in OWNERS:
        found = await cluster.client.get(resource, resource.kind.lower(), "default")
        if found["status"].get("observedGeneration", 0) <= generations[resource.kind]:
            return False
    return True


@pytest.mark.parametrize("first", ["hk", "upstream"])
async def test_what_runs_goes_on_when_the_other_takes_over(cluster: MixedCluster, first: str) -> None:
    for node in ("one", "two"):
        await cluster.start_hollow(node)
    await cluster.start_scheduler(upstream=False)
    manager = await cluster.start_controller_manager(upstream=first == "upstream")
    await cluster.kubectl("apply", "-f", "-", stdin=manifests())
    await eventually(lambda: is_settled(cluster))
    before = await made(cluster)
    await stop(manager)

    await cluster.start_controller_manager(upstream=first == "hk")
    generations = {}
    for resource in OWNERS:
        found = await cluster.client.get(resource, resource.kind.lower(), "default")
        generations[resource.kind] = found["metadata"]["generation"]
        # A change of the spec that calls for nothing, which shows that it has looked.
        await cluster.client.patch(
            resource, resource.kind.lower(), {"spec": {"minReadySeconds": 1}}, "default", kind="merge"
        )
    await eventually(lambda: has_looked(cluster, generations))
    await eventually(lambda: is_settled(cluster))
    assert await made(cluster) == before
