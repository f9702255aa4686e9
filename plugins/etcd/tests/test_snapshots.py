"""Snapshots: what they consist of, and that damaged ones are told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hyperkube_etcd.snapshots import Damaged, check, pieces


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Of a file of some pages."""
    store = tmp_path / "store"
    store.write_bytes(b"0123456789abcdef" * 32 * 700)
    found = list(pieces(store))
    assert [left for _, left in found] == [292864, 227328, 161792, 96256, 30720, 0, 0]
    assert found[-1][0] == hashlib.sha256(store.read_bytes()).digest()
    path = tmp_path / "snapshot"
    path.write_bytes(b"".join(piece for piece, _ in found))
    return path


def test_a_whole_snapshot_passes_and_so_does_a_stores_own_file(snapshot: Path, tmp_path: Path) -> None:
    check(snapshot)
    check(tmp_path / "store")


@pytest.mark.parametrize("size", [358401, 358431, 70000, 40, 31, 1])
def test_half_a_snapshot_is_told(snapshot: Path, size: int) -> None:
    snapshot.write_bytes(snapshot.read_bytes()[:size])
    with pytest.raises(Damaged, match="is not whole"):
        check(snapshot)


def test_a_changed_byte_is_told(snapshot: Path) -> None:
    content = bytearray(snapshot.read_bytes())
    content[70000] ^= 1
    snapshot.write_bytes(content)
    with pytest.raises(Damaged, match="is not whole"):
        check(snapshot)
