"""The control groups and limits that flags ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hyperkube_core import SettingsError
from hyperkube_kubelet.cgroups.tree import NoGroups
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.grouping import allocatable_of, groups_of, may_lower_scores, rules_of
from hyperkube_kubelet.options import Options
from hyperkube_machinery.testing.clock import VirtualClock

from .node.test_node import MACHINE
from .pods.harness import Heard

pytestmark = pytest.mark.anyio

FACTS = NodeFacts(
    name="n", ips=("192.0.2.1",), capacity={"cpu": "4", "memory": "8Gi"}, allocatable={"cpu": "4", "memory": "7Gi"}
)


def options(**fields: Any) -> Options:
    return Options(**{"kubeconfig": Path("/nonexistent"), **fields})


async def groups(**fields: Any) -> Any:
    return await groups_of(options(**fields), FACTS, MACHINE, Heard(), VirtualClock(), told_driver="")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"container_runtime": "hollow"},
        {"container_runtime_endpoint": "unix:///run/x.sock", "cgroups_per_qos": False},
    ],
)
async def test_who_keeps_no_tree(fields: dict[str, Any]) -> None:
    assert isinstance(await groups(**fields), NoGroups)


@pytest.mark.parametrize(
    "fields", [{"container_runtime_endpoint": "unix:///run/x.sock"}, {"container_runtime": "process"}]
)
async def test_what_is_wrong_is_told_with_its_flag(fields: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        await groups(cgroup_root="/hk-no-such-group", **fields)
    assert str(caught.value).startswith(("flag --cgroup-root: cgroup ", "flag --cgroups-per-qos: "))


def test_more_can_not_be_reserved_than_there_is() -> None:
    capacity = {"cpu": "4", "memory": "1Gi"}
    with pytest.raises(SettingsError, match="flag --system-reserved: invalid Node Allocatable configuration"):
        allocatable_of(options(system_reserved={"cpu": "5"}), capacity, MACHINE)
    with pytest.raises(SettingsError, match="not a subset of online-cpus"):
        allocatable_of(options(reserved_cpus="17"), capacity, MACHINE)


def test_what_is_left_for_pods() -> None:
    capacity = {"cpu": "4", "memory": "1Gi"}
    reserved = {"kube_reserved": {"cpu": "1", "memory": "24Mi"}, "eviction_hard": {"memory.available": "500Mi"}}
    assert allocatable_of(options(**reserved), capacity, MACHINE) == {"cpu": "3", "memory": "500Mi"}
    hollow = options(container_runtime="hollow", eviction_hard={"memory.available": "500Mi"})
    assert allocatable_of(hollow, capacity, MACHINE) == capacity


def test_flags_become_rules() -> None:
    given = options(cpu_cfs_quota=False, cpu_cfs_quota_period=0.01, memory_swap_behavior="LimitedSwap")
    rules = rules_of(given, FACTS, MACHINE)
    assert (rules.cpu_quota, rules.cpu_period, rules.limited_swap) == (False, 10_000, True)
    assert (rules.memory_capacity, rules.memory_allocatable) == (8 << 30, 7 << 30)


@pytest.mark.parametrize(("mask", "may"), [("000001ffffffffff", True), ("000001fffeffffff", False)])
def test_who_may_lower_scores(tmp_path: Path, mask: str, may: bool) -> None:
    (tmp_path / "status").write_text(f"Name:\tx\nCapEff:\t{mask}\n")
    assert may_lower_scores(tmp_path / "status") is may
