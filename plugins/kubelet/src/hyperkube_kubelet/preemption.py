"""Which pods make room for one that the cluster can't do without. Pure.

As few as can be, and of those the ones that ask for the least; pods that were promised nothing go first, those that
were promised all of their limits last. Source: k8s.io/kubernetes/pkg/kubelet/preemption.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hyperkube_kubelet.admission import Rejection
from hyperkube_kubelet.podresources import (
    BEST_EFFORT,
    BURSTABLE,
    GUARANTEED,
    Amounts,
    is_critical,
    pod_requests,
    quality_of,
)
from hyperkube_kubelet.podspec import Tree
from hyperkube_machinery.quantity import Quantity

__all__ = ["MESSAGE", "REASON", "preempted"]

REASON = "Preempting"
MESSAGE = "Preempted in order to admit critical pod"

Short = Mapping[str, int]
"""By resource: how much of it has to become free."""

_NOTHING = Quantity(0)


def preempted(pod: Tree, rejections: Sequence[Rejection], others: Sequence[Tree]) -> list[Tree] | Rejection:
    """The pods to be ended so that a critical `pod`, which was rejected, can run; or why it can't all the same."""
    for rejection in rejections:
        if rejection.short is None:
            return rejection
    short = {name: amount for one in rejections if one.short is not None for name, amount in [one.short]}
    candidates = [other for other in others if _gives_way(other, pod)]
    left = _without(short, candidates)
    if left:
        listed = "".join(f"(res: {name}, q: {amount}), " for name, amount in left.items())
        why = f"error finding a set of pods to preempt: no set of running pods found to reclaim resources: [{listed}]"
        message = f"Unexpected error while attempting to recover from admission failure: preemption: {why}"
        return Rejection("UnexpectedAdmissionError", message)
    by_quality = {
        quality: [other for other in candidates if quality_of(other) == quality]
        for quality in (BEST_EFFORT, BURSTABLE, GUARANTEED)
    }
    best, burstable = by_quality[BEST_EFFORT], by_quality[BURSTABLE]
    of_guaranteed = _nearest(by_quality[GUARANTEED], _without(short, [*best, *burstable]))
    of_burstable = _nearest(burstable, _without(short, [*best, *of_guaranteed]))
    of_best = _nearest(best, _without(short, [*of_burstable, *of_guaranteed]))
    return [*of_best, *of_burstable, *of_guaranteed]


def _gives_way(other: Tree, pod: Tree) -> bool:
    if is_critical(pod) and not is_critical(other):
        return True
    mine, theirs = pod["spec"].get("priority"), other["spec"].get("priority")
    return mine is not None and theirs is not None and mine > theirs


def _amount(requests: Amounts, resource: str) -> int:
    if resource == "pods":
        return 1
    amount = requests.get(resource, _NOTHING)
    return amount.milli if resource == "cpu" else amount.value


def _without(short: Short, pods: Iterable[Tree]) -> Short:
    """What is still short once `pods` have ended."""
    left = dict(short)
    for pod in pods:
        requests = pod_requests(pod)
        left = {name: amount - _amount(requests, name) for name, amount in left.items()}
    return {name: amount for name, amount in left.items() if amount > 0}


def _nearest(pods: Sequence[Tree], short: Short) -> list[Tree]:
    """Of `pods`, which have it among them, some that make up for what is short."""
    left, chosen = list(pods), []
    while short:
        best = min(left, key=lambda pod: (_distance(pod, short), *_size(pod)))
        left.remove(best)
        chosen.append(best)
        short = _without(short, [best])
    return chosen


def _distance(pod: Tree, short: Short) -> float:
    """How far a pod is from making up for it, each resource counting the same."""
    requests = pod_requests(pod)
    return sum(max(0.0, 1 - _amount(requests, name) / amount) ** 2 for name, amount in short.items())


def _size(pod: Tree) -> tuple[int, int]:
    requests = pod_requests(pod)
    return _amount(requests, "memory"), _amount(requests, "cpu")
