"""What is read of control groups, on machines of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from hyperkube_kubelet.cgroups.hierarchies import find_hierarchies
from hyperkube_kubelet.stats.figures import Pressure
from hyperkube_kubelet.stats.groups import GroupReader, Transfers

from .machines import CONTAINER, SANDBOX, UID, machine

KINDS = ("v1", "hybrid", "v2")
POD = f"/kubepods/burstable/pod{UID}"


def reader(root: Path) -> GroupReader:
    return GroupReader(find_hierarchies(root))


@pytest.mark.parametrize("kind", KINDS)
def test_usage_is_the_same_whatever_the_version(tmp_path: Path, kind: str) -> None:
    usage = reader(machine(tmp_path, kind, POD)).usage(POD, now=9.0)
    assert usage is not None
    assert usage.at == 9.0
    assert (usage.cpu_nanoseconds, usage.user_nanoseconds, usage.system_nanoseconds) == (
        5 * 10**9,
        3 * 10**9,
        2 * 10**9,
    )
    assert (usage.memory_bytes, usage.working_set_bytes, usage.available_bytes) == (50000, 40000, 60000)
    assert (usage.rss_bytes, usage.cache_bytes, usage.mapped_bytes, usage.swap_bytes) == (25000, 20000, 500, 700)
    assert (usage.page_faults, usage.major_page_faults) == (77, 7)
    assert (usage.processes, usage.threads) == (2, 5)


def test_pressure_is_told_where_the_kernel_does(tmp_path: Path) -> None:
    usage = reader(machine(tmp_path, "v2", POD)).usage(POD, now=9.0)
    assert usage is not None
    assert usage.pressure == {"memory": (Pressure(3000, 1.5, 0.25, 0.0), Pressure(1000, 0.5, 0.0, 0.0))}


@pytest.mark.parametrize("kind", KINDS)
def test_limits_and_what_happened_at_them(tmp_path: Path, kind: str) -> None:
    details = reader(machine(tmp_path, kind, POD)).details(POD)
    assert (details.quota, details.period) == (50000, 100000)
    assert (details.periods, details.throttled_periods, details.throttled_nanoseconds) == (10, 4, 2 * 10**9)
    assert (details.memory_limit, details.swap_limit, details.highest_bytes) == (100000, None, 60000)
    assert (details.failures, details.kills, details.most_threads) == (3, 2, None)
    assert details.transfers == (Transfers("253:0", 4096, 8192, 1, 2),)
    assert details.shares is not None
    assert 490 < details.shares < 515  # version 2 has coarser weights


@pytest.mark.parametrize("kind", KINDS)
def test_a_group_that_is_not_there_has_used_nothing(tmp_path: Path, kind: str) -> None:
    groups = reader(machine(tmp_path, kind, POD))
    assert groups.usage("/kubepods/none", now=9.0) is None
    assert groups.processes("/kubepods/none") == []
    assert groups.details("/kubepods/none").memory_limit is None


def test_a_machine_without_groups_has_none() -> None:
    groups = GroupReader(None)
    assert groups.usage("/", now=1.0) is None
    assert groups.pods("/kubepods") == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("top", "pod", "leaf"),
    [
        ("/kubepods", f"/kubepods/pod{UID}", CONTAINER),
        ("/kubepods", POD, CONTAINER),
        ("/hk/kubepods", f"/hk/kubepods/besteffort/pod{UID}", CONTAINER),
        (
            "/kubepods.slice",
            f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice",
            f"cri-containerd-{CONTAINER}.scope",
        ),
        (
            "/kubepods.slice",
            f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice",
            f"crio-{CONTAINER}.scope",
        ),
    ],
)
def test_pods_and_containers_are_found_as_drivers_name_them(
    tmp_path: Path, kind: str, top: str, pod: str, leaf: str
) -> None:
    sandbox = f"{pod}/{leaf.replace(CONTAINER, SANDBOX)}"
    groups = reader(machine(tmp_path, kind, pod, f"{pod}/{leaf}", sandbox))
    found = groups.pods(top)
    assert set(found) == {UID}
    assert found[UID].path == pod
    assert found[UID].containers == {CONTAINER: f"{pod}/{leaf}", SANDBOX: sandbox}
    assert groups.processes(found[UID].containers[CONTAINER]) == [11, 12]


def test_a_static_pods_uid_is_found_too(tmp_path: Path) -> None:
    uid = "0123456789abcdef0123456789abcdef"
    assert set(reader(machine(tmp_path, "v1", f"/kubepods/pod{uid}")).pods("/kubepods")) == {uid}
