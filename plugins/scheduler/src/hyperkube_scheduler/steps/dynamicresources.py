"""DynamicResources: what it says of pods that fit nowhere. It allocates no devices here.

Upstream's looks for claims whose devices could be had again; where no pod has claims, which is nearly everywhere, it
is the first to say in `FailedScheduling` that this does not help.
Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_scheduler.framework.diagnosis import Diagnosis
from hyperkube_scheduler.framework.events import Concern
from hyperkube_scheduler.framework.interface import Cycle, Nomination
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.slices import Slices

__all__ = ["DynamicResources"]


class DynamicResources:
    """Takes no devices back."""

    name = "DynamicResources"
    nothing_to_take = Verdict(Code.UNSCHEDULABLE, ("no new claims to deallocate",), name)

    def post_filter(self, cycle: Cycle, diagnosis: Diagnosis) -> Slices[tuple[Nomination | None, Verdict | None]]:
        yield from ()
        return None, self.nothing_to_take

    def concerns(self) -> Sequence[Concern]:
        return []
