"""Control groups on machines of each kind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperkube_kubelet.cgroups.errors import CgroupFailure, CgroupsUnavailable
from hyperkube_kubelet.cgroups.groups import Groups
from hyperkube_kubelet.cgroups.hierarchies import find_hierarchies, read_mounts
from hyperkube_kubelet.cgroups.settings import Settings
from hyperkube_machinery.testing.waiting import until

from .machines import FakeMachine

pytestmark = pytest.mark.anyio

POD = ("kubepods", "burstable", "pod1-2")
ALL = Settings(
    cpu_shares=1024, cpu_quota=50_000, cpu_period=100_000, memory_bytes=1 << 30, pids=10, hugepages={2 << 20: 4 << 20}
)


def groups_of(machine: FakeMachine) -> Groups:
    return Groups(find_hierarchies(machine.root))


def test_the_kind_of_machine_is_told(machine: FakeMachine) -> None:
    found = find_hierarchies(machine.root)
    assert found.kind == machine.kind
    assert found.version == (2 if machine.kind == "v2" else 1)
    assert {"cpu", "cpuset", "memory", "pids", "hugetlb"} <= found.points.keys()
    assert found.page_sizes == (2 << 20, 1 << 30)


def test_a_machine_without_any_says_so(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("30 23 0:26 / / rw - ext4 /dev/sda rw\n")
    with pytest.raises(CgroupsUnavailable, match="none are mounted"):
        find_hierarchies(tmp_path)


def test_of_two_mounts_of_a_controller_the_shorter_path_is_taken() -> None:
    mounts = """\
31 30 0:27 / /some/where/else/that/is/longer/cpu rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 30 0:28 / /var/lib/x rw - cgroup2 cgroup2 rw
"""
    version, points, beside = read_mounts(mounts)
    assert (version, points["cpu"], points["cpuacct"]) == (1, *[Path("/sys/fs/cgroup/cpu,cpuacct")] * 2)
    assert beside == Path("/var/lib/x")


def test_a_group_is_made_with_those_above_it_and_held(machine: FakeMachine) -> None:
    groups = groups_of(machine)
    assert groups.missing(POD)
    groups.create(POD, ALL)
    assert groups.missing(POD) == []
    path = groups.path(POD)
    if machine.kind == "v2":
        expected = {
            "cpu.weight": "39",
            "cpu.max": "50000 100000",
            "memory.max": str(1 << 30),
            "pids.max": "10",
            "hugetlb.2MB.max": str(4 << 20),
            "hugetlb.1GB.max": "0",
        }
        assert machine.read("cpu", "/kubepods/burstable", "cgroup.subtree_control").startswith("+")
    else:
        expected = {
            "cpu.shares": "1024",
            "cpu.cfs_quota_us": "50000",
            "cpu.cfs_period_us": "100000",
            "memory.limit_in_bytes": str(1 << 30),
            "pids.max": "10",
            "hugetlb.2MB.limit_in_bytes": str(4 << 20),
            "hugetlb.1GB.limit_in_bytes": "0",
            "cpuset.cpus": "0-3",  # without, no process could join
            "cpuset.mems": "0",
        }
    assert {file: machine.read(file.partition(".")[0], path, file) for file in expected} == expected


def test_what_a_group_is_held_to_is_read_back(machine: FakeMachine) -> None:
    groups = groups_of(machine)
    groups.create(POD, ALL)
    held = groups.read(POD)
    assert held is not None
    assert (held.cpu_quota, held.cpu_period, held.memory_bytes) == (50_000, 100_000, 1 << 30)
    assert held.cpu_shares == pytest.approx(1024, rel=0.05)
    groups.update(POD, Settings(cpu_quota=-1, cpu_period=100_000, pids=-1))
    held = groups.read(POD)
    assert held is not None
    assert (held.cpu_quota, held.memory_bytes) == (0, 1 << 30)
    assert machine.read("pids", groups.path(POD), "pids.max") == "max"
    assert groups.memory_usage(POD) == 4096
    assert groups.read(("no", "such")) is None


def test_what_is_not_asked_for_stays(machine: FakeMachine) -> None:
    groups = groups_of(machine)
    groups.create(POD, ALL)
    before = groups.read(POD)
    groups.update(POD, Settings())
    assert groups.read(POD) == before


def test_a_group_goes_with_those_below_it_and_no_other(machine: FakeMachine) -> None:
    groups = groups_of(machine)
    groups.create((*POD, "c1"), Settings())
    groups.create(("kubepods", "burstable", "pod3"), Settings())
    if machine.kind == "hybrid":  # a runtime may have made it there as well
        (machine.mount / "unified/kubepods/burstable/pod1-2").mkdir(parents=True)
        (machine.mount / "unified/kubepods/burstable/pod1-2/cgroup.procs").touch()
    assert groups.below(("kubepods", "burstable")) == {POD, ("kubepods", "burstable", "pod3")}
    assert groups.remove(POD)
    assert machine.groups() == {"/kubepods", "/kubepods/burstable", "/kubepods/burstable/pod3"}
    assert groups.remove(POD), "it is gone already"


def test_a_group_that_a_process_is_in_stays(machine: FakeMachine) -> None:
    groups = groups_of(machine)
    groups.create(POD, Settings())
    machine.busy.update(groups.folders(POD)[:1])
    assert not groups.remove(POD)
    machine.busy.clear()
    assert groups.remove(POD)


def test_a_limit_that_the_kernel_refuses_is_named(machine: FakeMachine) -> None:
    groups = groups_of(machine)
    groups.create(POD, Settings())
    (groups.folder(POD, "pids") / "pids.max").unlink()
    with pytest.raises(CgroupFailure, match=r"pod1-2.*pids\.max can't be set to 7: No such file"):
        groups.update(POD, Settings(pids=7))


def test_a_kernel_without_huge_pages_is_no_failure(machine: FakeMachine) -> None:
    groups = groups_of(machine)
    groups.create(POD, Settings())
    for file in groups.folder(POD, "hugetlb").glob("hugetlb.*"):
        file.unlink()
    groups.update(POD, Settings(hugepages={}))


def _may_make_groups() -> bool:
    try:
        hierarchies = find_hierarchies()
    except CgroupsUnavailable:
        return False
    return all(os.access(mount, os.W_OK) for mount in hierarchies.mounts)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as running:
        yield running
        running.kill()


@pytest.mark.skipif(not _may_make_groups(), reason="this user may make no control groups")
async def test_the_kernel_takes_it_and_what_runs_is_killed(process: subprocess.Popen[bytes]) -> None:
    groups = Groups(find_hierarchies())
    name = (f"hk-test-{os.getpid()}",)
    inner = (*name, "burstable", "pod1")
    try:
        groups.create(inner, Settings(cpu_shares=512, cpu_quota=20_000, cpu_period=50_000, memory_bytes=64 << 20))
        for folder in groups.folders(inner):
            (folder / "cgroup.procs").write_text(str(process.pid))
        held = groups.read(inner)
        assert held is not None
        assert (held.cpu_quota, held.cpu_period, held.memory_bytes) == (20_000, 50_000, 64 << 20)
        groups.update(inner, Settings(cpu_period=10_000, cpu_quota=5_000, cpu_shares=2))
        held = groups.read(inner)
        assert held is not None
        assert (held.cpu_quota, held.cpu_period) == (5_000, 10_000)
        assert groups.processes(name) == {process.pid}
        assert not groups.remove(name)
        groups.kill(name)
        assert process.wait(30) == -9
    finally:
        await until(lambda: groups.remove(name))
    assert all(not folder.exists() for folder in groups.folders(name))
