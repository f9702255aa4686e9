"""The kernel's log, as far as it tells of processes that it killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hyperkube_kubelet.node.kernellog import kernel_followed, system_kills
from hyperkube_machinery.testing.waiting import until

from ..pods.harness import Heard

pytestmark = pytest.mark.anyio

GLOBAL = "3,904,112,-;Out of memory: Killed process 4321 (stress ng) total-vm:1kB, anon-rss:1kB\n"


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (GLOBAL, [(4321, "stress ng")]),
        ("3,9,1,-;Out of memory: Kill process 7 (old) score 900 or sacrifice child\n", [(7, "old")]),
        ("3,9,1,-;Out of memory (oom_kill_allocating_task): Killed process 8 (x) total-vm:1kB\n", [(8, "x")]),
        ("3,9,1,-;Memory cgroup out of memory: Killed process 9 (tail) total-vm:1kB\n", []),
        ("12,9,1,-;Out of memory: Killed process 9 (liar)\n", []),
        ("6,1,0,-;Linux version 6.1\n", []),
        (" SUBSYSTEM=pci\n", []),
        ("", []),
    ],
)
def test_who_was_killed_for_the_machines_memory(record: str, found: list[tuple[int, str]]) -> None:
    assert list(system_kills(record)) == found


async def test_a_kill_is_an_event_of_the_node(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "kmsg")
    heard = Heard()
    async with kernel_followed("n", heard, tmp_path / "kmsg"):
        writer = os.open(tmp_path / "kmsg", os.O_WRONLY)
        try:
            os.write(writer, b"6,1,0,-;hello\n")
            os.write(writer, GLOBAL.encode())
            await until(lambda: heard.told)
        finally:
            os.close(writer)
    assert heard.told == [("SystemOOM", "System OOM encountered, victim process: stress ng, pid: 4321")]


async def test_a_log_that_may_not_be_read_is_told_of_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        async with kernel_followed("n", Heard(), tmp_path / "nothing"):
            pass
    assert "system-wide OOM kills are not told of" in caplog.text
