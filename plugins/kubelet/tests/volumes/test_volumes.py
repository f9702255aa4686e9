"""The volumes of pods, from their specs to files."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.containers.fieldpaths import Addresses
from hyperkube_kubelet.volumes import PodVolumes, VolumeFailure
from hyperkube_kubelet.volumes.objects import ObjectCache
from hyperkube_kubelet.volumes.tokens import Tokens, wants_renewal
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.timestamps import format_seconds

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]


class FewObjects:
    """A client of an API server that has config maps and secrets and makes tokens."""

    def __init__(self, clock: VirtualClock) -> None:
        self.objects: dict[tuple[str, str], Tree] = {}
        self.reads = 0
        self.tokens: list[Tree] = []
        self.fails = False
        self._clock = clock

    async def get(self, resource: Resource, name: str, namespace: str = "") -> Tree:
        self.reads += 1
        if (resource.resource, name) not in self.objects:
            raise APIError.not_found(resource, name)
        return self.objects[resource.resource, name]

    async def create(self, resource: Resource, obj: Tree, namespace: str, *, name: str, subresource: str) -> Tree:
        assert (resource.resource, subresource) == ("serviceaccounts", "token")
        if self.fails:
            raise APIError.internal("no")
        self.tokens.append(obj)
        ends = format_seconds(self._clock.now() + obj["spec"]["expirationSeconds"])
        return {"status": {"token": f"{name}-{len(self.tokens)}", "expirationTimestamp": ends}}


class PlainFolders:
    """The runtime's part, where no user but one owns anything."""

    def __init__(self) -> None:
        self.memory: dict[Path, int] = {}

    async def mount_memory(self, path: Path, size_bytes: int) -> None:
        self.memory[path] = size_bytes

    async def unmount_memory(self, path: Path) -> None:
        self.memory.pop(path, None)

    async def remove_tree(self, path: Path) -> None:
        shutil.rmtree(path)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def api(clock: VirtualClock) -> FewObjects:
    return FewObjects(clock)


@pytest.fixture
def folders() -> PlainFolders:
    return PlainFolders()


@pytest.fixture
def volumes(tmp_path: Path, api: Any, clock: VirtualClock, folders: PlainFolders) -> PodVolumes:
    return PodVolumes(tmp_path, folders, ObjectCache(api, clock), Tokens(api, clock, jitter=lambda: 0.0), clock)


def pod(*given: Tree, **spec: Any) -> Tree:
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": "u", "labels": {"app": "web", "b": '"'}},
        "spec": {"serviceAccountName": "sa", "containers": [{"name": "c"}], "volumes": list(given), **spec},
    }


async def files(volumes: PodVolumes, one: Tree, **spec: Any) -> dict[str, str]:
    """What is in a pod's one volume."""
    path = (await volumes.mount(pod({"name": "v", **one}, **spec), Addresses(pod_ips=["10.0.0.9"])))["v"].path
    return {name.name: name.read_text() for name in path.iterdir() if not name.name.startswith("..")}


async def test_a_config_map_is_files(volumes: PodVolumes, api: FewObjects) -> None:
    binary = base64.b64encode(b"2").decode()
    api.objects["configmaps", "m"] = {"data": {"a": "1"}, "binaryData": {"b": binary}}
    assert await files(volumes, {"configMap": {"name": "m"}}) == {"a": "1", "b": "2"}
    items = [{"key": "a", "path": "x"}]
    assert await files(volumes, {"configMap": {"name": "m", "items": items}}) == {"x": "1"}


async def test_a_secret_is_files_of_its_mode(volumes: PodVolumes, api: FewObjects, tmp_path: Path) -> None:
    api.objects["secrets", "s"] = {"data": {"a": base64.b64encode(b"1").decode()}}
    mounted = await volumes.mount(pod({"name": "v", "secret": {"secretName": "s", "defaultMode": 0o400}}), Addresses())
    assert mounted["v"].readonly
    assert (mounted["v"].path / "a").stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        (
            {"configMap": {"name": "m", "items": [{"key": "x", "path": "x"}]}},
            "configmap references non-existent config key: x",
        ),
        ({"configMap": {"name": "m", "items": [{"key": "a", "path": "../x"}]}}, "must not contain"),
        ({"nfs": {"server": "s"}}, "no volumes of the type nfs"),
    ],
)
async def test_what_is_missing_is_told(volumes: PodVolumes, api: FewObjects, volume: Tree, why: str) -> None:
    api.objects["configmaps", "m"] = {"data": {"a": "1"}}
    with pytest.raises(VolumeFailure, match=why):
        await files(volumes, volume)


async def test_what_is_optional_may_be_missing(volumes: PodVolumes) -> None:
    assert await files(volumes, {"configMap": {"name": "no", "optional": True}}) == {}


async def test_new_contents_come_with_a_later_sync(volumes: PodVolumes, api: FewObjects, clock: VirtualClock) -> None:
    api.objects["configmaps", "m"] = {"data": {"a": "1"}}
    await files(volumes, {"configMap": {"name": "m"}})
    api.objects["configmaps", "m"] = {"data": {"a": "2"}}
    assert await files(volumes, {"configMap": {"name": "m"}}) == {"a": "1"}, "it isn't read at every sync"
    await clock.advance(61)
    assert await files(volumes, {"configMap": {"name": "m"}}) == {"a": "2"}


async def test_what_was_missing_is_asked_for_again_at_once(volumes: PodVolumes, api: FewObjects) -> None:
    with pytest.raises(VolumeFailure):
        await files(volumes, {"configMap": {"name": "m"}})
    api.objects["configmaps", "m"] = {"data": {"a": "1"}}
    assert await files(volumes, {"configMap": {"name": "m"}}) == {"a": "1"}


async def test_a_projected_volume_joins_its_sources(volumes: PodVolumes, api: FewObjects) -> None:
    api.objects["configmaps", "m"] = {"data": {"ca.crt": "CA"}}
    labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    limit = {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu", "divisor": "1m"}}
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "m"}},
        {"downwardAPI": {"items": [labels, limit]}},
    ]
    found = await files(
        volumes,
        {"projected": {"sources": sources}},
        containers=[{"name": "c", "resources": {"limits": {"cpu": "250m"}}}],
    )
    assert found == {"token": "sa-1", "ca.crt": "CA", "labels": 'app="web"\nb="\\""', "cpu": "250"}
    assert api.tokens[0]["spec"] == {
        "audiences": [],
        "expirationSeconds": 3607,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"},
    }


TOKEN = {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}}


class TestTokens:
    async def test_a_token_is_renewed_when_most_of_its_life_is_over(
        self, volumes: PodVolumes, clock: VirtualClock
    ) -> None:
        assert await files(volumes, TOKEN) == {"t": "sa-1"}
        await clock.advance(2800)
        assert await files(volumes, TOKEN) == {"t": "sa-1"}
        await clock.advance(100)
        assert await files(volumes, TOKEN) == {"t": "sa-2"}

    async def test_one_that_cant_be_renewed_is_used_while_it_lives(
        self, volumes: PodVolumes, api: FewObjects, clock: VirtualClock
    ) -> None:
        await files(volumes, TOKEN)
        api.fails = True
        await clock.advance(3000)
        assert await files(volumes, TOKEN) == {"t": "sa-1"}
        await clock.advance(700)
        with pytest.raises(VolumeFailure, match="Internal error"):
            await files(volumes, TOKEN)

    @pytest.mark.parametrize(
        ("age", "lifetime", "expected"),
        [(0, 3600, False), (2879, 3600, False), (2881, 3600, True), (86_399, 1e6, False), (86_401, 1e6, True)],
    )
    def test_when_a_token_is_renewed(self, age: float, lifetime: float, expected: bool) -> None:
        assert wants_renewal(now=age, expires=lifetime, lifetime=lifetime, jitter=0) is expected


async def test_an_empty_dir_keeps_what_is_in_it_until_the_pod_goes(volumes: PodVolumes, tmp_path: Path) -> None:
    given = pod({"name": "v", "emptyDir": {}})
    path = (await volumes.mount(given, Addresses()))["v"].path
    assert path.stat().st_mode & 0o777 == 0o777
    (path / "x").write_text("1")
    assert (await volumes.mount(given, Addresses()))["v"].path == path
    assert (path / "x").read_text() == "1"
    assert volumes.pods_with_folders() == {"u"}
    await volumes.unmount("u")
    assert not path.exists()
    assert volumes.pods_with_folders() == set()
    await volumes.unmount("u")


async def test_an_empty_dir_is_open_to_all_though_a_kubelet_was_killed_while_it_made_it(
    volumes: PodVolumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = pod({"name": "v", "emptyDir": {}})
    with monkeypatch.context() as killed:
        killed.setattr(Path, "chmod", lambda path, mode: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await volumes.mount(given, Addresses())
    path = (await volumes.mount(given, Addresses()))["v"].path
    assert path.stat().st_mode & 0o777 == 0o777


async def test_an_empty_dir_may_be_in_memory(volumes: PodVolumes, folders: PlainFolders) -> None:
    source = {"medium": "Memory", "sizeLimit": "64Mi"}
    path = (await volumes.mount(pod({"name": "v", "emptyDir": source}), Addresses()))["v"].path
    assert folders.memory == {path: 64 << 20}
    await volumes.unmount("u")
    assert folders.memory == {}


async def test_a_path_of_the_node_is_never_removed(volumes: PodVolumes, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    mounted = await volumes.mount(
        pod({"name": "v", "hostPath": {"path": str(theirs), "type": "Directory"}}), Addresses()
    )
    assert mounted["v"].path == theirs
    await volumes.unmount("u")
    assert theirs.exists()
