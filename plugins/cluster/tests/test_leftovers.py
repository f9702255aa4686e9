"""Pods that their kubelet left are ended by way of its agent, and by force where that does not help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hyperkube_cluster import leftovers
from hyperkube_cluster.layout import Layout
from hyperkube_cluster.leftovers import PATIENCE_SECONDS, end_pods
from hyperkube_machinery.clock import SystemClock

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform != "linux", reason="agents are Linux's"),
]

AGENT = """
import json, os, socket, struct, sys
folder, name = os.path.split(sys.argv[1])
os.chdir(folder)
listener = socket.socket(socket.AF_UNIX)
listener.bind(name)
listener.listen()
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    head = connection.recv(4)
    if len(head) == 4:
        request = json.loads(connection.recv(struct.unpack("!I", head)[0]))
        print(request["op"], flush=True)
        if sys.argv[2] == "obeys":
            answer = b'{"ok":{}}'
            connection.sendall(struct.pack("!I", len(answer)) + answer)
            break
        if sys.argv[2] == "refuses":
            answer = b'{"error":{"kind":"Busy","message":"not now"}}'
            connection.sendall(struct.pack("!I", len(answer)) + answer)
"""


class HastyClock(SystemClock):
    """An hour passes with each look at it, since nothing is to be waited for."""

    def __init__(self) -> None:
        self._looks = 0

    def monotonic(self) -> float:
        self._looks += 1
        return self._looks * PATIENCE_SECONDS / 20


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    folder = tmp_path / ("long" * 30)  # longer than a Unix socket's address may be
    made = Layout(folder, "mine")
    made.kubelet.mkdir(parents=True)
    return made


@pytest.fixture
def start(layout: Layout) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    started = []

    def start(manner: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", AGENT, str(layout.pod_network_socket), manner]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


async def test_the_agent_is_asked_and_waited_for(layout: Layout, start: Callable[[str], subprocess.Popen[str]]) -> None:
    agent = start("obeys")
    await end_pods(layout, SystemClock())
    assert agent.wait(10) == 0
    assert agent.stdout is not None
    assert agent.stdout.read() == "end\n"
    assert not layout.pod_network_socket.exists()


async def test_one_that_does_not_end_is_killed(layout: Layout, start: Callable[[str], subprocess.Popen[str]]) -> None:
    agent = start("refuses")
    await end_pods(layout, HastyClock())
    assert agent.wait(10) == -9


async def test_a_socket_that_nobody_listens_on_is_no_agent(
    layout: Layout, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    agent = start("obeys")
    agent.kill()
    agent.wait()
    await end_pods(layout, SystemClock())


async def test_another_process_that_has_the_agents_number_by_now_is_left_alone(
    layout: Layout, start: Callable[[str], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = start("refuses")
    seen = [leftovers._beginning(agent.pid), b"later"]
    monkeypatch.setattr(leftovers, "_beginning", lambda pid: seen.pop(0))
    await end_pods(layout, HastyClock())
    assert agent.poll() is None
