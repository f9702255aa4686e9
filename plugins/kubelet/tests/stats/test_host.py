"""What is read of the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hyperkube_kubelet.cgroups.hierarchies import find_hierarchies
from hyperkube_kubelet.stats.groups import GroupReader
from hyperkube_kubelet.stats.host import Host, filesystem, hierarchies_here

from .machines import machine, write

HERE = Host(Path("/proc"), GroupReader(hierarchies_here()))
MEMINFO = """\
MemTotal:       100 kB
MemFree:         30 kB
Cached:          20 kB
Inactive(file):  10 kB
AnonPages:       25 kB
SwapTotal:       50 kB
SwapFree:        40 kB
"""
INTERFACES = """\
Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0
veth12: 8 8 0 0 0 0 0 0 8 8 0 0 0 0 0 0
  wlan0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0
  eth0: 1000 20 3 4 0 0 0 0 5000 60 7 8 0 0 0 0
"""


def host(root: Path, kind: str | None = "v1") -> Host:
    groups = GroupReader(find_hierarchies(machine(root, kind, "/")) if kind is not None else None)
    write(root / "proc/meminfo", MEMINFO)
    write(root / "proc/stat", "cpu  300 0 200 500 0 0 0 0 0 0\nbtime 1700000000\n")
    write(root / "proc/loadavg", "0.10 0.20 0.30 2/345 6789\n")
    write(root / "proc/sys/kernel/pid_max", "4194304\n")
    write(root / "proc/sys/kernel/threads-max", "1000\n")
    write(root / "proc/net/dev", INTERFACES)
    write(root / "proc/77/net/dev", INTERFACES)
    return Host(root / "proc", groups)


def test_the_root_group_tells_of_the_machine(tmp_path: Path) -> None:
    usage = host(tmp_path).usage(now=1.0)
    assert usage.cpu_nanoseconds == 5 * 10**9
    assert (usage.memory_bytes, usage.working_set_bytes) == (50000, 40000)
    assert usage.available_bytes == 100 * 1024 - 40000


def test_where_no_group_tells_what_is_not_free_is_used(tmp_path: Path) -> None:
    usage = host(tmp_path, None).usage(now=1.0)
    ticks = os.sysconf("SC_CLK_TCK")
    assert usage.cpu_nanoseconds == 500 * 10**9 // ticks
    assert (usage.memory_bytes, usage.working_set_bytes, usage.available_bytes) == (70 * 1024, 60 * 1024, 40 * 1024)
    assert (usage.swap_bytes, usage.swap_available_bytes) == (10 * 1024, 40 * 1024)


def test_processes_are_limited_by_the_smaller_of_both_limits(tmp_path: Path) -> None:
    assert host(tmp_path).processes() == (1000, 345)


def test_interfaces_of_pods_are_not_the_machines(tmp_path: Path) -> None:
    found = host(tmp_path).interfaces()
    assert [one.name for one in found] == ["eth0", "wlan0"]
    first = found[0]
    assert (first.received_bytes, first.received_packets, first.receive_errors, first.receive_dropped) == (
        1000,
        20,
        3,
        4,
    )
    assert (first.sent_bytes, first.sent_packets, first.send_errors, first.send_dropped) == (5000, 60, 7, 8)


def test_a_process_is_asked_for_the_interfaces_that_it_sees(tmp_path: Path) -> None:
    assert [one.name for one in host(tmp_path).interfaces(77)] == ["eth0", "veth12", "wlan0"]
    assert host(tmp_path).interfaces(78) == ()


def test_the_start_of_the_machine(tmp_path: Path) -> None:
    assert host(tmp_path).booted_at() == 1_700_000_000


def test_this_machine_can_be_read() -> None:
    usage = HERE.usage(now=1.0)
    assert usage.available_bytes
    assert usage.cpu_nanoseconds
    assert HERE.own(now=1.0).rss_bytes
    assert HERE.booted_at() > 0


def test_a_file_system_is_what_statvfs_says(tmp_path: Path) -> None:
    found = filesystem(tmp_path, now=3.0)
    stat = os.statvfs(tmp_path)
    assert found is not None
    assert (found.at, found.capacity_bytes) == (3.0, stat.f_blocks * stat.f_frsize)
    assert found.used_bytes is not None
    assert filesystem(tmp_path / "none", now=3.0) is None


@pytest.mark.parametrize("path", ["/proc", "/"])
def test_the_device_of_a_file_system(path: str) -> None:
    assert HERE.device_of(Path(path))
    assert HERE.device_of(Path("/nonexistent")) == ""
