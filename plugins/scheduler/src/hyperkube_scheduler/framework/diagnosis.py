"""Why no node is left for a pod, and how to say so in upstream's words.

Source: k8s.io/kubernetes/pkg/scheduler/framework (Diagnosis, FitError).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hyperkube_scheduler.framework.verdicts import Code, Verdict

__all__ = ["NO_NODES", "NO_REASON", "Diagnosis"]

NO_NODES = "no nodes available to schedule pods"
NO_REASON = Verdict(Code.UNRESOLVABLE)
"""Of nodes that nobody looked at."""


@dataclass(slots=True)
class Diagnosis:
    """The verdicts of one attempt."""

    nodes: int
    """How many there are."""
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    """By node; what isn't here has the verdict `absent`."""
    absent: Verdict = NO_REASON
    steps: set[str] = field(default_factory=set)
    """Who refused, be it one node."""
    pre_filter_message: str = ""
    post_filter_message: str = ""

    def verdict(self, node: str) -> Verdict:
        return self.verdicts.get(node, self.absent)

    def refuse(self, node: str, verdict: Verdict) -> None:
        self.verdicts[node] = verdict
        self.blame(verdict)

    def blame(self, verdict: Verdict) -> None:
        if verdict.step and verdict.rejects:
            self.steps.add(verdict.step)

    @property
    def message(self) -> str:
        """Such as `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: …`."""
        text = f"0/{self.nodes} nodes are available:"
        if self.pre_filter_message:
            text += f" {self.pre_filter_message}."
        elif reasons := self._reasons():
            text += f" {reasons}."
        return f"{text} {self.post_filter_message}" if self.post_filter_message else text

    def _reasons(self) -> str:
        counts: Counter[str] = Counter()
        for verdict, times in Counter(self.verdicts.values()).items():
            for reason in verdict.reasons:
                counts[reason] += times
        unseen = self.nodes - len(self.verdicts)
        if unseen > 0:
            for reason in self.absent.reasons:
                counts[reason] += unseen
        return ", ".join(sorted(f"{times} {reason}" for reason, times in counts.items()))
