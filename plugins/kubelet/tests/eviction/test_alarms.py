"""The kernel tells when memory becomes scarce."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hyperkube_kubelet.cgroups.hierarchies import Hierarchies
from hyperkube_kubelet.eviction.alarms import NoAlarm, UsageAlarms, alarms, usage_at
from hyperkube_kubelet.eviction.alarms import _wait as wait_for_pressure
from hyperkube_kubelet.stats.figures import Usage
from hyperkube_kubelet.thresholds import Amount, Threshold
from hyperkube_machinery.testing.waiting import until

from .figures import GI, MI, node_figures

pytestmark = pytest.mark.anyio

MEMORY = Threshold(signal="memory.available", least=Amount(100 * MI))
PODS = Threshold(signal="allocatableMemory.available", least=Amount(share=0.1))


@pytest.mark.parametrize(
    ("usage", "at"),
    [
        (Usage(available_bytes=3 * GI, working_set_bytes=GI, memory_bytes=GI), 4 * GI - 100 * MI),
        (Usage(available_bytes=3 * GI, working_set_bytes=GI, memory_bytes=2 * GI), 5 * GI - 100 * MI),
        (Usage(available_bytes=3 * GI, working_set_bytes=GI), None),
    ],
)
def test_what_the_kernel_counts_includes_what_it_could_take_back(usage: Usage, at: int | None) -> None:
    assert usage_at(MEMORY, usage) == at


async def test_a_threshold_is_set_in_the_group_that_it_is_of(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "kubepods"):
        folder.mkdir(exist_ok=True)
        (folder / "memory.usage_in_bytes").write_text("1")
        (folder / "cgroup.event_control").write_text("")
    rung: list[int] = []
    found = UsageAlarms(tmp_path, tmp_path / "kubepods", lambda: rung.append(1))
    usage = Usage(available_bytes=3 * GI, working_set_bytes=GI, memory_bytes=GI)
    figures = node_figures(all_pods=Usage(available_bytes=GI, working_set_bytes=GI, memory_bytes=GI))
    figures = replace(figures, usage=usage)
    found.aim(figures, [MEMORY, PODS])
    descriptor, _, least = (tmp_path / "cgroup.event_control").read_text().split()
    assert int(least) == 4 * GI - 100 * MI
    assert (tmp_path / "kubepods/cgroup.event_control").read_text().split()[2] == str(2 * GI - 2 * GI // 10)
    os.eventfd_write(int(descriptor), 1)  # as the kernel does
    await until(lambda: rung)
    found.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(int(descriptor))


async def test_a_group_that_takes_no_threshold_is_survived(tmp_path: Path) -> None:
    found = UsageAlarms(tmp_path / "none", None, lambda: None)
    usage = Usage(available_bytes=GI, working_set_bytes=GI, memory_bytes=GI)
    figures = node_figures()
    figures = replace(figures, usage=usage)
    before = set(os.listdir("/proc/self/fd"))
    found.aim(figures, [MEMORY, PODS])
    assert set(os.listdir("/proc/self/fd")) == before


async def test_pressure_is_waited_for_until_it_is_told_to_end() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listening.getsockname())
    served, _ = listening.accept()
    rung: list[int] = []
    ending, end = os.pipe()
    waiting = asyncio.ensure_future(
        asyncio.to_thread(wait_for_pressure, served.fileno(), ending, lambda: rung.append(1))
    )
    client.send(b"!", socket.MSG_OOB)  # what POLLPRI is on a socket
    await until(lambda: rung)
    served.recv(1, socket.MSG_OOB)
    os.write(end, b"x")
    await waiting
    for one in (listening, client, served):
        one.close()
    os.close(ending)
    os.close(end)


async def test_a_machine_that_cannot_tell_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hyperkube_kubelet.eviction.alarms.PRESSURE", tmp_path / "none")
    with alarms(Hierarchies(2, {}), "/kubepods", lambda: None) as found:
        assert isinstance(found, NoAlarm)
        found.aim(node_figures(), [MEMORY])


@pytest.mark.skipif(not os.access("/proc/pressure/memory", os.W_OK), reason="this machine tells of no pressure")
async def test_a_trigger_of_this_machine_is_set_and_given_back() -> None:
    before = set(os.listdir("/proc/self/fd"))
    with alarms(Hierarchies(2, {}), "", lambda: None):
        assert set(os.listdir("/proc/self/fd")) > before
    assert set(os.listdir("/proc/self/fd")) == before


V1 = Path("/sys/fs/cgroup/memory")
HOARDS = "import sys; open(sys.argv[1], 'w').write('0'); x = bytearray(b'x') * (64 << 20); input()"


@pytest.mark.skipif(not os.access(V1 / "cgroup.procs", os.W_OK), reason="no group of version 1 is this user's")
async def test_a_group_of_this_machine_rings_when_it_uses_so_much() -> None:
    group = V1 / f"hk-test-alarm-{os.getpid()}"
    group.mkdir()
    rung: list[int] = []
    found = UsageAlarms(group, None, lambda: rung.append(1))
    # 32 MiB, with what the figures say that there is.
    usage = Usage(available_bytes=32 * MI + 100 * MI, working_set_bytes=0, memory_bytes=0)
    found.aim(replace(node_figures(), usage=usage), [MEMORY])
    try:
        assert not rung
        hoarder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOARDS, str(group / "cgroup.procs"), stdin=asyncio.subprocess.PIPE
        )
        await until(lambda: rung)
        await hoarder.communicate(b"\n")
    finally:
        found.close()
        group.rmdir()
