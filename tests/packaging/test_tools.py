"""Tools that tests need are found, brought or named."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import _tools
import pytest


def test_kubectls_are_listed_newest_first_and_none_twice(kubectls: list[Path]) -> None:
    versions = [_tools.kubectl_version(program) for program in kubectls]
    assert versions == sorted(set(versions), reverse=True)


@pytest.mark.skipif(not _tools._on_debian(), reason="only Debian's packages are unpacked")
def test_a_missing_program_is_unpacked_from_its_package_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tools, "CACHE", tmp_path)
    program = _tools._bring("strace", "strace", packages=("strace", "libunwind8"))
    answer = subprocess.run([program, "-V"], capture_output=True, text=True, check=True)
    assert program.is_relative_to(tmp_path)
    assert "strace -- version" in answer.stdout


@pytest.mark.skipif(not _tools._on_debian(), reason="elsewhere a missing program skips")
def test_a_package_that_cannot_be_had_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tools, "CACHE", tmp_path)

    def refuse(*command: str, cwd: str) -> None:
        raise subprocess.CalledProcessError(100, command, stderr=b"E: no such package")

    monkeypatch.setattr(_tools, "_run", refuse)
    with pytest.raises(pytest.fail.Exception, match=r"strace is missing and `apt-get update` failed: E: no such"):
        _tools._bring("strace", "strace", packages=("strace",))


def test_elsewhere_the_skip_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tools, "CACHE", tmp_path)
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "fedora"})
    with pytest.raises(pytest.skip.Exception, match="kubectl is missing"):
        _tools._bring("kubectl", "kubernetes-client", packages=("kubernetes-client",))
