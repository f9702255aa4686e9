"""Finding out what groups a node's pods can have, and making the tree of them.

Source: k8s.io/kubernetes/pkg/kubelet/cm (NewContainerManager, enforceNodeAllocatableCgroups).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hyperkube_kubelet.cgroups.errors import CgroupFailure, CgroupsUnavailable
from hyperkube_kubelet.cgroups.groups import Groups
from hyperkube_kubelet.cgroups.hierarchies import Hierarchies, find_hierarchies
from hyperkube_kubelet.cgroups.names import Driver, Name, described, parse
from hyperkube_kubelet.cgroups.policy import Policy, reserved_settings, whole_settings
from hyperkube_kubelet.cgroups.settings import Settings
from hyperkube_kubelet.cgroups.slices import Slices
from hyperkube_kubelet.cgroups.tree import NODE_GROUP, PodTree
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.quantity import Quantity

__all__ = ["Plan", "Reserved", "pod_groups"]

log = logging.getLogger(__name__)

Told = Callable[[Literal["Normal", "Warning"], str, str], None]
"""Takes what there is to tell of the node: the kind of an event, its reason and its message."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """What is reserved for others than pods, and the group that stands for them."""

    amounts: Mapping[str, str]
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a node was told of its groups."""

    driver: Driver = "cgroupfs"
    root: str = "/"  # where the group of all pods is made; it has to be there
    policy: Policy
    enforce: tuple[str, ...] = ("pods",)  # as --enforce-node-allocatable has it
    capacity: Mapping[str, str]  # of the machine, as quantities
    system: Reserved = Reserved({})
    kube: Reserved = Reserved({})
    memory_reserved_percent: int = 0
    most_pids: int | None = None  # processes that the machine can have
    forbids_version_1: bool = False
    machine: Path = field(default=Path("/"))  # where its files are, for tests


def pod_groups(plan: Plan, clock: Clock, told: Told) -> PodTree:
    """The tree of groups, made and held as the plan says. Blocking.

    Raises CgroupsUnavailable where the machine or this user can't have it, CgroupFailure for what is wrong in the plan.
    """
    hierarchies = find_hierarchies(plan.machine)
    if hierarchies.version == 1 and plan.forbids_version_1:
        raise CgroupFailure(
            "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported"
            " (failCgroupV1, --fail-cgroupv1)"
        )
    if plan.driver == "systemd":
        _check_systemd(plan.machine)
    groups = Groups(hierarchies, plan.driver, Slices(hierarchies.version) if plan.driver == "systemd" else None)
    root = parse(plan.root, "cgroupfs")  # whatever the driver: it is a folder's name
    _check_root(groups, hierarchies, root)
    tree = PodTree(
        groups,
        (*root, NODE_GROUP),
        plan.policy,
        clock,
        memory=Quantity.parse(_left(plan.capacity, plan.system.amounts, plan.kube.amounts).get("memory", "0")).value,
        reserved_percent=plan.memory_reserved_percent,
    )
    tree.start(_whole(plan, hierarchies))
    told("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")
    _hold_reserved(groups, plan, told)
    log.info(
        "pods are in control groups below %s (cgroup %s, %s)", groups.path(tree.top), hierarchies.kind, plan.driver
    )
    return tree


def _whole(plan: Plan, hierarchies: Hierarchies) -> Settings:
    """Without what is reserved where that is to be enforced; what eviction keeps free is the pods' until then."""
    amounts, pids = plan.capacity, plan.most_pids
    if "pods" in plan.enforce:
        amounts = _left(plan.capacity, plan.system.amounts, plan.kube.amounts)
        for reserved in (plan.system.amounts, plan.kube.amounts):
            if pids is not None:
                pids = max(0, pids - Quantity.parse(str(reserved.get("pid", "0"))).value)
    return whole_settings(amounts, pids=pids, sizes=hierarchies.page_sizes)


def _left(whole: Mapping[str, str], *reserved: Mapping[str, str]) -> dict[str, str]:
    left = {}
    for name, amount in whole.items():
        quantity = Quantity.parse(amount)
        for amounts in reserved:
            quantity -= Quantity.parse(str(amounts.get(name, "0")))
        left[name] = str(max(quantity, Quantity(0)))
    return left


def _hold_reserved(groups: Groups, plan: Plan, told: Told) -> None:
    """Hold the groups that stand for what is reserved, which are others', where the plan says to."""
    for words, name, reserved in (("system", "System", plan.system), ("kube", "Kube", plan.kube)):
        for suffix in ("", "-compressible"):
            if f"{words}-reserved{suffix}" not in plan.enforce:
                continue
            group = parse(reserved.group, groups.driver)
            try:
                if missing := groups.missing(group):
                    raise CgroupFailure(f'cgroup "{described(group)}" has some missing paths: {", ".join(missing)}')
                groups.update(group, reserved_settings(reserved.amounts, compressible=bool(suffix)))
            except CgroupFailure as exc:
                kind = f"{name} Reserved Compressible" if suffix else f"{name} Reserved"
                message = f'Failed to enforce {kind} Cgroup Limits on "{reserved.group}": {exc}'
                told("Warning", "FailedNodeAllocatableEnforcement", message)
                raise CgroupFailure(message) from exc
            message = f"Updated limits on {words} reserved cgroup {reserved.group}"
            told("Normal", "NodeAllocatableEnforced", message)


def _check_root(groups: Groups, hierarchies: Hierarchies, root: Name) -> None:
    folders = [mount.joinpath(*root) for mount in hierarchies.mounts]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise CgroupFailure(
            f'cgroup "{described(root)}" has some missing paths: {", ".join(missing)}; make them first, or name another'
            " group with --cgroup-root"
        )
    closed = [str(folder) for folder in folders if not os.access(folder, os.W_OK)]
    if closed and groups.missing((*root, NODE_GROUP)):
        raise CgroupsUnavailable(f"this user may make no control groups in {', '.join(closed)}")


def _check_systemd(machine: Path) -> None:
    """Slices are systemd's: where it is there it is asked for them, and folders of its making elsewhere mislead."""
    try:
        first = (machine / "proc/1/comm").read_text().strip()
    except OSError as exc:
        raise CgroupFailure(f"--cgroup-driver=systemd needs systemd, and process 1 can't be seen: {exc}") from exc
    if first != "systemd":
        raise CgroupFailure(
            f"--cgroup-driver=systemd needs systemd as process 1, which is {first} here: use --cgroup-driver=cgroupfs,"
            " and have the container runtime do the same (containerd: SystemdCgroup = false)"
        )
