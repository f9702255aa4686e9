"""The first cluster: an ordinary user's Deployment becomes containers behind a Service, and goes without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar

import _tools
import pytest
from _images import write_image
from _users import User, ordinary_user

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux's")

T = TypeVar("T")
PATIENCE_SECONDS = 60

# Each answers with its pod's name; the one knows nothing of where it runs, the other reads its address. Both end when
# they are asked to, as the first process of a container does only if it says so.
ENDS = "trap 'kill $!; exit 0' TERM; {} & wait"
PLAIN = "mkdir -p /tmp/www; hostname > /tmp/www/index.html; " + ENDS.format("httpd -f -p 0.0.0.0:8080 -h /tmp/www")
AWARE = (
    "folder=${TMPDIR:-/tmp}/www-$POD_NAME; mkdir -p $folder; echo $POD_NAME > $folder/index.html;"
    " echo serving on $POD_IP; " + ENDS.format("httpd -f -p $POD_IP:8080 -h $folder")
)


@pytest.fixture(scope="module")
def user(wheels: Mapping[str, Path]) -> Iterator[User]:
    with ordinary_user(wheels) as user:
        yield user
        assert user.processes() == []


class Cluster:
    """One of the user's clusters."""

    def __init__(self, user: User, folder: Path, kubectl: Path) -> None:
        self.user = user
        self.folder = folder
        self._kubectl = kubectl
        self._addresses: dict[str, tuple[str, int]] = {}

    def up(self, *flags: str) -> str:
        return self.user("hk", "up", "--detach", f"--data-dir={self.folder}", *flags)

    def down(self) -> None:
        self.user("hk", "down", f"--data-dir={self.folder}")

    def kubectl(self, *args: str, check: bool = True) -> str:
        home = self.folder.parent / f"kubectl-{self.folder.name}"
        done = subprocess.run(
            [str(self._kubectl), f"--kubeconfig={self.folder / 'admin.kubeconfig'}", *args],
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"kubectl {' '.join(args)}:\n{done.stdout}{done.stderr}\n{self.state()}"
        )
        return done.stdout

    def state(self) -> str:
        """What the cluster looks like, for who reads of a failure."""
        wide = self.kubectl("get", "pods,deployments,services,endpointslices,nodes", "-o", "wide", check=False)
        events = self.kubectl("get", "events", check=False)
        logs = "".join(
            f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-25:]) + "\n"
            for path in sorted((self.folder / "logs").glob("*.log"))
        )
        return f"{wide}\n{events}\n{logs}"

    def status(self) -> Any:
        return json.loads(self.user("hk", "status", "--output=json", f"--data-dir={self.folder}"))

    def pods(self, app: str) -> set[str]:
        """The names of those that are ready and stay."""
        items = json.loads(self.kubectl("get", "pods", "-l", f"app={app}", "-o", "json"))["items"]
        return {
            pod["metadata"]["name"]
            for pod in items
            if "deletionTimestamp" not in pod["metadata"]
            and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
        }

    def address(self, service: str) -> tuple[str, int]:
        """Where the host reaches a service's first port, which stays the same."""
        if service in self._addresses:
            return self._addresses[service]
        rows = self.status()["sections"]["services"]
        found = next(row for row in rows if row["service"] == f"default/{service}")
        host, _, port = found["address"].rpartition(":")
        self._addresses[service] = host, int(port)
        return host, int(port)

    def ask(self, service: str) -> str:
        """What the service answers, on a connection of its own."""
        host, port = self.address(service)
        connection = HTTPConnection(host, port, timeout=10)
        try:
            connection.request("GET", "/index.html", headers={"Connection": "close"})
            return connection.getresponse().read().decode().strip()
        finally:
            connection.close()


@pytest.fixture
def start(user: User) -> Iterator[Callable[..., Cluster]]:
    started: list[Cluster] = []

    def start(name: str, *flags: str) -> Cluster:
        cluster = Cluster(user, user.home / name, _tools.kubectl()[0])
        started.append(cluster)
        cluster.up(*flags)
        return cluster

    yield start
    for cluster in started:
        cluster.down()
        assert user.processes() == []
        assert str(cluster.folder) not in Path("/proc/self/mountinfo").read_text()


@pytest.fixture(scope="module")
def archive(user: User, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """An image archive that the user can read, whose containers run a script."""

    def make(name: str, script: str) -> Path:
        path = user.home / f"{name}.tar"
        write_image(path, f"{name}:1", busybox=_tools.busybox(), command=["sh", "-c", script])
        return path

    return make


def eventually(cluster: Cluster, look: Callable[[], T], wanted: Callable[[T], bool] = bool) -> T:
    """What `look` sees once it is what is wanted; a failed connection counts as not yet."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        seen: T | None
        try:
            seen = look()
        except (OSError, HTTPException, StopIteration):
            seen = None
        if seen is not None and wanted(seen):
            return seen
        assert time.monotonic() < end, f"it did not come to pass; last seen: {seen!r}\n{cluster.state()}"
        time.sleep(0.05)  # what the cluster does is told by nothing else


def answers(cluster: Cluster, app: str) -> None:
    """Every ready pod answers in its turn, and nobody else."""

    def asked() -> Counter[str]:
        return Counter(cluster.ask(app) for _ in range(2 * len(cluster.pods(app))))

    eventually(cluster, asked, lambda said: set(said) == cluster.pods(app))


def deploy(cluster: Cluster, app: str, image: str) -> None:
    cluster.kubectl("create", "deployment", app, f"--image={image}", "--replicas=3")
    cluster.kubectl("rollout", "status", f"deployment/{app}", "--timeout=50s")
    cluster.kubectl("expose", "deployment", app, "--port=80", "--target-port=8080")
    eventually(cluster, lambda: cluster.ask(app))
    assert len(cluster.pods(app)) == 3
    answers(cluster, app)


def change(cluster: Cluster, app: str, image: str) -> None:
    """What is declared comes to pass, whatever happens to it."""
    before = cluster.pods(app)
    cluster.kubectl("set", "image", f"deployment/{app}", f"*={image}")
    cluster.kubectl("rollout", "status", f"deployment/{app}", "--timeout=50s")
    assert not cluster.pods(app) & before
    answers(cluster, app)
    cluster.kubectl("scale", f"deployment/{app}", "--replicas=2")
    eventually(cluster, lambda: cluster.pods(app), lambda pods: len(pods) == 2)
    gone, kept = sorted(cluster.pods(app))
    cluster.kubectl("delete", "pod", gone)
    after = eventually(cluster, lambda: cluster.pods(app), lambda pods: len(pods) == 2)
    assert kept in after
    assert gone not in after
    answers(cluster, app)


@pytest.mark.parametrize("mode", ["process", "in-process"])
def test_a_deployment_becomes_containers_behind_a_service(
    start: Callable[..., Cluster], archive: Callable[[str, str], Path], mode: str
) -> None:
    cluster = start(mode, f"--mode={mode}")
    for name, script in (("plain", PLAIN), ("other", PLAIN.replace("hostname >", "echo other; hostname >"))):
        cluster.user("hk", "image", "load", str(archive(name, script)), f"--data-dir={cluster.folder}")
    deploy(cluster, "web", "plain:1")
    deploy(cluster, "second", "other:1")
    change(cluster, "web", "other:1")
    pod = sorted(cluster.pods("web"))[0]
    assert cluster.kubectl("logs", pod).splitlines() == ["other"]
    if _tools.kubectl_version(cluster._kubectl) >= (1, 31):  # older ones speak SPDY alone
        assert cluster.kubectl("exec", pod, "--", "cat", "/etc/hostname").strip() == pod
        assert cluster.kubectl("exec", pod, "--", "sh", "-c", "exit 3", check=False) == ""


def test_pods_that_read_their_address_need_no_network_of_their_own(start: Callable[..., Cluster]) -> None:
    cluster = start("loopback", "--set=kubelet.network=loopback")
    busybox = os.fspath(_tools.busybox())
    names = {"POD_NAME": "metadata.name", "POD_IP": "status.podIP"}
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "image": "hk.local/host",
                            "command": ["/bin/sh", "-c", AWARE.replace("httpd -f", f"{busybox} httpd -f")],
                            "env": [
                                {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
                                for name, path in names.items()
                            ],
                            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                        }
                    ]
                },
            },
        },
    }
    path = cluster.folder.parent / "loopback.json"
    path.write_text(json.dumps(manifest))
    cluster.kubectl("apply", "-f", str(path))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=50s")
    cluster.kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
    eventually(cluster, lambda: cluster.ask("web"))
    answers(cluster, "web")
    pod = sorted(cluster.pods("web"))[0]
    assert cluster.kubectl("logs", pod).startswith("serving on 127.")
