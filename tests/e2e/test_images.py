"""Images from a real registry, pulled by a real containerd, with what pods and the node have for it."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import _images
import _tools
import pytest
from _clusters import eventually
from _containerd import WAIT, Containerd
from _nodes import RealNode, real_node
from _registry import PASSWORD, USER, Registry, registry_running

from hyperkube_machinery.builtin import EVENTS, SECRETS, SERVICE_ACCOUNTS

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    return _images.write_image(folder / "app.tar", "app:1", busybox=_tools.busybox(), command=WAIT)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with registry_running(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def closed(tmp_path: Path, archive: Path) -> Iterator[Registry]:
    """A registry that wants a name and a password."""
    with registry_running(tmp_path / "closed", closed=True) as registry:
        registry.push(archive, "team/app:1")
        yield registry


@pytest.fixture(autouse=True)
async def tidy(node: RealNode, containerd: Containerd) -> AsyncIterator[None]:
    yield
    await node.emptied()
    for name in containerd.ctr("images", "ls", "-q").split():
        if name.startswith("127.0.0.1:"):
            containerd.ctr("images", "rm", "--sync", name)


def spec(image: str, *, policy: str = "IfNotPresent", **more: Any) -> Tree:
    return {"containers": [{"name": "main", "image": image, "imagePullPolicy": policy}], **more}


def secret(registry: Registry, name: str = "pull") -> Tree:
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    config = json.dumps({"auths": {registry.address: {"auth": auth}}}).encode()
    return {
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(config).decode()},
    }


async def messages(node: RealNode, name: str, reason: str, holds: Callable[[str], object] = bool) -> list[str]:
    """What events of that reason say of a pod, once one of them is such."""

    async def heard() -> list[str]:
        events = (await node.client.list(EVENTS, "default")).items
        found = [one["message"] for one in events if one["involvedObject"]["name"] == name and one["reason"] == reason]
        return found if any(map(holds, found)) else []

    found: list[str] = await eventually(heard)
    return found


async def waits(node: RealNode, name: str, *reasons: str) -> str:
    """The message of a container that waits for one of these reasons."""

    def state(pod: Tree) -> Tree:
        shown = pod["status"].get("containerStatuses") or [{}]
        found: Tree = (shown[0].get("state") or {}).get("waiting") or {}
        return found

    pod = await node.pod(name, lambda pod: state(pod).get("reason") in reasons)
    return str(state(pod).get("message", ""))


async def test_an_image_is_pulled_once(node: RealNode, registry: Registry, archive: Path) -> None:
    digest = registry.push(archive, "app:1")
    name = f"{registry.address}/app:1"
    await node.create("first", spec(name))
    pod = await node.running("first")
    assert pod["status"]["containerStatuses"][0]["imageID"] == f"{registry.address}/app@{digest}"
    assert await messages(node, "first", "Pulling") == [f'Pulling image "{name}"']
    [pulled] = await messages(node, "first", "Pulled")
    times = r"[\d.]+m?s \([\d.]+m?s including waiting\)"
    assert re.fullmatch(rf'Successfully pulled image "{name}" in {times}\. Image size: \d+ bytes\.', pulled)
    before = len(registry.requests())
    await node.create("second", spec(name))
    await node.running("second")
    assert await messages(node, "second", "Pulled") == [
        f'Container image "{name}" already present on machine and can be accessed by the pod'
    ]
    assert len(registry.requests()) == before
    await node.create("again", spec(name, policy="Always"))
    await node.running("again")
    assert len(registry.requests()) > before


async def test_what_is_not_there_is_tried_again_later(node: RealNode, registry: Registry, archive: Path) -> None:
    name = f"{registry.address}/app:2"
    await node.create("missing", spec(name))
    message = await waits(node, "missing", "ImagePullBackOff")
    assert message.startswith(f'Back-off pulling image "{name}": ErrImagePull: ')
    assert f'failed to resolve reference "{name}": {name}: not found' in message
    told = await messages(node, "missing", "Failed", lambda text: text == "Error: ImagePullBackOff")
    assert "Error: ErrImagePull" in told
    assert any(text.startswith(f'Failed to pull image "{name}": ') for text in told)
    registry.push(archive, "app:2")
    await node.running("missing")


async def test_names_that_mean_nothing_and_images_that_must_be_here(node: RealNode) -> None:
    await node.create("wrong", spec("127.0.0.1/Team/App:1"))
    assert "repository name (Team/App) must be lowercase" in await waits(node, "wrong", "InvalidImageName")
    await node.create("never", spec("hk.test/nothing:1", policy="Never"))
    message = await waits(node, "never", "ErrImageNeverPull")
    assert message == 'Container image "hk.test/nothing:1" is not present with pull policy of Never'


async def test_secrets_open_registries_for_pods_that_have_them(node: RealNode, closed: Registry) -> None:
    name = f"{closed.address}/team/app:1"
    await node.create("without", spec(name))
    assert "401 Unauthorized" in await waits(node, "without", "ErrImagePull", "ImagePullBackOff")
    await node.client.create(SECRETS, secret(closed), "default")
    await node.create("with", spec(name, imagePullSecrets=[{"name": "pull"}]))
    await node.running("with")
    await node.create("never", spec(name, policy="Never"))  # it is here, and not for this pod
    await waits(node, "never", "ErrImageNeverPull")
    # What a service account has, pods are given when they are made.
    await node.client.patch(SERVICE_ACCOUNTS, "default", {"imagePullSecrets": [{"name": "pull"}]}, "default")
    try:
        await node.create("accounted", spec(name))
        await node.running("accounted")
    finally:
        await node.client.patch(SERVICE_ACCOUNTS, "default", {"imagePullSecrets": None}, "default")
        await node.client.delete(SECRETS, "pull", "default")


async def test_a_program_knows_credentials(containerd: Containerd, closed: Registry, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    asked = tmp_path / "asked"
    answer = {
        "kind": "CredentialProviderResponse",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "cacheKeyType": "Registry",
        "auth": {closed.address: {"username": USER, "password": PASSWORD}},
    }
    program = programs / "teller"
    program.write_text(f"#!{sys.executable}\nimport sys\nopen({str(asked)!r}, 'a').write(sys.stdin.read() + '\\n')\n")
    with program.open("a") as file:
        file.write(f"print({json.dumps(json.dumps(answer))})\n")
    os.chmod(program, 0o755)
    provider = {
        "name": "teller",
        "matchImages": ["127.0.0.1:*", closed.address],
        "defaultCacheDuration": "1h",
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "tokenAttributes": {
            "serviceAccountTokenAudience": "registry",
            "cacheType": "ServiceAccount",
            "requireServiceAccount": True,
        },
    }
    config = tmp_path / "providers.json"
    config.write_text(
        json.dumps(
            {"kind": "CredentialProviderConfig", "apiVersion": "kubelet.config.k8s.io/v1", "providers": [provider]}
        )
    )
    flags = (f"--image-credential-provider-config={config}", f"--image-credential-provider-bin-dir={programs}")
    (tmp_path / "cluster").mkdir()
    async with real_node(containerd, tmp_path / "cluster", lambda: _tools.kubectl()[0], *flags) as other:
        await other.create("first", spec(f"{closed.address}/team/app:1"))
        await other.running("first")
        request = json.loads(asked.read_text().splitlines()[0])
        assert request["image"] == f"{closed.address}/team/app"
        assert request["serviceAccountToken"].count(".") == 2
        await other.create("second", spec(f"{closed.address}/team/app:1", policy="Always"))
        await other.running("second")
        assert len(asked.read_text().splitlines()) == 1


async def test_the_nodes_own_credentials_are_for_all_pods(
    containerd: Containerd, closed: Registry, tmp_path: Path
) -> None:
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    folder = tmp_path / "cluster" / "kubelet"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "config.json").write_text(json.dumps({"auths": {closed.address: {"auth": auth}}}))
    flags = ("--serialize-image-pulls=false", "--max-parallel-image-pulls=2")
    async with real_node(containerd, tmp_path / "cluster", lambda: _tools.kubectl()[0], *flags) as other:
        for name in ("one", "two"):
            await other.create(name, spec(f"{closed.address}/team/app:1", policy="Always"))
        for name in ("one", "two"):
            await other.running(name)
        records = [json.loads(path.read_text()) for path in (folder / "image_manager" / "pulled").iterdir()]
        assert [record["credentialMapping"] for record in records] == [
            {f"{closed.address}/team/app": {"nodePodsAccessible": True}}
        ]
