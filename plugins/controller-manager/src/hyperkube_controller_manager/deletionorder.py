"""Which of its pods an owner gives up first.

Source: ActivePods and ActivePodsWithRanks of k8s.io/kubernetes/pkg/controller/controller_utils.go.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from typing import Any

from hyperkube_controller_manager.podstates import creation_time, is_active, is_ready, node_of, phase, ready_since
from hyperkube_machinery.meta import annotations_of, uid

__all__ = ["DELETION_COST", "active_order", "deletion_cost", "first_to_delete"]

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}

Pod = Mapping[str, Any]


def first_to_delete(pods: Sequence[Pod], related: Sequence[Pod], count: int, *, now: float) -> list[Pod]:
    """The `count` of `pods` whose loss costs least, cheapest first.

    `related` are all pods of the owner's replica sets: of two pods otherwise alike the one goes that shares its node
    with more of them. Times are compared on a logarithmic scale, as seen from `now` (seconds since the epoch), and
    pods of one rank by their random UIDs, so that not always the youngest pods, all in one zone, are the ones to go.
    """
    if count >= len(pods):
        return list(pods)
    crowds = Counter(node_of(pod) for pod in related if is_active(pod))
    candidates = [_Candidate(pod, crowds[node_of(pod)], now) for pod in pods]
    candidates.sort(key=cmp_to_key(_compare))
    return [candidate.pod for candidate in candidates[:count]]


def active_order(pod: Pod) -> tuple[Any, ...]:
    """Sorts first what a job gives up first: pods that are early, not ready, young or often restarted."""
    ready, created = ready_since(pod), creation_time(pod)
    containers, sidecars = _restarts(pod)
    return (
        bool(node_of(pod)),
        _PHASES.get(phase(pod), 0),
        is_ready(pod),
        -math.inf if ready is None else -ready,
        -containers,
        -sidecars,
        -math.inf if created is None else -created,
    )


def deletion_cost(pod: Pod) -> int:
    """What the pod's annotation says that its loss costs; 0 where it says nothing that can be read."""
    text = annotations_of(pod).get(DELETION_COST, "")
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or (digits != "0" and digits.startswith("0")):
        return 0
    cost = int(text)
    return cost if -(1 << 31) <= cost < 1 << 31 else 0


class _Candidate:
    """A pod with what it is compared by, found once."""

    __slots__ = ("age", "assigned", "cost", "crowd", "phase", "pod", "ready", "ready_age", "restarts", "uid")

    def __init__(self, pod: Pod, crowd: int, now: float) -> None:
        self.pod = pod
        self.crowd = crowd
        self.assigned = bool(node_of(pod))
        self.phase = _PHASES.get(phase(pod), 0)
        self.ready = is_ready(pod)
        self.cost = deletion_cost(pod)
        self.restarts = _restarts(pod)
        self.uid = uid(pod)
        self.ready_age = _age(ready_since(pod), now)
        self.age = _age(creation_time(pod), now)


def _age(since: float | None, now: float) -> float | None:
    return None if since is None else now - since


def _restarts(pod: Pod) -> tuple[int, int]:
    """The most restarts of a container, and of a sidecar."""
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    sidecars = {one["name"] for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"}
    containers = max((one.get("restartCount") or 0 for one in status.get("containerStatuses") or ()), default=0)
    started = (one for one in status.get("initContainerStatuses") or () if one.get("name") in sidecars)
    return containers, max((one.get("restartCount") or 0 for one in started), default=0)


def _compare(one: _Candidate, other: _Candidate) -> int:
    """Negative where `one` goes before `other`."""
    # Unassigned, early and unready pods go first, then cheap ones.
    left = (one.assigned, one.phase, one.ready, one.cost, -one.crowd)
    right = (other.assigned, other.phase, other.ready, other.cost, -other.crowd)
    if left != right:
        return -1 if left < right else 1
    if one.ready and one.ready_age != other.ready_age:
        return _younger(one.ready_age, other.ready_age, one, other)
    if one.restarts != other.restarts:
        return -1 if one.restarts > other.restarts else 1
    if one.age != other.age:
        return _younger(one.age, other.age, one, other)
    return 0


def _younger(age: float | None, other_age: float | None, one: _Candidate, other: _Candidate) -> int:
    """Compare by the order of magnitude of two different ages; what has no age is youngest."""
    if age is None or other_age is None:
        return -1 if age is None else 1
    difference = _magnitude(age) - _magnitude(other_age)
    if difference:
        return difference
    return -1 if one.uid < other.uid else 1


def _magnitude(age: float) -> int:
    nanoseconds = age * 1e9
    return int(math.log2(nanoseconds)) if nanoseconds > 0 else -1
