"""kr8s: an asynchronous client that finds kinds by discovery."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import kr8s.asyncio
import pytest
from kr8s.asyncio.objects import ConfigMap, Deployment, Pod

pytestmark = [
    pytest.mark.anyio,
    # It says which versions of Kubernetes it was tried with.
    pytest.mark.filterwarnings("default::DeprecationWarning", "default:Kubernetes version:UserWarning"),
]


@pytest.fixture
async def api(shared_server: Any, namespace: str) -> AsyncIterator[Any]:
    connected = await kr8s.asyncio.api(kubeconfig=str(shared_server.kubeconfig), namespace=namespace)
    yield connected
    if connected._session is not None:
        await connected._session.aclose()


def config_map(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app": "web"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]},
        },
    },
}


async def test_the_version_and_the_resources_are_found(api: Any) -> None:
    assert (await api.version())["gitVersion"] == "v1.36.2"
    resources = await api.api_resources()
    assert {"deployments", "pods", "roles"} <= {one["name"] for one in resources}


async def test_objects_are_made_read_changed_and_deleted(api: Any, namespace: str) -> None:
    made = await ConfigMap(config_map("a", colour="blue"), namespace=namespace, api=api)
    await made.create()
    assert await made.exists()
    await made.patch({"data": {"size": "large"}})
    found = await ConfigMap.get("a", namespace=namespace, api=api)
    assert dict(found.data) == {"colour": "blue", "size": "large"}
    await found.label(tier="front")
    await found.annotate(note="hello")
    listed = [one async for one in api.get("configmaps", label_selector={"tier": "front"}, namespace=namespace)]
    assert [(one.name, one.annotations.note) for one in listed] == [("a", "hello")]
    await found.delete()
    assert not await found.exists()
    with pytest.raises(kr8s.NotFoundError):
        await ConfigMap.get("a", namespace=namespace, api=api, timeout=0)


async def test_a_deployment_is_scaled(api: Any, namespace: str) -> None:
    made = await Deployment(DEPLOYMENT, namespace=namespace, api=api)
    await made.create()
    await made.patch({"spec": {"replicas": 5}}, subresource="scale")
    await made.refresh()
    assert made.replicas == 5


async def test_kinds_are_found_by_short_names(api: Any, namespace: str) -> None:
    await (await ConfigMap(config_map("a"), namespace=namespace, api=api)).create()
    for name in ("cm", "configmap", "configmaps", "configmaps.v1"):
        assert [one.name async for one in api.get(name, namespace=namespace)] == ["a"], name


async def test_a_watch_shows_changes(api: Any, namespace: str) -> None:
    made = await ConfigMap(config_map("a"), namespace=namespace, api=api)
    await made.create()
    seen = []
    async for event, found in api.watch("configmaps", namespace=namespace):
        seen.append((event, found.name))
        if len(seen) == 1:
            await made.delete()
        else:
            break
    assert seen == [("ADDED", "a"), ("DELETED", "a")]


async def test_the_log_of_a_pod_that_runs_nowhere_is_empty(api: Any, namespace: str) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}
    await (await kr8s.asyncio.objects.ServiceAccount(account, api=api)).create()
    spec = {"containers": [{"name": "web", "image": "web:1"}]}
    pod = await Pod({"metadata": {"name": "one"}, "spec": spec}, namespace=namespace, api=api)
    await pod.create()
    assert [line async for line in pod.logs(timeout=60)] == []
    with pytest.raises(kr8s.ServerError, match="container other is not valid for pod one"):
        [line async for line in pod.logs(container="other", timeout=60)]
