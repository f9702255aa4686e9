"""`hk down` leaves nothing, whatever was killed before it: the cluster's head, its servers, the pods' own process.

`HK_TEST_KILLS` is how many rounds there are; many take longer than a test may (`-o faulthandler_timeout=0`).
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from _tools import kubectl
from _users import User, ordinary_user
from _usersclusters import UsersCluster, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux's")

ROUNDS = int(os.environ.get("HK_TEST_KILLS", "2"))
POD = "sleep 1000001 & sleep 1000002 & wait"


@pytest.fixture(scope="module")
def user(wheels: Mapping[str, Path]) -> Iterator[User]:
    with ordinary_user(wheels) as user:
        yield user


def processes(user: User) -> dict[int, str]:
    """All that runs for the user, in every namespace; where the tests are his own, what is recognizably of them."""
    if os.getuid() == user.uid:
        return {int(line.split()[0]): line for line in user.processes()}
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if entry.stat().st_uid == user.uid and state not in "ZX":
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


@pytest.mark.parametrize(
    "flags",
    [
        ("--mode=process",),
        ("--mode=in-process",),
        ("--mode=process", "--set=kubelet.network=loopback"),
    ],
    ids=["process", "in-process", "loopback"],
)
def test_nothing_is_left_whatever_was_killed(
    user: User, flags: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    cluster = UsersCluster(user, user.home / name, kubectl()[0])
    chosen = random.Random(name)
    before = set(processes(user))
    for number in range(ROUNDS):
        cluster.up(*flags)
        if number == 0:
            shell = ("--", "sh", "-c", POD)
            cluster.kubectl("create", "deployment", "idle", "--image=hk.local/host", "--replicas=2", *shell)
        eventually(cluster, lambda: cluster.pods("idle"), lambda pods: len(pods) == 2)
        running = sorted(set(processes(user)) - before)
        assert len(running) > 5
        for pid in chosen.sample(running, chosen.randint(1, len(running))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        cluster.down()
        left = {pid: line for pid, line in processes(user).items() if pid not in before}
        assert left == {}, f"round {number}"
        assert str(cluster.folder) not in Path("/proc/self/mountinfo").read_text()
    assert cluster.status(check=False)["state"] == "stopped"
