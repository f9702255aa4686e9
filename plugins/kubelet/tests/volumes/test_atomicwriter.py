"""Files that change in one step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hyperkube_kubelet.volumes.atomicwriter import write_files
from hyperkube_kubelet.volumes.payload import File, Payload, PayloadError


def _files(volume: Path) -> dict[str, bytes]:
    """What a reader finds."""
    found: dict[str, bytes] = {}
    for entry in volume.iterdir():
        if not entry.name.startswith(".."):
            paths = [entry] if entry.is_file() else [path for path in entry.rglob("*") if path.is_file()]
            found |= {str(path.relative_to(volume)): path.read_bytes() for path in paths}
    return found


def _write(volume: Path, payload: Payload) -> bool:
    return write_files(volume, payload, stamp="2026_01_02")


def test_readers_find_the_files_at_their_paths(tmp_path: Path) -> None:
    assert _write(tmp_path / "v", {"a": File(b"1"), "d/e/f": File(b"2", 0o600)})
    assert _files(tmp_path / "v") == {"a": b"1", "d/e/f": b"2"}
    assert (tmp_path / "v/d/e/f").stat().st_mode & 0o777 == 0o600
    assert os.readlink(tmp_path / "v" / "a") == "..data/a"


def test_the_same_files_are_left_alone(tmp_path: Path) -> None:
    _write(tmp_path, {"a": File(b"1")})
    before = os.readlink(tmp_path / "..data")
    assert not _write(tmp_path, {"a": File(b"1")})
    assert os.readlink(tmp_path / "..data") == before


@pytest.mark.parametrize(
    "after", [{"a": File(b"2")}, {"a": File(b"1", 0o400)}, {"b": File(b"1")}, {}, {"a/b": File(b"1")}]
)
def test_a_change_replaces_all_files_at_once(tmp_path: Path, after: Payload) -> None:
    _write(tmp_path, {"a": File(b"1")})
    opened = os.open(tmp_path / "..data", os.O_RDONLY)  # who is in the old folder stays there
    try:
        assert _write(tmp_path, after)
    finally:
        os.close(opened)
    assert _files(tmp_path) == {name: file.data for name, file in after.items()}
    assert len([entry for entry in tmp_path.iterdir() if entry.is_dir() and not entry.is_symlink()]) == 1


def test_a_step_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    _write(tmp_path, {"a": File(b"1"), "b": File(b"2")})
    (tmp_path / "b").unlink()  # as if it had been killed before it made the link
    assert not _write(tmp_path, {"a": File(b"1"), "b": File(b"2")})
    assert _files(tmp_path) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../../b", "..data", "..a/b", "x" * 256])
def test_paths_that_lead_elsewhere_are_refused_and_nothing_is_written(tmp_path: Path, path: str) -> None:
    with pytest.raises(PayloadError):
        _write(tmp_path / "v", {"good": File(b"1"), path: File(b"2")})
    assert not (tmp_path / "v").exists()


def test_a_group_may_read_what_only_the_owner_could(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": File(b"1", 0o400)}, stamp="s", group=os.getgid())
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o440
    assert not write_files(tmp_path, {"a": File(b"1", 0o400)}, stamp="s", group=os.getgid())
