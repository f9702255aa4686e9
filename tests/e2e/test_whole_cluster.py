"""The first cluster again, on real containers: `hk up` as root beside containerd, a session with kubectl, and kills.

`HK_TEST_KILLS` is how often each server, and containerd, is killed; many take longer than a test may (`-o
faulthandler_timeout=0`). The proxy writes to this machine's own table.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import _tools
import pytest
from _cgroups import GroupRoot
from _containerd import Containerd
from _users import User
from _usersclusters import PLAIN, UsersCluster, answers, eventually
from _wheels import Environment

ROUNDS = int(os.environ.get("HK_TEST_KILLS", "1"))
ONE, TWO = "hk.test/one:1", "hk.test/two:1"
SERVERS = ("apiserver", "controller-manager", "scheduler", "kubelet", "proxy")
_KEEPS = ("conntrack-max-per-core", "conntrack-tcp-timeout-established", "conntrack-tcp-timeout-close-wait")
"""What is this machine's own stays as it is."""


class RealCluster(UsersCluster):
    """One whose services are reached at their own addresses, by rules in the kernel."""

    def address(self, service: str) -> tuple[str, int]:
        spec = json.loads(self.kubectl("get", "service", service, "-o", "json"))["spec"]
        return spec["clusterIP"], spec["ports"][0]["port"]

    def containers(self) -> list[str]:
        """The ids of all containers that pods' statuses tell of."""
        items = json.loads(self.kubectl("get", "pods", "-o", "json"))["items"]
        statuses = [one for pod in items for one in pod["status"].get("containerStatuses", ())]
        return sorted(one["containerID"].removeprefix("containerd://") for one in statuses)


@pytest.fixture(scope="module")
def cluster(containerd: Containerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    if "kube-proxy" in tables():
        pytest.skip("a proxy is at work on this machine")
    containerd.load(ONE, command=("sh", "-c", PLAIN))
    containerd.load(TWO, command=("sh", "-c", f"true; {PLAIN}"))
    home = tmp_path_factory.mktemp("root")
    root = User(0, home, Environment(Path(sys.prefix), home), _tools.nft().parent)
    cluster = RealCluster(root, home / "cluster", _tools.kubectl()[0])
    groups = GroupRoot(f"hk-whole-{os.getpid()}")
    groups.make()
    try:
        cluster.up(
            f"--set=kubelet.container-runtime-endpoint={containerd.endpoint}",
            f"--set=kubelet.cgroup-root={groups.path}",
            "--set=proxy.proxy-mode=nftables",
            "--set=proxy.oom-score-adj=0",
            *(f"--set=proxy.{name}=0" for name in _KEEPS),
        )
        yield cluster
        cluster.kubectl("delete", "deployments,pods", "--all", "--grace-period=1", "--timeout=50s")
        eventually(cluster, lambda: not containerd.containers())
    finally:
        cluster.down()
        subprocess.run([sys.executable, "-m", "hyperkube_core", "proxy", "--cleanup"], check=True, capture_output=True)
        groups.remove()
    assert "kube-proxy" not in tables()
    assert str(cluster.folder) not in Path("/proc/self/mountinfo").read_text()


def tables() -> str:
    done = subprocess.run([_tools.nft(), "list", "tables"], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_deployment_becomes_containers_behind_a_service(cluster: RealCluster) -> None:
    for app, image in (("web", ONE), ("second", TWO)):
        cluster.kubectl("create", "deployment", app, f"--image={image}", "--replicas=3")
        cluster.kubectl("rollout", "status", f"deployment/{app}", "--timeout=50s")
        cluster.kubectl("expose", "deployment", app, "--port=80", "--target-port=8080")
        answers(cluster, app, asked=8)
    before = cluster.pods("web")
    cluster.kubectl("set", "image", "deployment/web", f"*={TWO}")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=50s")
    assert not cluster.pods("web") & before
    answers(cluster, "web", asked=8)
    cluster.kubectl("scale", "deployment/web", "--replicas=2")
    eventually(cluster, lambda: cluster.pods("web"), lambda pods: len(pods) == 2)
    gone, kept = sorted(cluster.pods("web"))
    cluster.kubectl("delete", "pod", gone)
    after = eventually(cluster, lambda: cluster.pods("web"), lambda pods: len(pods) == 2)
    assert kept in after
    assert gone not in after
    answers(cluster, "web", asked=8)
    assert cluster.kubectl("exec", kept, "--", "cat", "/etc/hostname").strip() == kept
    assert cluster.kubectl("logs", kept) == ""
    cluster.kubectl("delete", "deployment,service", "web", "second")


@pytest.mark.parametrize("victim", [*SERVERS, "containerd"])
def test_no_pod_is_lost_and_none_is_there_twice_whoever_is_killed(
    cluster: RealCluster, containerd: Containerd, victim: str
) -> None:
    chance = random.Random(victim)
    app = f"kept-{victim}"
    cluster.kubectl("create", "deployment", app, f"--image={ONE}", "--replicas=4")
    cluster.kubectl("rollout", "status", f"deployment/{app}", "--timeout=50s")
    for turn in range(ROUNDS):
        image = (TWO, ONE)[turn % 2]
        cluster.kubectl("set", "image", f"deployment/{app}", f"*={image}")
        time.sleep(chance.random() * 2)  # at any moment of the update
        if victim == "containerd":
            containerd.stop(signal.SIGKILL)
            containerd.start()
        else:
            os.kill(eventually(cluster, lambda: cluster.process_of(victim)), signal.SIGKILL)
        eventually(cluster, lambda image=image: cluster.rolled_out(app, image, replicas=4))  # type: ignore[misc]
        eventually(cluster, cluster.all_ready)
    assert len(cluster.pods(app)) == 4
    eventually(cluster, lambda: (cluster.containers(), running(containerd)), lambda both: both[0] == both[1])
    cluster.kubectl("delete", "deployment", app, "--cascade=foreground", "--timeout=50s")
    eventually(cluster, lambda: not containerd.containers() or None)
    if victim == "containerd":
        containerd.end_strays()


def running(containerd: Containerd) -> list[str]:
    """The containers that run, but for those that sandboxes are made of."""
    rows = [line.split() for line in containerd.ctr("tasks", "ls").splitlines()[1:]]
    pods = containerd.ctr("containers", "ls", "-q", 'labels."io.cri-containerd.kind"==container').split()
    return sorted(row[0] for row in rows if row[2] == "RUNNING" and row[0] in pods)
