"""How the node is kept healthy, as flags say it."""

from __future__ import annotations

from hyperkube_core import SettingsError
from hyperkube_kubelet.eviction.evictor import EvictionRules
from hyperkube_kubelet.garbage.containers import ContainerRules
from hyperkube_kubelet.garbage.images import ImageRules
from hyperkube_kubelet.keeping import DISKS_UNWATCHED, KeepingRules
from hyperkube_kubelet.options import DEFAULT_EVICTION, Options
from hyperkube_kubelet.thresholds import parse_thresholds

__all__ = ["hard_thresholds", "keeping_of"]


def hard_thresholds(options: Options) -> dict[str, str]:
    """Hard thresholds by signal: those that are given, merged with the defaults where that is asked for."""
    given = options.eviction_hard
    return {**DEFAULT_EVICTION, **given} if options.merge_default_eviction_settings else given


def keeping_of(options: Options) -> KeepingRules:
    """The rules for a node. Hollow pods use nothing, and nothing goes for their sake. Raises SettingsError."""
    if options.container_runtime == "hollow":
        return DISKS_UNWATCHED
    return KeepingRules(
        eviction=_eviction(options),
        images=_images(options),
        containers=ContainerRules(
            most=options.maximum_dead_containers, least_age=options.minimum_container_ttl_duration
        ),
        disk_seconds=max(0.0, options.volume_stats_agg_period),
    )


def _eviction(options: Options) -> EvictionRules:
    try:
        thresholds = parse_thresholds(
            hard_thresholds(options),
            options.eviction_soft,
            options.eviction_soft_grace_period,
            options.eviction_minimum_reclaim,
            allocatable="pods" in options.enforce_node_allocatable,
        )
    except ValueError as exc:
        name = "eviction-hard" if not options.eviction_soft else "eviction-soft"
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc
    return EvictionRules(
        thresholds=thresholds,
        transition_seconds=options.eviction_pressure_transition_period,
        most_grace_seconds=options.eviction_max_pod_grace_period,
        local_storage=options.local_storage_capacity_isolation,
        wakes_early=options.kernel_memcg_notification,
    )


def _images(options: Options) -> ImageRules:
    high, low = options.image_gc_high_threshold, options.image_gc_low_threshold
    if low >= high:
        name = "image-gc-low-threshold"
        raise SettingsError(name, f"flag --{name}", f"must be less than --image-gc-high-threshold, {high}; it is {low}")
    if options.image_maximum_gc_age and options.image_maximum_gc_age <= options.minimum_image_ttl_duration:
        name = "minimum-image-ttl-duration"
        raise SettingsError(name, f"flag --{name}", "must be less than imageMaximumGCAge of the config file")
    return ImageRules(
        high_percent=high,
        low_percent=low,
        least_age=options.minimum_image_ttl_duration,
        most_age=options.image_maximum_gc_age,
    )
