"""A kubelet that pulls images: from a real registry, with what pods have for it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import _images
import _tools
import pytest
from _clusters import eventually
from _registry import PASSWORD, USER, Registry, registry_running

from hyperkube_machinery.builtin import EVENTS, PODS, SECRETS, SERVICE_ACCOUNTS

pytestmark = pytest.mark.anyio

NODE = "node-1"
Tree = dict[str, Any]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    stays = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"]
    return _images.write_image(tmp_path / "app.tar", "app:1", busybox=_tools.busybox(), command=stays)


@pytest.fixture
def registry(tmp_path: Path, archive: Path) -> Iterator[Registry]:
    with registry_running(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def closed(tmp_path: Path, archive: Path) -> Iterator[Registry]:
    with registry_running(tmp_path / "closed", closed=True) as registry:
        registry.push(archive, "team/app:1")
        yield registry


@pytest.fixture
async def kubelet(cluster: Any, tmp_path: Path) -> AsyncIterator[Any]:
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await cluster.client.create(SERVICE_ACCOUNTS, account, "default")
    flags = (f"--hostname-override={NODE}", f"--root-dir={tmp_path / 'kubelet'}", "--port=0", "--healthz-port=0")
    yield await cluster.start("kubelet", *flags, "--orphan-grace-period=10s", "--cluster-dns=10.0.0.10")
    await cluster.client.delete_collection(PODS, "default")

    async def gone() -> bool:
        return not (await cluster.client.list(PODS, "default")).items

    await eventually(gone)


def pod(name: str, image: str, **spec: Any) -> Tree:
    policy = {"imagePullPolicy": spec.pop("policy")} if "policy" in spec else {}
    container = {"name": "main", "image": image, **policy}
    defaults = {"nodeName": NODE, "terminationGracePeriodSeconds": 1}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **defaults, **spec}}


def secret(registry: Registry, password: str = PASSWORD) -> Tree:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    config = json.dumps({"auths": {f"{registry.address}/team": {"auth": auth}}}).encode()
    return {
        "metadata": {"name": "pull"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(config).decode()},
    }


async def state_of(cluster: Any, name: str) -> Tree:
    status = (await cluster.client.get(PODS, name, "default")).get("status") or {}
    found: Tree = next(iter(status.get("containerStatuses") or ()), {})
    return found


async def running(cluster: Any, name: str) -> Tree:
    async def is_running() -> Tree | None:
        shown = await state_of(cluster, name)
        return shown if "running" in shown.get("state", {}) else None

    found: Tree = await eventually(is_running)
    return found


async def waiting(cluster: Any, name: str, reason: str) -> str:
    async def is_waiting() -> str | None:
        shown = (await state_of(cluster, name)).get("state", {}).get("waiting") or {}
        return shown.get("message") if shown.get("reason") == reason else None

    found: str = await eventually(is_waiting)
    return found


async def told(cluster: Any, name: str, reason: str) -> list[str]:
    """The messages of a pod's events of that reason, once there are some."""

    async def heard() -> list[str]:
        events = (await cluster.client.list(EVENTS, "default")).items
        return [one["message"] for one in events if one["involvedObject"]["name"] == name and one["reason"] == reason]

    found: list[str] = await eventually(heard)
    return found


async def test_an_image_is_pulled_and_found_the_next_time(
    cluster: Any, kubelet: Any, registry: Registry, archive: Path
) -> None:
    digest = registry.push(archive, "app:1", index=True)
    name = f"{registry.address}/app:1"
    await cluster.client.create(PODS, pod("first", name), "default")
    shown = await running(cluster, "first")
    assert shown["imageID"] == f"{registry.address}/app@{digest}"
    assert await told(cluster, "first", "Pulling") == [f'Pulling image "{name}"']
    [pulled] = await told(cluster, "first", "Pulled")
    assert pulled.startswith(f'Successfully pulled image "{name}" in ')
    assert " including waiting). Image size: " in pulled
    before = len(registry.requests())
    await cluster.client.create(PODS, pod("second", f"{registry.address}/app@{digest}"), "default")
    await running(cluster, "second")
    assert len(registry.requests()) == before


async def test_what_a_registry_lacks_is_asked_for_again_and_again(
    cluster: Any, kubelet: Any, registry: Registry, archive: Path
) -> None:
    name = f"{registry.address}/app:1"
    await cluster.client.create(PODS, pod("web", name), "default")
    why = f'failed to pull and unpack image "{name}": failed to resolve reference "{name}": {name}: not found'
    assert await waiting(cluster, "web", "ImagePullBackOff") == f'Back-off pulling image "{name}": ErrImagePull: {why}'
    assert f'Failed to pull image "{name}": {why}' in await told(cluster, "web", "Failed")
    assert await told(cluster, "web", "BackOff") == [f'Back-off pulling image "{name}"']
    registry.push(archive, "app:1")
    await running(cluster, "web")  # ten seconds later


async def test_names_and_policies_that_come_to_nothing(cluster: Any, kubelet: Any, registry: Registry) -> None:
    await cluster.client.create(PODS, pod("never", f"{registry.address}/app:1", policy="Never"), "default")
    await cluster.client.create(PODS, pod("wrong", f"{registry.address}/App:1"), "default")
    message = await waiting(cluster, "never", "ErrImageNeverPull")
    assert message == f'Container image "{registry.address}/app:1" is not present with pull policy of Never'
    message = await waiting(cluster, "wrong", "InvalidImageName")
    assert "couldn't parse image name" in message
    assert "repository name (App) must be lowercase" in message


async def test_a_closed_registry_takes_the_pods_secret(cluster: Any, kubelet: Any, closed: Registry) -> None:
    name = f"{closed.address}/team/app:1"
    await cluster.client.create(PODS, pod("without", name), "default")
    assert "pull access denied" in await waiting(cluster, "without", "ErrImagePull") or await waiting(
        cluster, "without", "ImagePullBackOff"
    )
    await cluster.client.create(SECRETS, secret(closed), "default")
    secrets = [{"name": "pull"}, {"name": "missing"}]
    await cluster.client.create(PODS, pod("with", name, imagePullSecrets=secrets), "default")
    await running(cluster, "with")
    [told_of] = set(await told(cluster, "with", "FailedToRetrieveImagePullSecret"))
    assert told_of.startswith("Unable to retrieve some image pull secrets (missing); attempting to pull the image")


async def test_what_a_secret_has_brought_is_not_for_pods_without_it(
    cluster: Any, kubelet: Any, closed: Registry
) -> None:
    name = f"{closed.address}/team/app:1"
    await cluster.client.create(SECRETS, secret(closed), "default")
    own = [{"name": "pull"}]
    await cluster.client.create(PODS, pod("first", name, imagePullSecrets=own), "default")
    await running(cluster, "first")
    pulls = [request for request in closed.requests() if "/manifests/" in request]
    await cluster.client.create(PODS, pod("same", name, imagePullSecrets=own), "default")
    await running(cluster, "same")
    assert [request for request in closed.requests() if "/manifests/" in request] == pulls
    await cluster.client.create(PODS, pod("other", name), "default")
    assert "pull access denied" in await waiting(cluster, "other", "ImagePullBackOff")
    await cluster.client.create(PODS, pod("never", name, policy="Never"), "default")
    await waiting(cluster, "never", "ErrImageNeverPull")
