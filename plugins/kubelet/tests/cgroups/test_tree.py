"""The tree of pods' groups."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hyperkube_kubelet.cgroups.errors import CgroupFailure, CgroupsUnavailable
from hyperkube_kubelet.cgroups.policy import Policy
from hyperkube_kubelet.cgroups.starting import Plan, Reserved, pod_groups
from hyperkube_kubelet.cgroups.tree import PodTree
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

from ..builders import container, pod
from .machines import FakeMachine

pytestmark = pytest.mark.anyio

CAPACITY = {"cpu": "4", "memory": "1Gi"}

Told = list[tuple[str, str, str]]


def plan_of(machine: FakeMachine, **fields: Any) -> Plan:
    return Plan(**{"policy": Policy(), "capacity": CAPACITY, "machine": machine.root, **fields})


def tree_of(machine: FakeMachine, told: Told | None = None, **fields: Any) -> PodTree:
    told = [] if told is None else told
    return pod_groups(plan_of(machine, **fields), VirtualClock(), lambda *what: told.append(what))


def burstable(uid: str, cpu: str) -> dict[str, Any]:
    return pod(container(resources={"requests": {"cpu": cpu}}), uid=uid)


def shares(machine: FakeMachine, group: str) -> str:
    return machine.read("cpu", group, "cpu.weight" if machine.kind == "v2" else "cpu.shares")


def memory(machine: FakeMachine, group: str) -> str:
    return machine.read("memory", group, "memory.max" if machine.kind == "v2" else "memory.limit_in_bytes")


async def test_the_groups_of_all_pods_and_of_qualities_are_made(machine: FakeMachine) -> None:
    told: Told = []
    system = Reserved({"cpu": "500m", "memory": "24Mi", "pid": "10"})
    tree_of(machine, told, system=system, kube=Reserved({"memory": "500Mi"}), most_pids=100)
    assert machine.groups() >= {"/kubepods", "/kubepods/burstable", "/kubepods/besteffort"}
    assert memory(machine, "/kubepods") == str(500 << 20)
    assert machine.read("pids", "/kubepods", "pids.max") == "90"
    assert shares(machine, "/kubepods") == ("137" if machine.kind == "v2" else "3584")
    assert shares(machine, "/kubepods/besteffort") == ("1" if machine.kind == "v2" else "2")
    assert told == [("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")]


async def test_without_enforcement_pods_may_use_the_whole_machine(machine: FakeMachine) -> None:
    tree_of(machine, enforce=("none",), system=Reserved({"memory": "512Mi"}))
    assert memory(machine, "/kubepods") == str(1 << 30)


async def test_pods_have_groups_below_their_quality(machine: FakeMachine) -> None:
    tree = tree_of(machine, driver="cgroupfs")
    for made, path in (
        (pod(container(), uid="a"), "/kubepods/besteffort/poda"),
        (burstable("b", "1"), "/kubepods/burstable/podb"),
        (pod(container(resources={"limits": {"cpu": "1", "memory": "1Mi"}}), uid="c"), "/kubepods/burstable/podc"),
        (pod(container(), uid="d", status={"qosClass": "Guaranteed"}), "/kubepods/podd"),
    ):
        assert tree.parent(made) == path
        assert not tree.exists(made)
        await tree.ensure(made)
        assert tree.exists(made)
    assert tree.leftovers() == {"a", "b", "c", "d"}
    await tree.remove("b")
    await tree.remove("d")
    assert tree.leftovers() == {"a", "c"}
    await tree.remove("never-there")


async def test_burstable_pods_have_what_they_ask_for_together(machine: FakeMachine) -> None:
    tree = tree_of(machine)
    pods = [burstable("a", "1"), burstable("b", "1")]
    async with tree.running(lambda: pods):
        for made in pods:
            await tree.ensure(made)
        wanted = "79" if machine.kind == "v2" else "2048"
        assert shares(machine, "/kubepods/burstable") == wanted
        del pods[0]
        await tree.remove("a")
        assert shares(machine, "/kubepods/burstable") == ("39" if machine.kind == "v2" else "1024")


async def test_a_group_with_a_process_in_it_is_tried_again_and_then_told(machine: FakeMachine) -> None:
    clock = VirtualClock()
    tree = pod_groups(plan_of(machine), clock, lambda *what: None)
    await tree.ensure(burstable("a", "1"))
    machine.busy.update(tree.groups.folders(("kubepods", "burstable", "poda")))
    removing = asyncio.ensure_future(tree.remove("a"))
    async with asyncio.timeout(10):
        while not removing.done():
            await asyncio.to_thread(lambda: None)  # attempts are made in a thread
            await clock.advance(1)
    with pytest.raises(CgroupFailure, match="/kubepods/burstable/poda can't be removed: processes are still in it"):
        await removing
    machine.busy.clear()
    await tree.remove("a")
    assert tree.leftovers() == set()


async def test_groups_of_others_are_left_alone(machine: FakeMachine) -> None:
    tree = tree_of(machine)
    for name in ("podman", "else"):
        tree.groups.create(("kubepods", "burstable", name, "inner"), Policy().pod(burstable("x", "1")))
    tree.groups.create(("podb",), Policy().pod(burstable("x", "1")))
    assert tree.leftovers() == {"man"}, "what is named like a pod's group in this tree is one"
    await tree.remove("b")
    assert "/podb" in machine.groups()


async def test_the_tree_is_found_again_and_its_limits_mended(machine: FakeMachine) -> None:
    await tree_of(machine).ensure(burstable("a", "1"))
    tree = tree_of(machine, system=Reserved({"memory": "512Mi"}))
    assert tree.leftovers() == {"a"}
    assert memory(machine, "/kubepods") == str(512 << 20)


async def test_shares_that_somebody_else_has_changed_are_set_again(machine: FakeMachine) -> None:
    clock = VirtualClock()
    tree = pod_groups(plan_of(machine), clock, lambda *what: None)
    file = "cpu.weight" if machine.kind == "v2" else "cpu.shares"
    least = "1" if machine.kind == "v2" else "2"
    async with tree.running(tuple):
        (tree.groups.folder(("kubepods", "besteffort"), "cpu") / file).write_text("77")
        await clock.advance(61)
        await until(lambda: shares(machine, "/kubepods/besteffort") == least)


async def test_a_root_has_to_be_there(machine: FakeMachine) -> None:
    with pytest.raises(CgroupFailure, match=r'cgroup "\[mine\]" has some missing paths: .*/mine; make them first'):
        tree_of(machine, root="/mine")


async def test_a_root_of_ones_own(machine: FakeMachine) -> None:
    tops = [machine.mount] if machine.kind == "v2" else [path for path in machine.mount.iterdir() if path.is_dir()]
    for top in tops:
        machine._make(top / "mine")
    tree = tree_of(machine, root="/mine")
    assert tree.parent(burstable("a", "1")) == "/mine/kubepods/burstable/poda"
    await tree.ensure(burstable("a", "1"))
    assert not any(name.startswith("/kubepods") for name in machine.groups())


async def test_a_group_that_stands_for_what_is_reserved_is_held_to_that(machine: FakeMachine) -> None:
    told: Told = []
    kube = Reserved({"cpu": "1", "memory": "100Mi"}, "/kube.slice")
    with pytest.raises(CgroupFailure, match=r'Failed to enforce Kube Reserved Cgroup Limits on "/kube.slice"'):
        tree_of(machine, told, kube=kube, enforce=("pods", "kube-reserved"))
    assert told[-1][:2] == ("Warning", "FailedNodeAllocatableEnforcement")
    tree_of(machine).groups.create(("kube.slice",), Policy().pod(burstable("x", "1")))
    tree_of(machine, told, kube=kube, enforce=("pods", "kube-reserved"))
    assert memory(machine, "/kube.slice") == str(100 << 20)
    assert told[-1] == ("Normal", "NodeAllocatableEnforced", "Updated limits on kube reserved cgroup /kube.slice")


async def test_version_1_may_be_forbidden(machine: FakeMachine) -> None:
    if machine.kind == "v2":
        tree_of(machine, forbids_version_1=True)
    else:
        with pytest.raises(CgroupFailure, match="cgroup v1"):
            tree_of(machine, forbids_version_1=True)


async def test_slices_are_not_made_behind_the_back_of_another_first_process(machine: FakeMachine) -> None:
    with pytest.raises(CgroupFailure, match="needs systemd as process 1, which is init here"):
        tree_of(machine, driver="systemd")


async def test_who_may_make_no_groups_is_told_so(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(CgroupsUnavailable, match="this user may make no control groups"):
        tree_of(machine)
