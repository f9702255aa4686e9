"""What the doctor says of container runtimes."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperkube_kubelet.runtime.cri.checks import findings


def test_where_no_runtime_listens_there_is_nothing_to_say(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert list(findings([tmp_path / "none", tmp_path / "file"])) == []


def test_a_runtime_that_answers_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        (found,) = findings([path])
    assert (found.check, found.state) == ("containers", "ok")
    assert f"--set kubelet.container-runtime-endpoint=unix://{path}" in found.detail


def test_a_runtime_that_has_ended_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    (found,) = findings([path])
    assert (found.state, found.detail) == ("warning", f"no container runtime answers at {path}: Connection refused")


@pytest.fixture
def ordinary() -> Iterator[None]:
    """Somebody whom not every file lets in."""
    whose = os.geteuid()
    if whose == 0:
        os.seteuid(65534)
    yield
    os.seteuid(whose)


@pytest.mark.parametrize("closed", ["c.sock", ""])
def test_a_runtime_of_others_is_told_of(closed: str, ordinary: None) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder, "c.sock")
        listener.bind(str(path))
        listener.listen()
        Path(folder, closed).chmod(0)
        (found,) = findings([path])
        Path(folder).chmod(0o700)
    assert found.state == "warning"
    assert "does not let you in" in found.detail
