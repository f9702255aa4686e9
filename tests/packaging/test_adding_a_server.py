"""What the README promises first: installing a distribution adds its server, and removing it takes it away."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import _wheels
import pytest
from _wheels import Environment

SERVERS = {
    "apiserver": "hyperkube-apiserver",
    "controller-manager": "hyperkube-controller-manager",
    "etcd": "hyperkube-etcd",
    "kubelet": "hyperkube-kubelet",
    "proxy": "hyperkube-proxy",
    "scheduler": "hyperkube-scheduler",
}


def test_a_server_is_there_once_its_distribution_is(environment: Environment, wheels: Mapping[str, Path]) -> None:
    environment.install(wheels["hyperkube-core"])
    absent = environment.run("hk", "kubelet", "--help")
    assert absent.returncode == 2
    assert "Server not found: kubelet" in absent.stderr

    # pip would find the library that the server needs by its name; here it is told by its path.
    environment.install(wheels["hyperkube-kubelet"], wheels["hyperkube-machinery"])
    there = environment.run("hk", "kubelet", "--help")
    assert there.returncode == 0, there.stderr
    assert "--hostname-override" in there.stdout
    assert environment.run("hk", "image", "list").returncode == 0  # a command that came along

    _wheels.run_uv("pip", "uninstall", "--python", str(environment.program("python")), "hyperkube-kubelet")
    assert environment.run("hk", "kubelet", "--help").returncode == 2


@pytest.mark.parametrize("server", SERVERS)
def test_each_server_is_that_of_its_distribution(
    core_environment: Environment, server: str, wheels: Mapping[str, Path]
) -> None:
    answer = core_environment.run("hk", server)
    assert answer.returncode == 2
    assert f"Server not found: {server}" in answer.stderr
    assert SERVERS[server] in wheels


def test_a_cluster_names_what_it_lacks(environment: Environment, wheels: Mapping[str, Path]) -> None:
    environment.install(wheels["hyperkube-core"])
    nothing = environment.run("hk", "up")
    assert nothing.returncode == 2
    assert "'pip install hyperkube-cluster' adds that" in nothing.stderr

    environment.install(wheels["hyperkube-cluster"], wheels["hyperkube-machinery"])
    alone = environment.run("hk", "up")
    assert alone.returncode == 2
    assert "needs the server 'apiserver': pip install hyperkube-apiserver" in alone.stderr

    environment.install(wheels["hyperkube-apiserver"])
    up = environment.run("hk", "up", "--detach", "--output=json")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        for server in SERVERS.keys() - {"apiserver", "etcd"}:  # a cluster of hk's keeps its objects by itself
            assert f"pip install {SERVERS[server]}" in up.stdout
    finally:
        down = environment.run("hk", "down", "--delete")
    assert down.stdout == "cluster 'default' is deleted\n"
