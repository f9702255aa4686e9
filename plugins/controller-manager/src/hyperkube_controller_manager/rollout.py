"""How large each replica set of a deployment should be next. Everything here is computed from values.

Source: k8s.io/kubernetes/pkg/controller/deployment/{rolling,recreate,sync}.go and its util package.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hyperkube_controller_manager.podstates import creation_time
from hyperkube_machinery.meta import annotations_of, name

__all__ = [
    "DESIRED",
    "MAXIMUM",
    "Scale",
    "Sized",
    "Wanted",
    "fenceposts",
    "next_new_size",
    "next_old_sizes",
    "proportional_sizes",
    "resolved",
    "scaling_sizes",
]

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


def resolved(amount: int | str | None, total: int, *, up: bool) -> int:
    """An amount, or the percentage `25%` of `total`, rounded up or down; nothing given is 0.

    Raises ValueError for another text.
    """
    if amount is None:
        return 0
    if isinstance(amount, int):
        return amount
    digits = amount.removesuffix("%")
    if digits == amount or not digits.isascii() or not digits.isdigit():
        raise ValueError(f"invalid value for IntOrString: invalid type: string is not a percentage: {amount!r}")
    share = int(digits) * total
    return -(-share // 100) if up else share // 100


def fenceposts(surge: int | str | None, unavailable: int | str | None, desired: int) -> tuple[int, int]:
    """How many pods there may be beyond `desired`, and how many of `desired` may be missing: never both 0.

    Where both come to 0 one may be missing, as a surge may be impossible for lack of quota.
    """
    most = resolved(surge, desired, up=True)
    missing = resolved(unavailable, desired, up=False)
    return (most, missing) if most or missing else (0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a deployment asks for."""

    replicas: int
    rolling: bool = True
    surge: int = 0
    unavailable: int = 0
    observed: int = 0  # how many pods it had, by its status

    @classmethod
    def of(cls, deployment: Mapping[str, Any]) -> Wanted:
        """Raises ValueError for amounts that no validation should have let through."""
        spec, status = deployment["spec"], deployment.get("status") or {}
        replicas, observed = spec.get("replicas", 1), status.get("replicas") or 0
        strategy = spec.get("strategy") or {}
        if strategy.get("type") != "RollingUpdate":
            return cls(replicas=replicas, rolling=False, observed=observed)
        rolling = strategy.get("rollingUpdate") or {}
        surge, unavailable = fenceposts(rolling.get("maxSurge"), rolling.get("maxUnavailable"), replicas)
        return cls(replicas=replicas, surge=surge, unavailable=min(unavailable, replicas), observed=observed)

    @property
    def most(self) -> int:
        """How many pods there may be at once."""
        return self.replicas + self.surge

    @property
    def least_available(self) -> int:
        return self.replicas - self.unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A replica set, as far as its size is concerned."""

    name: str
    replicas: int
    available: int = 0
    created: float = 0.0
    desired: int | None = None  # what the deployment asked for when this was last sized; None where that is not written
    maximum: int | None = None  # and how many pods the deployment might have then

    @classmethod
    def of(cls, replica_set: Mapping[str, Any]) -> Sized:
        return cls(
            name=name(replica_set),
            replicas=replica_set["spec"].get("replicas", 1),
            available=(replica_set.get("status") or {}).get("availableReplicas") or 0,
            created=creation_time(replica_set) or 0.0,
            desired=_count(annotations_of(replica_set).get(DESIRED)),
            maximum=_count(annotations_of(replica_set).get(MAXIMUM)),
        )

    @property
    def age_order(self) -> tuple[float, str]:
        """Sorts the oldest first."""
        return (self.created, self.name)


@dataclass(frozen=True, slots=True)
class Scale:
    """One replica set's next size."""

    name: str
    replicas: int


def _count(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdigit() or int(text) >= 1 << 31:
        return None
    return int(text)


def next_new_size(wanted: Wanted, total: int, current: int) -> int:
    """The size of the new replica set, which has `current` of the `total` pods asked for."""
    if not wanted.rolling or current > wanted.replicas:
        return wanted.replicas
    room = wanted.most - total
    return current + min(room, wanted.replicas - current) if room > 0 else current


def next_old_sizes(wanted: Wanted, new: Sized, old: Iterable[Sized]) -> list[Scale]:
    """The steps by which old replica sets shrink: first by what is not available anyway, then by what can be spared.

    A replica set may be in two steps. What is unavailable of the new one counts as missing, so that a failing new
    version never takes the pods of the old one with it.
    """
    remaining = sorted((one for one in old if one.replicas > 0), key=lambda one: one.age_order)
    total = new.replicas + sum(one.replicas for one in remaining)
    spare = total - wanted.least_available - (new.replicas - new.available)
    if not remaining or spare <= 0:
        return []
    if any(one.available > one.replicas for one in remaining):
        return []  # shrunk a moment ago: what its status tells is not of now
    steps, remaining = _without_unavailable(remaining, spare)
    spare = new.available + sum(one.available for one in remaining) - wanted.least_available
    for one in remaining:
        if spare <= 0:
            break
        if one.replicas > 0:
            gone = min(one.replicas, spare)
            spare -= gone
            steps.append(Scale(one.name, one.replicas - gone))
    return steps


def _without_unavailable(sets: Sequence[Sized], most: int) -> tuple[list[Scale], list[Sized]]:
    steps, left = [], []
    for one in sets:
        gone = min(most, one.replicas - one.available)
        if gone > 0:
            most -= gone
            one = replace(one, replicas=one.replicas - gone)
            steps.append(Scale(one.name, one.replicas))
        left.append(one)
    return steps, left


def scaling_sizes(wanted: Wanted, new: Sized | None, old: Sequence[Sized]) -> list[Scale]:
    """The sizes after the deployment was scaled, or while it is paused: no step of a rollout is taken.

    Of a rolling deployment with several active replica sets all are in the answer, also those that keep their size:
    what was asked for is to be written on each.
    """
    everything = [*sorted(old, key=lambda one: one.age_order, reverse=True), *([new] if new else [])]
    active = [one for one in everything if one.replicas > 0]
    if len(active) <= 1:
        only = active[0] if active else new or (everything[0] if everything else None)
        # One that has the size already is told what was asked for, or the scaling would never be over.
        fits = only is None or (only.replicas == wanted.replicas and only.desired in (None, wanted.replicas))
        return [] if only is None or fits else [Scale(only.name, wanted.replicas)]
    if new is not None and _saturated(wanted, new):
        return [Scale(one.name, 0) for one in old if one.replicas > 0]
    return proportional_sizes(wanted, active) if wanted.rolling else []


def _saturated(wanted: Wanted, new: Sized) -> bool:
    """Whether both sides agree that the new replica set has all pods, and all are available."""
    return new.replicas == new.available == wanted.replicas and new.desired == wanted.replicas


def proportional_sizes(wanted: Wanted, active: Sequence[Sized]) -> list[Scale]:
    """The active replica sets, each with its share of what is gained or lost; the largest takes the rest."""
    allowed = wanted.most if wanted.replicas > 0 else 0
    change = allowed - sum(one.replicas for one in active)
    ordered = sorted(active, key=lambda one: one.age_order, reverse=change > 0)
    if change != 0:
        ordered.sort(key=lambda one: -one.replicas)
    else:
        ordered = list(active)
    sizes, done = [], 0
    for one in ordered:
        share = _share(wanted, one, change, done)
        sizes.append(one.replicas + share)
        done += share
    if sizes and change != 0:
        sizes[0] = max(0, sizes[0] + change - done)
    return [Scale(one.name, size) for one, size in zip(ordered, sizes, strict=True)]


def _share(wanted: Wanted, one: Sized, change: int, done: int) -> int:
    """The part of the whole `change` that falls to one replica set, after `done` of it fell to others."""
    if one.replicas == 0 or change in (0, done):
        return 0
    fraction = _fraction(wanted, one)
    return min(fraction, change - done) if change > 0 else max(fraction, change - done)


def _fraction(wanted: Wanted, one: Sized) -> int:
    if wanted.replicas == 0:
        return -one.replicas
    # Without a note of what it was sized for (somebody removed it), the deployment's last size has to do.
    before = one.maximum or wanted.observed
    return _rounded(one.replicas * wanted.most / before) - one.replicas if before else 0


def _rounded(value: float) -> int:
    """To the nearest whole number, halves away from 0."""
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)
