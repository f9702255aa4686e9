"""Clusters that an ordinary user starts with `hk up`, and what runs in them."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar

import _tools
from _images import write_image
from _users import User

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


class UsersCluster:
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

    def status(self, *, check: bool = True) -> Any:
        """What `hk status` says; with `check` the cluster must be ready."""
        done = self.user.run("hk", "status", "--output=json", f"--data-dir={self.folder}")
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def pods(self, app: str) -> set[str]:
        """The names of those that are ready and stay."""
        items = json.loads(self.kubectl("get", "pods", "-l", f"app={app}", "-o", "json"))["items"]
        return {
            pod["metadata"]["name"]
            for pod in items
            if "deletionTimestamp" not in pod["metadata"]
            and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
        }

    def process_of(self, server: str) -> int:
        """The process of a server that is ready, else 0."""
        row = next(row for row in self.status(check=False)["servers"] if row["name"] == server)
        return int(row["pid"] or 0) if row["state"] == "ready" else 0

    def all_ready(self) -> bool:
        return all(row["state"] == "ready" for row in self.status(check=False)["servers"])

    def rolled_out(self, deployment: str, image: str, *, replicas: int) -> bool:
        """Whether all that is declared has come to pass; not while the API server is away."""
        text = self.kubectl("get", "deployment", deployment, "-o", "json", check=False)
        if not text:
            return False
        found = json.loads(text)
        status = found["status"]
        return bool(
            found["spec"]["template"]["spec"]["containers"][0]["image"] == image
            and status.get("observedGeneration") == found["metadata"]["generation"]
            and status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas") == replicas
        )

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


def answers(cluster: UsersCluster, app: str, *, asked: int) -> None:
    """Every ready pod answers in its turn, and nobody else, when the service is `asked` so often for each."""

    def said() -> Counter[str]:
        return Counter(cluster.ask(app) for _ in range(asked * len(cluster.pods(app))))

    eventually(cluster, said, lambda said: set(said) == cluster.pods(app))


@contextmanager
def users_cluster(user: User, name: str, *flags: str) -> Iterator[UsersCluster]:
    """A cluster for the length of the block, of which nothing is left then."""
    cluster = UsersCluster(user, user.home / name, _tools.kubectl()[0])
    try:
        cluster.up(*flags)
        yield cluster
    finally:
        cluster.down()
    assert user.processes() == []
    assert str(cluster.folder) not in Path("/proc/self/mountinfo").read_text()


def make_image(user: User, name: str, script: str) -> Path:
    """An archive that the user can read, with an image whose containers run a script."""
    path = user.home / f"{name}.tar"
    write_image(path, f"{name}:1", busybox=_tools.busybox(), command=["sh", "-c", script])
    return path


def eventually(cluster: UsersCluster, look: Callable[[], T], wanted: Callable[[T], bool] = bool) -> T:
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
