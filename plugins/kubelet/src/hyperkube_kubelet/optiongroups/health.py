"""What keeps the node from running short."""

from __future__ import annotations

from dataclasses import dataclass

from hyperkube_core import flag
from hyperkube_kubelet.optiongroups.checks import (
    DEFAULT_EVICTION,
    check_graces,
    check_hard,
    check_reclaims,
    check_signals,
)

__all__ = ["HealthOptions"]


@dataclass(frozen=True, kw_only=True)
class HealthOptions:
    """What keeps the node from running short."""

    eviction_hard: dict[str, str] = flag(
        dict(DEFAULT_EVICTION),
        section="Health",
        kind="less-than-map",
        check=check_hard,
        metavar="signal<amount",
        help="What the node may have no less of: memory.available, nodefs.available, nodefs.inodesFree,"
        " imagefs.available, imagefs.inodesFree, pid.available, each an amount or a percentage. Below it pods are"
        " evicted at once. Nothing is evicted where it is empty.",
    )
    eviction_soft: dict[str, str] = flag(
        {},
        section="Health",
        kind="less-than-map",
        check=check_signals,
        metavar="signal<amount",
        help="The same, for pods to be evicted after the grace period of the signal.",
    )
    eviction_soft_grace_period: dict[str, str] = flag(
        {},
        section="Health",
        check=check_graces,
        metavar="signal=duration",
        help="How long there may be less than --eviction-soft says.",
    )
    eviction_minimum_reclaim: dict[str, str] = flag(
        {},
        section="Health",
        check=check_reclaims,
        metavar="signal=amount",
        help="How much more there has to be than its threshold before a shortage is over.",
    )
    eviction_pressure_transition_period: float = flag(
        300.0,
        section="Health",
        kind="duration",
        minimum=0,
        help="How long the node's conditions tell of a shortage that is over.",
    )
    eviction_max_pod_grace_period: int = flag(
        0, section="Health", help="How many seconds a pod is given at most that a soft threshold evicts."
    )
    merge_default_eviction_settings: bool = flag(
        False,
        section="Health",
        help="Let --eviction-hard add to what it is unless it is given. Upstream has it in the config file alone.",
    )
    kernel_memcg_notification: bool = flag(
        False,
        section="Health",
        help="Have the kernel tell when memory becomes scarce, rather than to look every ten seconds alone.",
    )
    local_storage_capacity_isolation: bool = flag(
        True,
        section="Health",
        help="Evict pods that take more of the node's disk than their volumes and containers may.",
    )
    image_gc_high_threshold: int = flag(
        85,
        section="Health",
        minimum=0,
        maximum=100,
        help="How many percent of the disk with images may be used before unused ones are removed; 100 for none.",
    )
    image_gc_low_threshold: int = flag(
        80, section="Health", minimum=0, maximum=100, help="How many percent are to be used then."
    )
    minimum_image_ttl_duration: float = flag(
        120.0, section="Health", kind="duration", minimum=0, help="How long an image is kept at least."
    )
    image_maximum_gc_age: float = flag(
        0.0,
        section="Health",
        kind="duration",
        minimum=0,
        help="How long an image is kept that nobody uses; 0 for ever. Upstream has it in the config file alone.",
    )
    volume_stats_agg_period: float = flag(
        60.0,
        section="Health",
        kind="duration",
        help="How often it is measured what pods take of the disk; 0 or less for never.",
    )
