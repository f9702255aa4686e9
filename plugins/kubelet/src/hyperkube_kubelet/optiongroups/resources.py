"""What pods may have of the machine, and how they are held to it."""

from __future__ import annotations

from dataclasses import dataclass

from hyperkube_core import flag
from hyperkube_kubelet.optiongroups.checks import check_cpus, check_enforcement, check_percentages

__all__ = ["ResourceOptions"]


@dataclass(frozen=True, kw_only=True)
class ResourceOptions:
    """What pods may have of the machine, and how they are held to it."""

    pods_per_core: int = flag(
        0, section="Resources", minimum=0, help="How many pods this node runs at most for each processor; 0 for any."
    )
    cgroups_per_qos: bool = flag(
        True,
        section="Resources",
        help="Keep pods in control groups of their own, by their quality of service. The process runtime does so only"
        " where --cgroup-root is given, and has groups of containers otherwise.",
    )
    cgroup_root: str = flag(
        "",
        section="Resources",
        metavar="group",
        help="The control group that the group of all pods, kubepods, is made in; it has to be there. Without it that"
        " is the root of each hierarchy.",
    )
    cgroup_driver: str = flag(
        "cgroupfs",
        section="Resources",
        choices=("cgroupfs", "systemd"),
        metavar="driver",
        help="How control groups are named and made, where the container runtime doesn't tell.",
    )
    fail_cgroupv1: bool = flag(
        False,
        section="Resources",
        help="Don't run on a machine with cgroup v1. Upstream's doesn't unless told otherwise.",
    )
    enforce_node_allocatable: tuple[str, ...] = flag(
        ("pods",),
        section="Resources",
        metavar="what",
        check=check_enforcement,
        help="What control groups hold to what is reserved: pods, system-reserved, kube-reserved, one of these two with"
        " -compressible, for processor time alone; or none.",
    )
    kube_reserved_cgroup: str = flag(
        "",
        section="Resources",
        metavar="group",
        help="The control group of Kubernetes' own processes, which is held to --kube-reserved where that is enforced.",
    )
    system_reserved_cgroup: str = flag(
        "",
        section="Resources",
        metavar="group",
        help="The control group of the system's processes, which is held to --system-reserved where that is enforced.",
    )
    reserved_cpus: str = flag(
        "",
        section="Resources",
        metavar="list",
        check=check_cpus,
        help="Processors, such as 0-1,3, that pods are not to count on; they go before the cpu in --system-reserved and"
        " --kube-reserved.",
    )
    qos_reserved: dict[str, str] = flag(
        {},
        section="Resources",
        check=check_percentages,
        help="How much of the memory that better pods ask for is kept from the others: memory=50%.",
    )
    cpu_cfs_quota: bool = flag(
        True, section="Resources", help="Hold containers to their limits of processor time by quotas of the kernel."
    )
    cpu_cfs_quota_period: float = flag(
        0.1,
        section="Resources",
        kind="duration",
        minimum=0.001,
        maximum=1,
        help="The time that a quota is given for.",
    )
    pod_max_pids: int = flag(
        -1, section="Resources", minimum=-1, help="How many processes a pod has at most; -1 for any number."
    )
    fail_swap_on: bool = flag(
        False,
        section="Resources",
        help="Don't run on a machine that swaps. Upstream's doesn't unless told otherwise.",
    )
    memory_swap_behavior: str = flag(
        "",
        section="Resources",
        choices=("", "NoSwap", "LimitedSwap"),
        metavar="behavior",
        help="Whether containers of burstable pods may use swap, in proportion to the memory that they ask for"
        " (LimitedSwap, on cgroup v2), or none may. hk's own flag, for memorySwap.swapBehavior of the config file.",
    )
    memory_reservation_policy: str = flag(
        "None",
        section="Resources",
        choices=("None", "TieredReservation"),
        metavar="policy",
        help="Whether the kernel leaves pods the memory that they ask for (TieredReservation, on cgroup v2). hk's own"
        " flag, for memoryReservationPolicy of the config file.",
    )
    memory_throttling_factor: float = flag(
        0.9,
        section="Resources",
        minimum=0.0,
        maximum=1.0,
        help="How far between its request and its limit a container's memory grows before the kernel slows it, where"
        " memory is reserved. hk's own flag, for memoryThrottlingFactor of the config file.",
    )
    single_process_oom_kill: bool = flag(
        False,
        section="Resources",
        help="Let the kernel kill one process of a container that is out of memory and not all of them (cgroup v2; in"
        " v1 it always is so). hk's own flag, for singleProcessOOMKill of the config file.",
    )
