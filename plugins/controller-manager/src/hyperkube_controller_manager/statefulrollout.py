"""Which pods of a stateful set come and go next. Computed from values.

One after the other, in the order of their numbers: a pod comes when all before it serve, and goes when all after it are
gone; or, with the policy Parallel, all at once.
Source: k8s.io/kubernetes/pkg/controller/statefulset/stateful_set_control.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_controller_manager.controllerrevisions import REVISION_HASH
from hyperkube_controller_manager.podstates import is_available, is_ready, phase
from hyperkube_controller_manager.statefulpods import first_ordinal, ordinal_of
from hyperkube_machinery.meta import deletion_timestamp, generation, labels_of, name

__all__ = ["StatefulView", "Steps", "next_steps", "stateful_status"]

Tree = Mapping[str, Any]


@dataclass(slots=True)
class Steps:
    """Numbers that get a pod, each with whether it is of the current or the newer revision, and pods that go."""

    create: list[tuple[int, bool]] = field(default_factory=list)
    delete: list[Tree] = field(default_factory=list)
    look_at: list[Tree] = field(default_factory=list)  # whose identity, storage and claims are to be right


@dataclass(frozen=True, slots=True)
class StatefulView:
    """A stateful set and its pods; `current` and `update` are the names of the revisions it comes from and goes to."""

    stateful_set: Tree
    pods: Sequence[Tree]
    current: str
    update: str
    now: float

    @property
    def replicas(self) -> int:
        return self.stateful_set["spec"].get("replicas", 1)  # type: ignore[no-any-return]

    @property
    def ordinals(self) -> range:
        first = first_ordinal(self.stateful_set)
        return range(first, first + self.replicas)

    def by_ordinal(self) -> dict[int, Tree]:
        return {ordinal: pod for pod in self.pods if (ordinal := ordinal_of(name(pod))[1]) >= 0}

    def condemned(self) -> list[Tree]:
        """The pods that are too many, highest number first."""
        found = sorted(self.by_ordinal().items(), reverse=True)
        return [pod for ordinal, pod in found if ordinal not in self.ordinals]

    def serves(self, pod: Tree | None) -> bool:
        """Whether the pod has been ready for long enough, and nobody deletes it."""
        if pod is None or deletion_timestamp(pod) is not None:
            return False
        return is_available(pod, self.stateful_set["spec"].get("minReadySeconds") or 0, self.now)

    @property
    def partition(self) -> int:
        """How many pods, by number, stay of the current revision."""
        strategy = self.stateful_set["spec"].get("updateStrategy") or {}
        return (strategy.get("rollingUpdate") or {}).get("partition") or 0

    def is_updated_at(self, ordinal: int) -> bool:
        """Whether a new pod of that number is of the newer revision."""
        return ordinal >= self.ordinals.start + self.partition


def next_steps(view: StatefulView) -> Steps:
    steps = Steps()
    if deletion_timestamp(view.stateful_set) is not None:
        return steps
    one_by_one = view.stateful_set["spec"].get("podManagementPolicy") != "Parallel"
    if _fill(view, steps, one_by_one=one_by_one) and _shrink(view, steps, one_by_one=one_by_one):
        _update(view, steps)
    return steps


def _fill(view: StatefulView, steps: Steps, *, one_by_one: bool) -> bool:
    """Make what misses, from the lowest number on; whether all is there that the next step waits for."""
    pods = view.by_ordinal()
    for ordinal in view.ordinals:
        pod = pods.get(ordinal)
        if pod is None:
            steps.create.append((ordinal, view.is_updated_at(ordinal)))
        elif phase(pod) in ("Failed", "Succeeded"):
            if deletion_timestamp(pod) is None:
                steps.delete.append(pod)
        elif deletion_timestamp(pod) is None:
            steps.look_at.append(pod)
        if one_by_one and not (phase(pod or {}) == "Running" and view.serves(pod)):
            return False
    return True


def _shrink(view: StatefulView, steps: Steps, *, one_by_one: bool) -> bool:
    """Delete what is too many, from the highest number on; whether nothing is."""
    condemned = view.condemned()
    steps.look_at += [pod for pod in condemned if deletion_timestamp(pod) is None]
    if not one_by_one:
        steps.delete += [pod for pod in condemned if deletion_timestamp(pod) is None]
        return True
    if not condemned:
        return True
    # A pod that does not serve is waited for, unless it is the lowest such: nothing else would ever let it go.
    broken = [pod for pod in reversed(condemned) if not view.serves(pod)]
    highest = condemned[0]
    may_go = phase(highest) == "Running" and view.serves(highest)
    if deletion_timestamp(highest) is None and (may_go or highest in broken[:1]):
        steps.delete.append(highest)
    return False


def _update(view: StatefulView, steps: Steps) -> None:
    """Delete the pod of the highest number that is not of the newer revision, if all above it serve."""
    strategy = view.stateful_set["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return
    pods, leaving = view.by_ordinal(), {name(pod) for pod in steps.delete}
    for ordinal in reversed(view.ordinals[view.partition :]):
        pod = pods.get(ordinal)
        if pod is None or name(pod) in leaving:
            return
        if labels_of(pod).get(REVISION_HASH) != view.update and deletion_timestamp(pod) is None:
            steps.delete.append(pod)
            return
        if not view.serves(pod):
            return


def stateful_status(view: StatefulView, deleted: Iterable[Tree], collisions: int) -> dict[str, Any]:
    """`deleted` are the pods that this look let go, of which none counts as current any more."""
    gone = {name(pod) for pod in deleted}
    min_ready = view.stateful_set["spec"].get("minReadySeconds") or 0
    made = [pod for pod in view.pods if phase(pod)]
    staying = [pod for pod in made if deletion_timestamp(pod) is None]
    ready = [pod for pod in made if phase(pod) == "Running" and is_ready(pod)]
    revisions = [(labels_of(pod).get(REVISION_HASH), name(pod)) for pod in staying]
    counts = {
        "readyReplicas": len(ready),
        "currentReplicas": sum(revision == view.current and pod not in gone for revision, pod in revisions),
        "updatedReplicas": sum(revision == view.update for revision, _ in revisions),
        "observedGeneration": generation(view.stateful_set),
    }
    current = view.current
    strategy = (view.stateful_set["spec"].get("updateStrategy") or {}).get("type")
    if strategy == "RollingUpdate" and counts["updatedReplicas"] == len(ready) == len(made) == view.replicas:
        counts["currentReplicas"], current = counts["updatedReplicas"], view.update
    return {
        "replicas": len(made),
        "availableReplicas": sum(is_available(pod, min_ready, view.now) for pod in ready),
        "currentRevision": current,
        "updateRevision": view.update,
        "collisionCount": collisions,
        **{field: count for field, count in counts.items() if count},
    }
