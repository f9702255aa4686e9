"""Every server is killed at random moments of rolling updates, under load; what is declared comes to pass all the same.

`HK_TEST_KILLS` is how often each is killed; more than a few take longer than a test may (`-o faulthandler_timeout=0`).
"""

from __future__ import annotations

import json
import os
import random
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection

import pytest
from _users import User
from _usersclusters import PLAIN, UsersCluster, eventually, make_image, users_cluster

from hyperkube_machinery import kubeconfig

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux's")

ROUNDS = int(os.environ.get("HK_TEST_KILLS", "3"))
SERVERS = ("apiserver", "controller-manager", "scheduler", "kubelet", "proxy")

# Holds one connection through a service's address, and ends, to be started anew, if that ever breaks.
HOLDING = "while :; do echo alive; sleep 0.1; done | nc $ECHO_SERVICE_HOST $ECHO_SERVICE_PORT"
ECHO = "trap 'exit 0' TERM; while :; do nc -l -p 9000 -e cat & wait; done"


@dataclass
class Load:
    """Requests that a service is sent all the time, each on a connection of its own."""

    asked: int = 0
    failed: list[float] = field(default_factory=list)  # when, by the monotonic clock
    answered: float = 0.0  # when, last

    def ask(self, host: str, port: int) -> None:
        connection = HTTPConnection(host, port, timeout=5)
        self.asked += 1
        try:
            connection.request("GET", "/index.html", headers={"Connection": "close"})
            if connection.getresponse().read():
                self.answered = time.monotonic()
                return
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        self.failed.append(time.monotonic())


@dataclass
class Writes:
    """Objects that are created all the time, and those of them that the API server has acknowledged."""

    acknowledged: list[str] = field(default_factory=list)

    def write(self, context: ssl.SSLContext, port: int, name: str) -> None:
        body = json.dumps({"metadata": {"name": name}}).encode()
        connection = HTTPSConnection("127.0.0.1", port, context=context, timeout=5)
        try:
            connection.request(
                "POST", "/api/v1/namespaces/default/configmaps", body, {"Content-Type": "application/json"}
            )
            if connection.getresponse().status == 201:
                self.acknowledged.append(name)
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()


@contextmanager
def always(do: Callable[[], None]) -> Iterator[None]:
    """Do it again and again for the length of the block."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.02):
            do()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("mode", ["nftables", "userspace"])
def test_what_is_declared_comes_to_pass_whichever_server_is_killed(user: User, mode: str) -> None:
    chance = random.Random(1)
    with users_cluster(user, f"kills-{mode}", f"--set=proxy.proxy-mode={mode}") as cluster:
        for name, script in (("one", PLAIN), ("two", f"true; {PLAIN}"), ("echo", ECHO), ("holding", HOLDING)):
            user("hk", "image", "load", str(make_image(user, name, script)), f"--data-dir={cluster.folder}")
        cluster.kubectl("create", "deployment", "echo", "--image=echo:1")
        cluster.kubectl("expose", "deployment", "echo", "--port=9000")
        cluster.kubectl("rollout", "status", "deployment/echo", "--timeout=50s")
        cluster.kubectl("run", "holding", "--image=holding:1")
        cluster.kubectl("wait", "pod/holding", "--for=condition=Ready", "--timeout=50s")
        cluster.kubectl("create", "deployment", "web", "--image=one:1", "--replicas=3")
        cluster.kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=50s")
        eventually(cluster, lambda: cluster.ask("web"))
        load, writes = Load(), Writes()
        host, port = cluster.address("web")
        access = kubeconfig.read(cluster.folder / "admin.kubeconfig")
        context, api = access.ssl_context(), int(access.server.rpartition(":")[2])
        numbers = iter(range(1 << 30))
        slowest = 0.0
        with (
            always(lambda: load.ask(host, port)),
            always(lambda: writes.write(context, api, f"written-{next(numbers)}")),
        ):
            for turn in range(ROUNDS * len(SERVERS)):
                server = SERVERS[turn % len(SERVERS)]
                victim = eventually(cluster, lambda server=server: cluster.process_of(server))  # type: ignore[misc]
                image = ("two:1", "one:1")[turn % 2]
                eventually(cluster, lambda image=image: _told(cluster, image))  # type: ignore[misc]
                time.sleep(chance.random() * 1.5)  # at any moment of the update
                os.kill(victim, signal.SIGKILL)
                killed = time.monotonic()
                eventually(cluster, lambda image=image: cluster.rolled_out("web", image, replicas=3))  # type: ignore[misc]
                eventually(cluster, cluster.all_ready)
                if server == "proxy":
                    eventually(cluster, lambda killed=killed: load.answered > killed)  # type: ignore[misc]
                    slowest = max(slowest, *(at - killed for at in load.failed if at > killed), 0.0)
                    load.failed.clear()
        names = set(cluster.kubectl("get", "configmaps", "-o", "name").splitlines())
        lost = [name for name in writes.acknowledged if f"configmap/{name}" not in names]
        assert not lost
        assert len(writes.acknowledged) > ROUNDS
        pods = json.loads(cluster.kubectl("get", "pods", "-o", "json"))["items"]
        restarts = {pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods}
        if mode == "nftables":
            assert restarts["holding"] == 0, "a connection through rules broke"
        assert len([name for name in restarts if name.startswith("web-")]) == 3
        print(
            f"\n{mode}: {ROUNDS} kills each, {load.asked} requests, {len(writes.acknowledged)} writes; until a service"
            f" answered again after its proxy was killed: {slowest:.2f} s at most"
        )


def _told(cluster: UsersCluster, image: str) -> bool:
    """Declare an image; the API server may be on its way back."""
    return bool(cluster.kubectl("set", "image", "deployment/web", f"*={image}", "-o", "name", check=False))
