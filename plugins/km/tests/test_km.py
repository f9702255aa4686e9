"""km, as whoever installed it meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

HELP = """\
This is an all-in-one binary that can run any of the various Kubernetes-Mesos
servers.

Usage

  km <server> [flags]

Servers

  apiserver
    The main API entrypoint and interface to the storage system. The API server
    is also the focal point for all authorization decisions.

  controller-manager
    Brings the cluster's state to what is declared: its controllers look after
    replicas, the endpoints of services, and nodes.

  proxy
    Runs on each node, and takes what is sent to services on to one of their
    pods.

"""

END = """
Call 'km --make-symlinks' to create symlinks for each server in the local directory.
Call 'km <server> --help' for help on a specific server.
"""

PROGRAM = Path(sys.executable).with_name("km")


def km(*args: str, folder: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HK_", "KM_", "HYPERKUBE_"))}
    return subprocess.run(
        [PROGRAM, *args],
        env={**kept, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_its_help_is_the_originals() -> None:
    answer = km("--help")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith(HELP)
    assert answer.stdout.endswith(END)


@pytest.mark.parametrize("server", ["scheduler", "executor", "minion"])
def test_what_talks_to_mesos_is_not_there_yet(server: str) -> None:
    answer = km(server)
    assert answer.returncode == 2
    assert f"Server not found: {server}" in answer.stderr


@pytest.mark.parametrize(
    ("server", "arguments", "setting", "value"),
    [
        ("proxy", ("--kubeconfig=none",), "proxy-mode", {"value": "userspace", "source": "default"}),
        ("proxy", ("--kubeconfig=none", "--proxy-mode=nftables"), "proxy-mode", {"value": "nftables"}),
        ("apiserver", (), "bind-address", {"value": "127.0.0.1", "source": "default"}),
        ("controller-manager", ("--kubeconfig=none",), "concurrent-gc-syncs", {"value": 20, "source": "default"}),
    ],
)
def test_its_servers_are_hks_with_its_own_defaults(
    server: str, arguments: Sequence[str], setting: str, value: dict[str, object]
) -> None:
    answer = km(server, *arguments, "--print-config=json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)["settings"][setting]
    assert found == {**found, **value}


def test_its_variables_have_its_name() -> None:
    answer = km("proxy", "--kubeconfig=none", "--print-config=json", KM_PROXY_PROXY_MODE="nftables")
    found = json.loads(answer.stdout)["settings"]["proxy-mode"]
    assert found == {"value": "nftables", "source": "environment KM_PROXY_PROXY_MODE"}


def test_it_links_its_servers(tmp_path: Path) -> None:
    answer = km("--make-symlinks", "--dir", str(tmp_path))
    assert answer.returncode == 0, answer.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["apiserver", "controller-manager", "proxy"]


def test_it_imports_public_names_alone() -> None:
    import ast

    import hyperkube_core
    import hyperkube_km

    folder = Path(hyperkube_km.__file__).parent
    imported = {
        (node.module, alias.name)
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    ours = {(module, name) for module, name in imported if module and module.startswith("hyperkube")}
    assert {module for module, _ in ours} == {"hyperkube_core"}
    assert {name for _, name in ours} <= set(hyperkube_core.__all__)
