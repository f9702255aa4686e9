"""Which thresholds are met, for how long, and what the node is to say of it. Pure.

    observed ─▶ met, or not yet recovered by its reclaim ─▶ since when ─▶ beyond its grace ─▶ to be acted on
                              └─▶ conditions, which last `transition_seconds` longer
Source: k8s.io/kubernetes/pkg/kubelet/eviction (synchronize, helpers.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hyperkube_kubelet.eviction.signals import CONDITIONS, Observation, Observations
from hyperkube_kubelet.thresholds import RESOURCES, Signal, Threshold

__all__ = ["Judgement", "Memory", "judge", "met"]


@dataclass(frozen=True, slots=True)
class Memory:
    """What has to be known of the last time."""

    since: Mapping[Threshold, float] = field(default_factory=dict)  # met without a break, in seconds of a steady clock
    unresolved: tuple[Threshold, ...] = ()  # acted on, and not recovered
    conditions: Mapping[str, float] = field(default_factory=dict)  # when each was last so
    observed: Mapping[Signal, Observation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from what was seen."""

    conditions: frozenset[str]  # of the node, that are true
    crossed: tuple[Threshold, ...]  # the ones to act on, the most urgent first
    memory: Memory


def judge(
    thresholds: Iterable[Threshold],
    observations: Observations,
    before: Memory,
    *,
    now: float,
    transition_seconds: float,
) -> Judgement:
    """Judge anew, `before` being what the last judgement said to remember."""
    under = met(thresholds, observations)
    under += [one for one in met(before.unresolved, observations, reclaimed=True) if one not in under]
    since = {one: before.since.get(one, now) for one in under}
    conditions = {**before.conditions, **{CONDITIONS[RESOURCES[one.signal]]: now for one in under}}
    conditions = {name: at for name, at in conditions.items() if name in _told(under) or now - at < transition_seconds}
    due = [one for one, at in since.items() if now - at >= one.grace_seconds]
    # Of one figure nobody is evicted twice: who is being stopped is in it still.
    fresh = [one for one in due if _is_newer(observations[one.signal], before.observed.get(one.signal))]
    ordered = sorted(fresh, key=lambda one: RESOURCES[one.signal] != "memory")
    memory = Memory(since, tuple(due), conditions, dict(observations))
    return Judgement(frozenset(conditions), tuple(ordered), memory)


def met(thresholds: Iterable[Threshold], observations: Observations, *, reclaimed: bool = False) -> list[Threshold]:
    """The thresholds that there is less than; `reclaimed`: or than what is to be there once it is over."""
    return [
        one
        for one in thresholds
        if (seen := observations.get(one.signal)) is not None
        and seen.available < one.least.of(seen.capacity) + (one.reclaim.of(seen.capacity) if reclaimed else 0)
    ]


def _told(thresholds: Sequence[Threshold]) -> set[str]:
    return {CONDITIONS[RESOURCES[one.signal]] for one in thresholds}


def _is_newer(seen: Observation, last: Observation | None) -> bool:
    return last is None or not seen.at or seen.at > last.at
