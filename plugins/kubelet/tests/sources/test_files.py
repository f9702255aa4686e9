"""Pods that are told by files, and the objects that show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.podspec import is_mirror, is_static
from hyperkube_kubelet.sources.files import BadManifest, FileSource, read_manifests, static_pod
from hyperkube_kubelet.sources.mirrors import mirror_for
from hyperkube_machinery.companions import companions
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

FILE = Path("/etc/pods/web.yaml")


def manifest(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "main", "image": "shop"}], **spec},
    }


def made(document: dict[str, Any], file: Path = FILE, node: str = "Node-1") -> dict[str, Any]:
    return static_pod(document, file, node, 0.0)


def test_a_static_pod_is_its_nodes() -> None:
    pod = made(manifest())
    assert (pod["metadata"]["name"], pod["metadata"]["namespace"]) == ("web-node-1", "default")
    assert pod["spec"]["nodeName"] == "Node-1"
    assert is_static(pod)
    assert pod["metadata"]["annotations"]["kubernetes.io/config.hash"] == pod["metadata"]["uid"]
    assert {"operator": "Exists", "effect": "NoExecute"} in pod["spec"]["tolerations"]


def test_its_uid_tells_contents_files_and_nodes_apart() -> None:
    uids = {
        made(manifest())["metadata"]["uid"],
        made(manifest(hostNetwork=True))["metadata"]["uid"],
        made(manifest(), Path("/etc/pods/other.yaml"))["metadata"]["uid"],
        made(manifest(), node="other")["metadata"]["uid"],
    }
    assert len(uids) == 4
    assert made(manifest())["metadata"]["uid"] in uids


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("shop", "Always"),
        ("shop:latest", "Always"),
        ("shop:1", "IfNotPresent"),
        ("host:5000/shop", "Always"),
        ("shop@sha256:1", "IfNotPresent"),
    ],
)
def test_images_are_pulled_as_the_api_server_would_say(image: str, policy: str) -> None:
    pod = made(manifest(containers=[{"name": "main", "image": image}]))
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (manifest(containers=[]), "the pod has no containers"),
        (manifest(containers=[{"name": "main"}]), "each container must have a name and an image"),
        (manifest(serviceAccountName="a"), "static pods can't have serviceAccountName"),
        ({**manifest(), "metadata": {"name": "No_Name"}}, "RFC 1123"),
        ({**manifest(), "metadata": {"name": "a", "uid": "../b"}}, "RFC 1123"),
    ],
)
def test_what_is_no_pod_is_refused(document: dict[str, Any], why: str) -> None:
    with pytest.raises(BadManifest, match=why):
        made(document)


def test_a_folder_has_many_and_bad_ones_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(manifest()))
    (tmp_path / "b.yaml").write_text(
        "kind: Pod\napiVersion: v1\nmetadata: {name: b}\nspec: {containers: [{name: m, image: i}]}"
    )
    for number, text in enumerate(BAD):
        (tmp_path / f"c{number}.yaml").write_text(text)
    (tmp_path / ".d.yaml").write_text(json.dumps(manifest()))
    assert [pod["metadata"]["name"] for pod in read_manifests(tmp_path, "n", 0.0)] == ["web-n", "b-n"]


BAD = (
    "{{{",
    "- a list",
    "kind: Service\napiVersion: v1",
    "kind: Pod\napiVersion: v1\nmetadata: [a]\nspec: {containers: [{name: m, image: i}]}",
    "kind: Pod\napiVersion: v1\nmetadata: {name: b}\nspec: {containers: {name: m}}",
    "kind: Pod\napiVersion: v1\nmetadata: {name: b}\nspec: {containers: [{name: m, image: i, env: 5}]}",
)


def test_changed_files_are_other_pods(tmp_path: Path) -> None:
    told: list[str] = []

    def changed(old: Any, new: Any) -> None:
        told.append(f"{old and old['metadata']['name']} {new and new['metadata']['name']}")

    file = tmp_path / "a.json"
    file.write_text(json.dumps(manifest()))
    source = FileSource(tmp_path, "n", VirtualClock(), 20.0, changed)
    source.read()
    source.read()
    assert (told, source.synced) == (["None web-n"], True)
    file.write_text(json.dumps(manifest(hostNetwork=True)))
    source.read()
    assert told[1:] == ["web-n None", "None web-n"]
    file.unlink()
    source.read()
    assert told[3:] == ["web-n None"]


@pytest.mark.anyio
async def test_a_pod_whose_uid_is_told_changes_with_its_file(tmp_path: Path) -> None:
    told: list[tuple[Any, Any]] = []
    file = tmp_path / "a.json"
    clock = VirtualClock()
    source = FileSource(tmp_path, "n", clock, 20.0, lambda old, new: told.append((old, new)))
    for image in ("one", "two", "two"):
        document = manifest(containers=[{"name": "main", "image": image}])
        file.write_text(json.dumps({**document, "metadata": {**document["metadata"], "uid": "its-own"}}))
        source.read()
        await clock.advance(1.0)
    (first, second), (before, after) = told[0], told[1]
    assert (first, before, len(told)) == (None, second, 2)
    assert after["metadata"]["uid"] == "its-own"
    assert after["spec"]["containers"][0]["image"] == "two"


@pytest.mark.anyio
async def test_files_are_looked_at_again_and_again(tmp_path: Path) -> None:
    told: list[Any] = []
    clock = VirtualClock()
    source = FileSource(tmp_path, "n", clock, 20.0, lambda old, new: told.append(new))
    async with companions(source.follow()):
        await until(lambda: source.synced)
        (tmp_path / "a.json").write_text(json.dumps(manifest()))
        await clock.advance(20.0)
        await until(lambda: told)


def test_a_folder_that_is_not_there_has_no_pods(tmp_path: Path) -> None:
    assert list(read_manifests(tmp_path / "none", "n", 0.0)) == []


def test_a_mirror_is_owned_by_its_node() -> None:
    pod = made(manifest())
    mirror = mirror_for(pod, {"metadata": {"name": "node-1", "uid": "u"}})
    assert is_mirror(mirror)
    assert "uid" not in mirror["metadata"]
    [owner] = mirror["metadata"]["ownerReferences"]
    assert owner == {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "u", "controller": True}
