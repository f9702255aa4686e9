"""Paths of the node, and parts of volumes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hyperkube_kubelet.volumes.errors import VolumeFailure
from hyperkube_kubelet.volumes.hostpaths import check_host_path
from hyperkube_kubelet.volumes.manager import Mounted
from hyperkube_kubelet.volumes.mounts import container_mounts
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
    mounts = container_mounts({"name": "c", "volumeMounts": given}, volumes, {"POD": "p"})
    assert [(mount.container_path, mount.host_path, mount.readonly, mount.resolved) for mount in mounts] == [
        ("/data", tmp_path / "ro", True, False),
        ("/etc", tmp_path, True, False),
        ("/data/deep/er", tmp_path / "for-p", False, True),
    ]


def test_a_volume_that_the_pod_lacks_is_told(tmp_path: Path) -> None:
    with pytest.raises(VolumeFailure, match='volume "v"'):
        container_mounts({"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}, {}, {})
