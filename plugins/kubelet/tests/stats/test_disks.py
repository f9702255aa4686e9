"""What pods take of the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hyperkube_kubelet.stats.disks import TooLarge, measure_pod, tree_size

from ..builders import UID, pod


def allocated(*paths: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in paths)


def test_a_tree_is_all_that_is_in_it(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("/etc/passwd")
    found = tree_size(tmp_path, seconds=5)
    assert found == (allocated(tmp_path, tmp_path / "a", inner, inner / "file", tmp_path / "link"), 5)


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "one", tmp_path / "two")
    assert tree_size(tmp_path, seconds=5) == (allocated(tmp_path, tmp_path / "one"), 2)


def test_a_hole_takes_no_room(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 30)
    assert tree_size(tmp_path, seconds=5)[0] < 1 << 20


def test_another_file_system_is_left_out() -> None:
    below, _ = tree_size(Path("/proc/self/fdinfo"), seconds=5)
    assert below >= 0
    assert tree_size(Path("/dev"), seconds=5)[1] < 100_000  # /dev/shm and the like are others


def test_walking_ends_when_the_time_is_up(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / str(number)).touch()
    moments = iter(range(1000))
    with pytest.raises(TooLarge, match=r"was not measured in 0\.5 s"):
        tree_size(tmp_path, seconds=0.5, timer=lambda: float(next(moments)))


def test_a_pods_volumes_logs_and_files_are_measured(tmp_path: Path) -> None:
    folder, logs = tmp_path / "pods" / UID, tmp_path / "logs"
    scratch = folder / "volumes/kubernetes.io~empty-dir/scratch"
    settings = folder / "volumes/kubernetes.io~configmap/settings"
    secret = folder / "volumes/kubernetes.io~secret/key"
    stray = folder / "volumes/kubernetes.io~empty-dir/stray"
    for path in (scratch, settings, secret, stray):
        path.mkdir(parents=True)
    (scratch / "data").write_bytes(b"x" * 200_000)
    of_main = logs / f"default_web_{UID}" / "main"
    of_main.mkdir(parents=True)
    (of_main / "0.log").write_bytes(b"x" * 50_000)
    (of_main / "1.log").write_bytes(b"x" * 50_000)
    (folder / "etc-hosts").write_text("127.0.0.1 localhost\n")
    given = pod(
        volumes=[
            {"name": "scratch", "emptyDir": {}},
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "key", "secret": {"secretName": "key"}},
        ]
    )
    found = measure_pod(given, folder, logs, now=7.0, seconds=5)
    volumes = {one.name: one for one in found.volumes}
    assert set(volumes) == {"scratch", "settings", "key"}
    assert volumes["scratch"].filesystem.used_bytes == allocated(scratch, scratch / "data")
    assert volumes["scratch"].filesystem.inodes_used == 2
    assert {name for name, one in volumes.items() if one.local} == {"scratch", "settings"}
    assert found.logs["main"] == (allocated(of_main / "0.log", of_main / "1.log"), 2)
    assert found.files == (allocated(folder / "etc-hosts"), 1)


def test_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    found = measure_pod(pod(), tmp_path / "none", tmp_path / "none", now=7.0, seconds=5)
    assert (found.volumes, found.logs, found.files) == ((), {"": (0, 0)}, (0, 0))
