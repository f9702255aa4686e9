"""SchedulingGates: pods that aren't to be scheduled yet.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/schedulinggates.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_scheduler.framework.events import Action, Concern, Event, Kind
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["SchedulingGates"]


class SchedulingGates:
    """Keeps a pod out of the queue until its last gate is taken away."""

    name = "SchedulingGates"

    def pre_enqueue(self, pod: PodInfo) -> Verdict | None:
        gates = pod.template.gates
        if not gates:
            return None
        return Verdict(Code.UNRESOLVABLE, (f"waiting for scheduling gates: [{' '.join(gates)}]",), self.name)

    def concerns(self) -> Sequence[Concern]:
        return [Concern((Kind.POD, Kind.PENDING_POD), Action.UPDATE_POD_GATES_ELIMINATED, _is_of_pod)]


def _is_of_pod(pod: PodInfo, event: Event) -> bool:
    return isinstance(event.new, PodInfo) and event.new.uid == pod.uid
