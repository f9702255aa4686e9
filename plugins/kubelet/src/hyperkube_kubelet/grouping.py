"""The control groups that a node's flags ask for, on the machine and the runtime that it has."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from hyperkube_core import SettingsError
from hyperkube_kubelet.cgroups.errors import CgroupFailure, CgroupsUnavailable
from hyperkube_kubelet.cgroups.hierarchies import Hierarchies, counts_swap, find_hierarchies
from hyperkube_kubelet.cgroups.names import Driver
from hyperkube_kubelet.cgroups.policy import Policy
from hyperkube_kubelet.cgroups.starting import Plan, Reserved, pod_groups
from hyperkube_kubelet.cgroups.tree import NoGroups, PodGroups
from hyperkube_kubelet.containers.limits import Rules
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.keepingrules import hard_thresholds
from hyperkube_kubelet.node.machine import Machine
from hyperkube_kubelet.node.reservations import allocatable, eviction_reservation, with_reserved_cpus
from hyperkube_kubelet.options import Options
from hyperkube_kubelet.telling import Recorder, node_reference
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.quantity import Quantity

__all__ = ["allocatable_of", "groups_of", "rules_of"]

log = logging.getLogger(__name__)


def allocatable_of(options: Options, capacity: Mapping[str, str], machine: Machine) -> dict[str, str]:
    """What of `capacity` the flags leave for pods. Raises SettingsError."""
    try:
        system, kube = _reserved(options, machine)
        # Nothing is evicted from a hollow node, so nothing is kept free there.
        thresholds = {} if options.container_runtime == "hollow" else hard_thresholds(options)
        return allocatable(capacity, system, kube, eviction_reservation(thresholds, capacity))
    except ValueError as exc:
        name = "kube-reserved" if options.kube_reserved else "system-reserved"
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc


def _reserved(options: Options, machine: Machine) -> tuple[dict[str, str], dict[str, str]]:
    return with_reserved_cpus(options.reserved_cpus, options.system_reserved, options.kube_reserved, machine.cpus)


def rules_of(options: Options, facts: NodeFacts, machine: Machine) -> Rules:
    """What containers' limits depend on."""
    try:
        hierarchies = find_hierarchies()
    except CgroupsUnavailable:
        hierarchies = Hierarchies(0, {})
    return Rules(
        memory_capacity=machine.memory_bytes,
        memory_allocatable=Quantity.parse(facts.allocatable.get("memory", "0")).value,
        swap_capacity=machine.swap_bytes,
        cpu_quota=options.cpu_cfs_quota,
        cpu_period=round(options.cpu_cfs_quota_period * 1_000_000),
        page_sizes=hierarchies.page_sizes if "hugetlb" in hierarchies.points else (),
        version=hierarchies.version,
        swap_counted=counts_swap(hierarchies),
        limited_swap=options.memory_swap_behavior == "LimitedSwap",
        protects_memory=_protects_memory(options, hierarchies),
        throttling=options.memory_throttling_factor,
        kills_alone=options.single_process_oom_kill,
    )


def _protects_memory(options: Options, hierarchies: Hierarchies) -> bool:
    return options.memory_reservation_policy == "TieredReservation" and hierarchies.version == 2


def _holds_by_quality(options: Options) -> bool:
    """Whether pods are to be in groups by their quality of service.

    The process runtime, which most users run without a right to any, has groups of its own for containers unless a
    place for a tree of them is named.
    """
    if not options.cgroups_per_qos:
        return False
    return options.uses_cri or (options.container_runtime == "process" and bool(options.cgroup_root))


async def groups_of(
    options: Options,
    facts: NodeFacts,
    machine: Machine,
    recorder: Recorder,
    clock: Clock,
    *,
    told_driver: Literal["", "cgroupfs", "systemd"],
) -> PodGroups:
    """The control groups of the node's pods. `told_driver`: the runtime's own, which goes before the flag.

    Raises SettingsError, which names the flag that can't be followed.
    """
    if options.uses_cri and not may_lower_scores():
        # The runtime may have the right, so what is asked of it stays as it is.
        log.warning(
            "this process may not lower the kernel's score of others (CAP_SYS_RESOURCE): where that is so of the"
            " container runtime as well, it has to be told (containerd: restrict_oom_score_adj = true)"
        )
    if not _holds_by_quality(options):
        return NoGroups()
    driver: Driver = told_driver or ("systemd" if options.cgroup_driver == "systemd" else "cgroupfs")
    if told_driver and told_driver != options.cgroup_driver:
        log.info("the container runtime says that its cgroup driver is %s, which goes before the flag", told_driver)
    if options.fail_swap_on and machine.swap_bytes:
        name = "fail-swap-on"
        raise SettingsError(name, f"flag --{name}", "this machine swaps: turn swap off, or give --fail-swap-on=false")
    system, kube = _reserved(options, machine)
    plan = Plan(
        driver=driver,
        root=options.cgroup_root or "/",
        policy=Policy(
            cpu_quota=options.cpu_cfs_quota,
            cpu_period=round(options.cpu_cfs_quota_period * 1_000_000),
            pods_pids=options.pod_max_pids,
            protects_memory=options.memory_reservation_policy == "TieredReservation",
        ),
        enforce=options.enforce_node_allocatable,
        capacity=_held(facts.capacity),
        system=Reserved(system, options.system_reserved_cgroup),
        kube=Reserved(kube, options.kube_reserved_cgroup),
        memory_reserved_percent=int(options.qos_reserved.get("memory", "0%").rstrip("%")),
        most_pids=machine.most_pids,
        forbids_version_1=options.fail_cgroupv1,
    )
    subject = node_reference(facts.name)

    def told(kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        recorder.event(subject, kind, reason, message)

    try:
        return await asyncio.to_thread(pod_groups, plan, clock, told)
    except CgroupsUnavailable as exc:
        name = "cgroups-per-qos"
        why = f"{exc}; run as root, or give --cgroups-per-qos=false --enforce-node-allocatable="
        raise SettingsError(name, f"flag --{name}", why) from exc
    except CgroupFailure as exc:
        name = "cgroup-root"
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc


def may_lower_scores(status: Path = Path("/proc/self/status")) -> bool:
    """Whether this process has CAP_SYS_RESOURCE, without which it can spare nobody when memory runs out."""
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return True  # nothing is known
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_SYS_RESOURCE & 1)


_CAP_SYS_RESOURCE = 24


def _held(capacity: Mapping[str, str]) -> dict[str, str]:
    """Of what a machine has, what control groups hold to."""
    return {
        name: amount for name, amount in capacity.items() if name in ("cpu", "memory") or name.startswith("hugepages-")
    }
