"""What systemd is asked for, and what is made of its answers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hyperkube_kubelet.cgroups.errors import CgroupFailure
from hyperkube_kubelet.cgroups.groups import Groups
from hyperkube_kubelet.cgroups.hierarchies import find_hierarchies
from hyperkube_kubelet.cgroups.settings import Settings
from hyperkube_kubelet.cgroups.slices import Slices, properties_of

from .machines import FakeMachine

ALL = Settings(cpu_shares=1024, cpu_quota=25_000, cpu_period=50_000, memory_bytes=1 << 20, pids=9)
MANAGER = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"]


class Bus:
    """Remembers calls, and answers as it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.complaints: dict[str, str] = {}

    def __call__(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        assert list(words[:6]) == ["busctl", "call", "--quiet", *MANAGER]
        method, *arguments = words[6:]
        self.calls.append((method, *arguments))
        complaint = self.complaints.get(method, "")
        return subprocess.CompletedProcess(words, 1 if complaint else 0, "", complaint)


def test_settings_are_properties() -> None:
    assert {name: value for name, _, (value,) in properties_of(ALL, 2)} == {
        "CPUWeight": "39",
        "CPUQuotaPeriodUSec": "50000",
        "CPUQuotaPerSecUSec": "500000",
        "MemoryMax": str(1 << 20),
        "TasksMax": "9",
    }
    assert {"CPUShares", "MemoryLimit"} <= {name for name, _, _ in properties_of(ALL, 1)}
    unlimited = Settings(cpu_quota=-1, memory_bytes=-1, pids=-1, unified={"memory.low": 5})
    found = {name: value for name, _, (value,) in properties_of(unlimited, 2)}
    assert found["CPUQuotaPerSecUSec"] == found["MemoryMax"] == found["TasksMax"] == str(2**64 - 1)
    assert found["MemoryLow"] == "5"


def test_a_slice_is_started_below_the_one_above_it() -> None:
    bus = Bus()
    Slices(2, bus).start("kubepods-burstable.slice", "kubepods.slice", Settings(pids=9))
    [(method, signature, unit, mode, count, *words)] = bus.calls
    assert (method, signature, unit, mode) == (
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        "kubepods-burstable.slice",
        "replace",
    )
    assert int(count) == 8
    text = " ".join(words)
    assert "DefaultDependencies b false" in text
    assert "Wants as 1 kubepods.slice" in text
    assert text.endswith("TasksMax t 9 0")


def test_a_slice_that_is_there_is_changed() -> None:
    bus = Bus()
    bus.complaints["StartTransientUnit"] = "Call failed: Unit kubepods.slice was already loaded or has a fragment file."
    Slices(2, bus).start("kubepods.slice", "", Settings(pids=9))
    assert bus.calls[-1] == ("SetUnitProperties", "sba(sv)", "kubepods.slice", "true", "1", "TasksMax", "t", "9")


def test_refusals_are_told() -> None:
    bus = Bus()
    bus.complaints = dict.fromkeys(("StartTransientUnit", "SetUnitProperties", "StopUnit"), "Access denied")
    slices = Slices(2, bus)
    with pytest.raises(CgroupFailure, match=r"systemd can't start slice a.slice: Access denied"):
        slices.start("a.slice", "", ALL)
    with pytest.raises(CgroupFailure, match=r"systemd can't change slice a.slice: Access denied"):
        slices.set("a.slice", ALL)
    with pytest.raises(CgroupFailure, match=r"systemd can't stop slice a.slice: Access denied"):
        slices.stop("a.slice")
    bus.complaints["StopUnit"] = "Call failed: Unit a.slice not loaded."
    slices.stop("a.slice")


def test_a_machine_without_busctl_says_so() -> None:
    def missing(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError(2, "No such file or directory", words[0])

    with pytest.raises(CgroupFailure, match=r"systemd can't be asked for slices: .*busctl"):
        Slices(2, missing).set("a.slice", ALL)


def test_groups_are_started_changed_and_stopped_as_slices(machine: FakeMachine) -> None:
    bus = Bus()
    hierarchies = find_hierarchies(machine.root)
    groups = Groups(hierarchies, "systemd", Slices(hierarchies.version, bus))
    name = ("kubepods", "burstable", "pod1-2")
    unit = "kubepods-burstable-pod1_2.slice"
    groups.create(name, ALL)
    groups.update(name, Settings(pids=5))
    assert machine.read("pids", f"/kubepods.slice/kubepods-burstable.slice/{unit}", "pids.max") == "5"
    assert groups.below(name[:-1]) == {name}
    assert groups.remove(name)
    assert groups.remove(name), "there is nothing left to be stopped"
    assert [(method, arguments[1]) for method, *arguments in bus.calls] == [
        ("StartTransientUnit", unit),
        ("SetUnitProperties", unit),
        ("StopUnit", unit),
    ]


@pytest.fixture
def bus_address(tmp_path: Path) -> Iterator[str]:
    """A message bus of the test's own, on which there is no systemd."""
    programs = [shutil.which("busctl"), shutil.which("dbus-daemon")]
    if not all(programs):
        pytest.skip("busctl or dbus-daemon is not installed")
    command = ["dbus-daemon", "--session", "--nofork", f"--address=unix:path={tmp_path}/bus", "--print-address=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as daemon:
        assert daemon.stdout is not None
        yield daemon.stdout.readline().strip()
        daemon.terminate()


def test_busctl_can_make_messages_of_what_it_is_told(bus_address: str) -> None:
    complaints: list[str] = []

    def run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        told = [words[0], f"--address={bus_address}", *words[1:]]
        done = subprocess.run(told, capture_output=True, text=True, timeout=60, check=False)
        complaints.append(done.stderr)
        return subprocess.CompletedProcess(words, 0, "", "")

    slices = Slices(2, run)
    slices.start("kubepods-burstable.slice", "kubepods.slice", ALL)
    slices.set("kubepods.slice", ALL)
    slices.stop("kubepods.slice")
    # Of words that don't fit the types it complains before anything is sent.
    assert [complaint.partition(":")[0] for complaint in complaints] == ["Call failed"] * 3
    run(["busctl", "call", *MANAGER, "StopUnit", "ss", "kubepods.slice"])
    assert complaints[-1].startswith("Too few parameters")
