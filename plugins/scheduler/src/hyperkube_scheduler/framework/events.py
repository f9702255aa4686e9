"""What happens in a cluster that may make a pod fit that did not: kinds of events, and who is interested in them.

Source: k8s.io/kubernetes/pkg/scheduler/framework (events.go), k8s.io/kube-scheduler/framework (ActionType).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import TypeAlias

from hyperkube_scheduler.nodeinfo import NodeFacts
from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["Action", "Concern", "Event", "Hint", "Kind", "Subject", "always", "node_events", "pod_events"]

Subject: TypeAlias = "PodInfo | NodeFacts"


class Kind(Enum):
    """What an event is about. The values are upstream's names."""

    POD = "AssignedPod"
    PENDING_POD = "UnschedulablePod"
    NODE = "Node"


class Action(Flag):
    """What happened to it."""

    ADD = auto()
    DELETE = auto()
    UPDATE = auto()
    UPDATE_NODE_ALLOCATABLE = auto()
    UPDATE_NODE_LABEL = auto()
    UPDATE_NODE_TAINT = auto()
    UPDATE_NODE_CONDITION = auto()
    UPDATE_NODE_ANNOTATION = auto()
    UPDATE_POD_LABEL = auto()
    UPDATE_POD_SCALE_DOWN = auto()
    UPDATE_POD_TOLERATION = auto()
    UPDATE_POD_GATES_ELIMINATED = auto()


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened, with how it was before and is now where that is known."""

    kind: Kind
    action: Action
    label: str = ""
    old: Subject | None = None
    new: Subject | None = None

    @property
    def name(self) -> str:
        """As metrics have it."""
        if self.label:
            return self.label
        return self.kind.value + "".join(part.capitalize() for part in (self.action.name or "").split("_"))


Hint: TypeAlias = Callable[[PodInfo, Event], bool]
"""Whether an event may make this waiting pod fit, as far as one step is concerned."""


def always(pod: PodInfo, event: Event) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Concern:
    """The events that a step wants waiting pods, which it refused, to be tried again for."""

    kinds: tuple[Kind, ...]
    actions: Action
    hint: Hint = always

    def covers(self, event: Event) -> bool:
        return event.kind in self.kinds and bool(event.action & self.actions)


def node_events(old: NodeFacts, new: NodeFacts) -> Iterator[Event]:
    """What a change of a node comes to; nothing for the mere beating of its heart."""

    def event(action: Action) -> Event:
        return Event(Kind.NODE, action, old=old, new=new)

    if old.unschedulable and not new.unschedulable:
        yield event(Action.UPDATE_NODE_TAINT)
    if _status(old, "allocatable") != _status(new, "allocatable"):
        yield event(Action.UPDATE_NODE_ALLOCATABLE)
    if old.labels != new.labels:
        yield event(Action.UPDATE_NODE_LABEL)
    if (old.taints, old.soft_taints) != (new.taints, new.soft_taints):
        yield event(Action.UPDATE_NODE_TAINT)
    if _conditions(old) != _conditions(new):
        yield event(Action.UPDATE_NODE_CONDITION)
    if old.tree["metadata"].get("annotations") != new.tree["metadata"].get("annotations"):
        yield event(Action.UPDATE_NODE_ANNOTATION)


def _status(facts: NodeFacts, field: str) -> object:
    return (facts.tree.get("status") or {}).get(field)


def _conditions(facts: NodeFacts) -> dict[str, str]:
    listed = (facts.tree.get("status") or {}).get("conditions") or ()
    return {one.get("type", ""): one.get("status", "") for one in listed}


def pod_events(old: PodInfo, new: PodInfo) -> Iterator[Event]:
    """What a change of a pod comes to."""
    kind = Kind.POD if new.node_name else Kind.PENDING_POD
    actions = []
    if old.labels != new.labels:
        actions.append(Action.UPDATE_POD_LABEL)
    if _asks_for_less(old, new):
        actions.append(Action.UPDATE_POD_SCALE_DOWN)
    if old.template.gates and not new.template.gates:
        actions.append(Action.UPDATE_POD_GATES_ELIMINATED)
    if len(old.template.tolerations) != len(new.template.tolerations):
        actions.append(Action.UPDATE_POD_TOLERATION)
    for action in actions or [Action.UPDATE]:
        yield Event(kind, action, old=old, new=new)


def _asks_for_less(old: PodInfo, new: PodInfo) -> bool:
    before, after = old.requests, new.requests
    if before is after:
        return False
    if after.cpu < before.cpu or after.memory < before.memory or after.storage < before.storage:
        return True
    return any(after.of(name) < value for name, value in before.scalars)
