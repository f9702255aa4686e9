"""Paths of the node, and parts of volumes."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.volumes.hostpaths import check_host_path
from hyperkube_kubelet.volumes.manager import Mounted
from hyperkube_kubelet.volumes.mounts import Givens, MountRefused, container_mounts
from hyperkube_kubelet.volumes.payload import PayloadError
from hyperkube_kubelet.volumes.subpaths import within


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        *(("nothing", "", ""), ("folder", "Directory", ""), ("file", "File", ""), ("socket", "Socket", "")),
        *(("new/folder", "DirectoryOrCreate", ""), ("newfile", "FileOrCreate", ""), ("file", "FileOrCreate", "")),
        *(("nothing", "Directory", "is not a directory"), ("file", "Directory", "is not a directory")),
        *(("folder", "File", "is not a file"), ("folder", "FileOrCreate", "is not a file")),
        *(("file", "Socket", "is not a socket file"), ("file", "CharDevice", "is not a character device")),
        *(("file", "BlockDevice", "is not a block device"), ("file", "DirectoryOrCreate", "is not a directory")),
    ],
)
def test_a_path_of_the_node_is_what_the_volume_says(node: Path, name: str, kind: str, words: str) -> None:
    if words:
        with pytest.raises(PayloadError, match=f"hostPath type check failed: .*{name} {words}"):
            check_host_path(node / name, kind)
    else:
        check_host_path(node / name, kind)
        assert (node / name).exists() or not kind


def test_a_part_that_is_missing_is_made_with_the_mode_of_its_volume(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert within(tmp_path, "a/b", makes=True) == tmp_path / "a" / "b"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o777


def test_a_part_of_what_is_only_read_is_not_made(tmp_path: Path) -> None:
    within(tmp_path, "a", makes=False)
    assert not (tmp_path / "a").exists()


def test_no_link_leads_out_of_the_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "out").symlink_to(tmp_path)
    (volume / "in").symlink_to("there")
    assert within(volume, "in/x", makes=True) == volume / "there" / "x"
    for part in ("out", "out/secret", "../secret", "in/../../secret"):
        with pytest.raises(PayloadError, match="leads out of its volume"):
            within(volume, part, makes=True)
    assert not (tmp_path / "secret").exists()


def test_a_link_that_is_put_in_the_way_of_a_part_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    resolve = os.path.realpath

    def resolve_and_lose_the_race(path: Path) -> str:
        found = resolve(path)
        if path != volume:
            (volume / "part").symlink_to(tmp_path)
        return found

    monkeypatch.setattr("hyperkube_kubelet.volumes.subpaths.os.path.realpath", resolve_and_lose_the_race)
    with pytest.raises(OSError, match=r"directory|links"):
        within(volume, "part/new", makes=True)
    assert not (tmp_path / "new").exists()


def test_mounts_are_made_from_the_outside_in(tmp_path: Path) -> None:
    volumes = {"rw": Mounted(tmp_path), "ro": Mounted(tmp_path / "ro", readonly=True)}
    given = [
        {"name": "rw", "mountPath": "/data/deep/er", "subPathExpr": "for-$(POD)"},
        {"name": "ro", "mountPath": "/data"},
        {"name": "rw", "mountPath": "etc", "readOnly": True},
    ]
    givens = Givens(volumes=volumes, environment={"POD": "p"})
    mounts = container_mounts({"name": "c", "volumeMounts": given}, givens)
    assert [(mount.container_path, mount.host_path, mount.readonly, mount.resolved) for mount in mounts] == [
        ("/data", tmp_path / "ro", True, False),
        ("/etc", tmp_path, True, False),
        ("/data/deep/er", tmp_path / "for-p", False, True),
    ]


def test_a_volume_that_the_pod_lacks_is_told(tmp_path: Path) -> None:
    with pytest.raises(MountRefused, match='cannot find volume "v" to mount into container "c"'):
        container_mounts({"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}, Givens(volumes={}))


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ({"subPath": "/etc"}, "error SubPath `/etc` must not be an absolute path"),
        ({"subPath": "a/../b"}, "unable to provision SubPath `a/../b`: must not contain '..'"),
        ({"subPath": "out"}, 'failed to prepare subPath for volumeMount "v" of container "c"'),
        ({"subPathExpr": "$(B)/$(A)"}, "missing value for A, B"),
        ({"recursiveReadOnly": "Enabled"}, 'volume "v" requested recursive read-only mode, but it is not read-only'),
        ({"recursiveReadOnly": "Enabled", "readOnly": True}, "but it is not supported by the runtime"),
        (
            {"recursiveReadOnly": "IfPossible", "readOnly": True, "mountPropagation": "HostToContainer"},
            'but it is not compatible with propagation "HostToContainer"',
        ),
    ],
)
def test_mounts_that_cant_be_had(tmp_path: Path, mount: dict[str, Any], why: str) -> None:
    (tmp_path / "out").symlink_to("/")
    given = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}
    with pytest.raises(MountRefused) as caught:
        container_mounts(given, Givens(volumes={"v": Mounted(tmp_path)}, environment={"A": ""}))
    assert why in str(caught.value)


def test_a_device_is_refused_by_name() -> None:
    given = {"name": "c", "volumeDevices": [{"name": "disk", "devicePath": "/dev/x"}]}
    with pytest.raises(MountRefused, match='cannot find volume "disk" to pass into container "c"'):
        container_mounts(given, Givens(volumes={}))


def test_recursion_and_images_are_passed_on(tmp_path: Path) -> None:
    read = {"readOnly": True, "recursiveReadOnly": "IfPossible"}
    given = {
        "name": "c",
        "volumeMounts": [{"name": "v", "mountPath": "/v", **read}, {"name": "i", "mountPath": "/i/j", "subPath": "x"}],
    }
    givens = Givens(volumes={"v": Mounted(tmp_path)}, images={"i": "sha256:1"}, recursive=True)
    volume, image = container_mounts(given, givens)
    assert (volume.recursive_readonly, volume.image) == (True, "")
    assert (image.image, image.image_sub_path, image.readonly) == ("sha256:1", "x", True)
    [less] = container_mounts({"name": "c", "volumeMounts": given["volumeMounts"][:1]}, Givens(volumes=givens.volumes))
    assert not less.recursive_readonly
