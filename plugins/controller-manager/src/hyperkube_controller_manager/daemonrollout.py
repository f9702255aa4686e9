"""Which pods of a daemon set come and go next. Computed from values.

Source: k8s.io/kubernetes/pkg/controller/daemon/{daemon_controller,update}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_controller_manager.controllerrevisions import REVISION_HASH
from hyperkube_controller_manager.daemonnodes import is_current
from hyperkube_controller_manager.podstates import creation_time, is_available, is_ready, node_of, phase
from hyperkube_controller_manager.rollout import resolved
from hyperkube_machinery.meta import deletion_timestamp, generation, labels_of, name

__all__ = ["Daemons", "Step", "daemon_status", "next_placement", "next_update"]

Tree = Mapping[str, Any]


@dataclass(slots=True)
class Step:
    """Nodes that get a pod, and pods that go. `ended` are pods that ended by themselves, as daemons never should."""

    create: list[str] = field(default_factory=list)
    delete: list[Tree] = field(default_factory=list)
    ended: list[tuple[str, Tree]] = field(default_factory=list)  # with the node


@dataclass(frozen=True, slots=True)
class Daemons:
    """A daemon set, the nodes that there are, and its pods by the node that they are on or meant for.

    `eligible` tells of each node what `daemonnodes.Eligibility` does.
    """

    daemon_set: Tree
    eligible: Mapping[str, tuple[bool, bool]]
    pods: Mapping[str, Sequence[Tree]]
    revision_hash: str
    now: float

    @property
    def min_ready_seconds(self) -> int:
        return self.daemon_set["spec"].get("minReadySeconds") or 0

    @property
    def desired(self) -> list[str]:
        """The names of the nodes that should have a pod."""
        return [node for node, (should_run, _) in self.eligible.items() if should_run]

    def available(self, pod: Tree) -> bool:
        return is_available(pod, self.min_ready_seconds, self.now)

    def current(self, pod: Tree) -> bool:
        return is_current(pod, self.daemon_set, self.revision_hash)

    def _amount(self, which: str, total: int) -> int:
        strategy = self.daemon_set["spec"].get("updateStrategy") or {}
        if strategy.get("type") != "RollingUpdate":
            return 0
        return resolved((strategy.get("rollingUpdate") or {}).get(which), total, up=True)

    @property
    def surges(self) -> bool:
        """Whether a node may have two pods for a while."""
        return self._amount("maxSurge", 1) > 0

    def limits(self, desired: int) -> tuple[int, int]:
        """How many nodes may have two pods, and how many none: never both 0."""
        surge, unavailable = self._amount("maxSurge", desired), self._amount("maxUnavailable", desired)
        return (surge, unavailable) if surge or unavailable or not desired else (0, 1)


def _age_order(pod: Tree) -> tuple[bool, float, str]:
    """Sorts bound pods first, then the oldest."""
    return (not node_of(pod), creation_time(pod) or 0.0, name(pod))


def next_placement(daemons: Daemons) -> Step:
    """What makes the pods fit the nodes: none missing, none too much, none where it should not be."""
    step = Step()
    for node in daemons.eligible:
        _place(daemons, node, step)
    # Pods for nodes that are no more, which the scheduler will never bind and nobody else collects.
    for node, pods in daemons.pods.items():
        if node not in daemons.eligible:
            step.delete += [pod for pod in pods if not node_of(pod)]
    return step


def _place(daemons: Daemons, node: str, step: Step) -> None:
    should_run, may_stay = daemons.eligible[node]
    pods = daemons.pods.get(node, ())
    if should_run and not pods:
        step.create.append(node)
    elif not may_stay:
        step.delete += [pod for pod in pods if deletion_timestamp(pod) is None]
    else:
        alive = [pod for pod in pods if deletion_timestamp(pod) is None]
        step.ended += [(node, pod) for pod in alive if phase(pod) in ("Failed", "Succeeded")]
        running = sorted((pod for pod in alive if phase(pod) not in ("Failed", "Succeeded")), key=_age_order)
        if not daemons.surges:
            step.delete += running[1:]
        elif not running and should_run:
            step.create.append(node)
        else:
            step.delete += _surplus(daemons, running)


def _surplus(daemons: Daemons, running: Sequence[Tree]) -> list[Tree]:
    """Of several pods on a node, all but the oldest of each version, and the old one once it has done its duty."""
    if len(running) <= 1:
        return []
    new = [pod for pod in running if labels_of(pod).get(REVISION_HASH) == daemons.revision_hash]
    old = [pod for pod in running if pod not in new]
    surplus = [pod for pod in running if pod not in (*new[:1], *old[:1])]
    if new and old and (not is_ready(old[0]) or daemons.available(new[0])):
        surplus.append(old[0])
    return surplus


def next_update(daemons: Daemons) -> Step:
    """The next step from one version of the template to another, within the limits of the strategy."""
    desired = daemons.desired
    surge, unavailable = daemons.limits(len(desired))
    on_nodes = {**dict.fromkeys(desired, ()), **daemons.pods}
    if surge == 0:
        return _replace(daemons, on_nodes.values(), unavailable)
    return _surge(daemons, on_nodes, len(desired), surge)


def _versions(daemons: Daemons, pods: Iterable[Tree]) -> tuple[list[Tree], list[Tree]]:
    """The pods of the present and of older templates that nobody deletes."""
    alive = [pod for pod in pods if deletion_timestamp(pod) is None]
    new = [pod for pod in alive if daemons.current(pod)]
    return new, [pod for pod in alive if pod not in new]


def _replace(daemons: Daemons, on_nodes: Iterable[Sequence[Tree]], limit: int) -> Step:
    """Delete old pods; the new ones come by `next_placement`. Those that are not available anyway may always go."""
    missing = 0
    broken: list[Tree] = []
    working: list[Tree] = []
    for pods in on_nodes:
        new, old = _versions(daemons, pods)
        if len(new) + len(old) != 1:
            missing += 1  # placement will make or delete one
        elif new:
            missing += not daemons.available(new[0])
        elif not daemons.available(old[0]):
            broken.append(old[0])
            missing += 1
        else:
            working.append(old[0])
    return Step(delete=broken + working[: max(0, limit - missing)])


def _surge(daemons: Daemons, on_nodes: Mapping[str, Sequence[Tree]], desired: int, limit: int) -> Step:
    """Make new pods beside old ones; an old one goes when the new one is available."""
    step, should_run = Step(), set(daemons.desired)
    surging = available = 0
    candidates: list[str] = []
    misplaced: list[Tree] = []
    for node, pods in on_nodes.items():
        new, old = _versions(daemons, pods)
        if len(new) > 1 or len(old) > 1:
            surging += 1
            continue
        available += any(daemons.available(pod) for pod in old or new)
        if not old:
            continue
        if new:
            if daemons.available(new[0]):
                step.delete.append(old[0])
            else:
                surging += 1
        elif node in should_run:
            (candidates if daemons.available(old[0]) else step.create).append(node)
        else:
            (misplaced if daemons.available(old[0]) else step.delete).append(old[0])
    # What runs where it should not goes only as others have come elsewhere: who asks for a surge asks for no gap.
    step.delete += misplaced[: max(0, available - desired)]
    step.create += candidates[: max(0, limit - surging)]
    return step


def daemon_status(daemons: Daemons, *, acted: bool) -> dict[str, Any]:
    """`acted` is whether the present generation was acted upon, and not just looked at."""
    current = daemons.daemon_set.get("status") or {}
    observed = generation(daemons.daemon_set) if acted else current.get("observedGeneration") or 0
    counts = dict.fromkeys(("scheduled", "misscheduled", "ready", "updated", "available"), 0)
    desired = set(daemons.desired)
    for node in daemons.eligible:
        pods = daemons.pods.get(node, ())
        if node not in desired:
            counts["misscheduled"] += bool(pods)
        elif pods:
            pod = min(pods, key=_age_order)
            counts["scheduled"] += 1
            counts["ready"] += is_ready(pod)
            counts["available"] += daemons.available(pod)
            counts["updated"] += daemons.current(pod)
    status = {
        "currentNumberScheduled": counts["scheduled"],
        "desiredNumberScheduled": len(desired),
        "numberMisscheduled": counts["misscheduled"],
        "numberReady": counts["ready"],
    }
    optional = {
        "observedGeneration": observed,
        "updatedNumberScheduled": counts["updated"],
        "numberAvailable": counts["available"],
        "numberUnavailable": len(desired) - counts["available"],
        "collisionCount": current.get("collisionCount"),
        "conditions": current.get("conditions"),
    }
    return {**status, **{key: value for key, value in optional.items() if value}}
