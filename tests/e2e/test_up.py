"""`hk up` as root, with a container runtime: one flag makes its node's containers real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import _tools
import pytest
from _containerd import BUSYBOX, Containerd

SECONDS = 150


class Up:
    """A cluster of `hk up`, and what is typed beside it."""

    def __init__(self, folder: Path, containerd: Containerd) -> None:
        self.data = folder / "cluster"
        self._environment = {**os.environ, "HOME": str(folder)}
        self._kubectl = [str(_tools.kubectl()[0]), f"--kubeconfig={self.data / 'admin.kubeconfig'}"]
        settings = {
            "container-runtime-endpoint": containerd.endpoint,
            "cgroup-root": containerd.groups.path,
        }
        self._settings = [word for name, value in settings.items() for word in ("--set", f"kubelet.{name}={value}")]

    def hk(self, command: str, *args: str) -> str:
        name = ("--name=real", f"--data-dir={self.data}")
        return self._run([sys.executable, "-m", "hyperkube_core", command, *name, *args])

    def start(self) -> None:
        # The proxy's rules would be in this machine's own kernel, where a real node's may be.
        self.hk("up", "--detach", "--without=proxy", *self._settings)

    def kubectl(self, *args: str) -> str:
        return self._run([*self._kubectl, *args])

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def up(containerd: Containerd, tmp_path: Path) -> Iterator[Up]:
    cluster = Up(tmp_path, containerd)
    cluster.start()
    yield cluster
    cluster.hk("down")
    assert containerd.containers() == []


def test_a_cluster_runs_real_containers(up: Up) -> None:
    node = json.loads(up.kubectl("get", "node", "hk-real", "-o", "json"))
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    up.kubectl("run", "web", f"--image={BUSYBOX}")
    up.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    assert up.kubectl("exec", "web", "--", "hostname") == "web\n"
    up.kubectl("delete", "pod", "web", "--now")
