"""A third party ships a launcher under its own name, in three lines, with servers of its own and of others."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path

import _wheels
import pytest
from _wheels import Environment

BRAND = Path(__file__).parent / "brand"

BEGINNING = """\
This is an all-in-one binary that can run any of the various Kubernetes-Mesos
servers.

Usage

  km <server> [flags]

Servers

  apiserver
    The main API entrypoint and interface to the storage system. The API server
    is also the focal point for all authorization decisions.

  minion
    A server of km's own, which nobody else has.

"""

END = """
Call 'km --make-symlinks' to create symlinks for each server in the local directory.
Call 'km <server> --help' for help on a specific server.
"""


@pytest.fixture(scope="module")
def branded(tmp_path_factory: pytest.TempPathFactory, wheels: Mapping[str, Path]) -> Environment:
    folder = tmp_path_factory.mktemp("brand")
    made = Environment.create(folder)
    needed = ("hyperkube-core", "hyperkube-machinery", "hyperkube-apiserver")
    made.install(*(wheels[name] for name in needed), _wheels.build(BRAND, folder))
    return made


def test_a_launcher_is_three_lines() -> None:
    statements = ast.parse((BRAND / "src/brand/launcher.py").read_text()).body
    assert len(statements) == 3  # the import, the text, the function that the command calls


def test_its_help_is_its_own(branded: Environment) -> None:
    answer = branded.run("km", "--help")
    assert answer.returncode == 0
    assert answer.stdout.startswith(BEGINNING)
    assert answer.stdout.endswith(END)
    assert " hk" not in answer.stdout


def test_it_runs_a_server_of_its_own(branded: Environment) -> None:
    with branded.running("km", "minion", until="minion: ready") as server:
        status, _ = server.stop()
    assert status == 0


def test_its_version_is_its_own(branded: Environment) -> None:
    assert branded.run("km", "minion", "--version").stdout == "minion 2.5\n"


def test_its_settings_have_its_name(branded: Environment) -> None:
    answer = branded.run("km", "apiserver", "--print-config=json", KM_APISERVER_SECURE_PORT="7443")
    setting = json.loads(answer.stdout)["settings"]["secure-port"]
    assert setting == {"value": 7443, "source": "environment KM_APISERVER_SECURE_PORT"}


def test_servers_of_others_are_not_its_own(branded: Environment) -> None:
    answer = branded.run("km", "kube-apiserver")
    assert answer.returncode == 2
    assert "Server not found: kube-apiserver" in answer.stderr


def test_its_servers_are_not_those_of_hk(branded: Environment) -> None:
    answer = branded.run("hk", "minion")
    assert answer.returncode == 2
    assert "Server not found: minion" in answer.stderr


def test_an_installed_server_is_offered_under_its_brand(branded: Environment) -> None:
    answer = branded.run("km", "apiserver", "--help")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("The main API entrypoint and interface to the storage system.")
    assert "--secure-port" in answer.stdout


def test_it_links_its_servers(branded: Environment) -> None:
    answer = branded.run("km", "--make-symlinks", "--dir", str(branded.home))
    assert answer.returncode == 0, answer.stderr
    assert sorted(path.name for path in branded.home.iterdir() if path.is_symlink()) == ["apiserver", "minion"]
