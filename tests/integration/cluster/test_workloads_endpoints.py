"""Endpoint slices and Endpoints: where a service's pods are. Nothing is executed: see `_stage`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from _clusters import Cluster, eventually
from _stage import Stage, workloads

from hyperkube_machinery.builtin import DEPLOYMENTS, ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from hyperkube_machinery.client import Client
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio


@pytest.fixture
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    async with workloads(cluster) as stage:
        yield stage


def deployment(replicas: int) -> dict[str, Any]:
    containers = [{"name": "c", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080}]}]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"metadata": {"name": "web"}, "spec": spec}


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": ports, **spec}}


async def slices(client: Client) -> list[dict[str, Any]]:
    return (await client.list(ENDPOINT_SLICES, "default", labels="kubernetes.io/service-name=web")).items


async def ready_addresses(client: Client) -> set[str]:
    return {
        address
        for one in await slices(client)
        for endpoint in one.get("endpoints") or ()
        for address in endpoint["addresses"]
        if endpoint["conditions"]["ready"]
    }


async def pod_addresses(client: Client) -> set[str]:
    pods = (await client.list(PODS, "default", labels="app=web")).items
    return {(pod.get("status") or {}).get("podIP", "") for pod in pods}


async def all_ready(client: Client, count: int) -> bool:
    addresses = await pod_addresses(client)
    return len(addresses) == count and await ready_addresses(client) == addresses


async def test_a_service_has_its_pods_in_slices_and_in_endpoints(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(SERVICES, service(), "default")
    [empty] = await eventually(lambda: slices(cluster.client))
    assert not empty.get("endpoints")
    await cluster.client.create(DEPLOYMENTS, deployment(3), "default")
    await eventually(lambda: all_ready(cluster.client, 3))
    [filled] = await slices(cluster.client)
    assert filled["metadata"]["uid"] == empty["metadata"]["uid"]
    assert filled["metadata"]["name"].startswith("web-")
    assert filled["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    zones = {(one["nodeName"], one["zone"]) for one in filled["endpoints"]}
    assert zones <= {("a", "zone-a"), ("b", "zone-b"), ("c", "zone-c")}

    async def same() -> bool:
        found = (await cluster.client.get(ENDPOINTS, "web", "default")).get("subsets") or []
        return {one["ip"] for subset in found for one in subset.get("addresses") or ()} == await pod_addresses(
            cluster.client
        )

    await eventually(same)
    assert ":8080" in await cluster.kubectl("describe", "service", "web")


async def test_pods_that_do_not_serve_are_listed_as_such(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(SERVICES, service(), "default")
    await cluster.client.create(DEPLOYMENTS, deployment(2), "default")
    await eventually(lambda: all_ready(cluster.client, 2))
    [first, _] = (await cluster.client.list(PODS, "default", labels="app=web")).items
    stage.is_ready = lambda pod: pod["metadata"]["name"] != first["metadata"]["name"]
    stage.lets_go = False
    await stage.show(first, "Running", ready=False)

    async def conditions() -> dict[str, bool]:
        [one] = await slices(cluster.client)
        name = first["metadata"]["name"]
        return next((dict(e["conditions"]) for e in one["endpoints"] if e["targetRef"]["name"] == name), {})

    async def not_ready() -> bool:
        return await conditions() == {"ready": False, "serving": False, "terminating": False}

    await eventually(not_ready)
    stage.is_ready = lambda _: True
    await stage.show(first, "Running", ready=True)
    await eventually(lambda: all_ready(cluster.client, 2))
    await cluster.client.delete(PODS, first["metadata"]["name"], "default")

    async def going() -> bool:
        return await conditions() == {"ready": False, "serving": True, "terminating": True}

    await eventually(going)


async def test_slices_are_written_only_for_what_changes(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(SERVICES, service(), "default")
    await cluster.client.create(DEPLOYMENTS, deployment(3), "default")
    await eventually(lambda: all_ready(cluster.client, 3))
    [before] = await slices(cluster.client)
    for pod in (await cluster.client.list(PODS, "default", labels="app=web")).items:
        patch = {"metadata": {"annotations": {"seen": "yes"}}}
        await cluster.client.patch(PODS, pod["metadata"]["name"], patch, "default")
    await cluster.kubectl("scale", "deployment/web", "--replicas=4")
    await eventually(lambda: all_ready(cluster.client, 4))
    [after] = await slices(cluster.client)
    # Once for the address and once for the readiness of the new pod, at most.
    assert after["metadata"]["generation"] - before["metadata"]["generation"] <= 2


async def test_a_slice_that_somebody_deletes_comes_back(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(SERVICES, service(), "default")
    await cluster.client.create(DEPLOYMENTS, deployment(2), "default")
    await eventually(lambda: all_ready(cluster.client, 2))
    [one] = await slices(cluster.client)
    await cluster.client.delete(ENDPOINT_SLICES, one["metadata"]["name"], "default")
    await eventually(lambda: all_ready(cluster.client, 2))


async def test_a_headless_service_publishes_pods_that_are_not_ready_if_asked_to(cluster: Cluster, stage: Stage) -> None:
    stage.is_ready = lambda _: False
    await cluster.client.create(SERVICES, service(clusterIP="None", publishNotReadyAddresses=True), "default")
    await cluster.client.create(DEPLOYMENTS, deployment(2), "default")
    await eventually(lambda: all_ready(cluster.client, 2))
    [one] = await slices(cluster.client)
    assert one["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


async def test_nothing_is_left_of_a_service_that_is_deleted(cluster: Cluster, stage: Stage) -> None:
    await cluster.client.create(SERVICES, service(), "default")
    await cluster.client.create(DEPLOYMENTS, deployment(1), "default")
    await eventually(lambda: all_ready(cluster.client, 1))
    await cluster.client.delete(SERVICES, "web", "default")

    async def gone() -> bool:
        try:
            await cluster.client.get(ENDPOINTS, "web", "default")
        except APIError as exc:
            return exc.code == 404 and not await slices(cluster.client)
        return False

    await eventually(gone)


async def test_a_service_that_selects_nothing_is_left_alone(cluster: Cluster, stage: Stage) -> None:
    wanted = service()
    del wanted["spec"]["selector"]
    await cluster.client.create(SERVICES, wanted, "default")
    await cluster.client.create(SERVICES, {**service(), "metadata": {"name": "other"}}, "default")

    async def other_has_one() -> bool:
        labels = "kubernetes.io/service-name=other"
        return bool((await cluster.client.list(ENDPOINT_SLICES, "default", labels=labels)).items)

    await eventually(other_has_one)
    assert await slices(cluster.client) == []
