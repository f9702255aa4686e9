"""What a step says of a pod or of a node: a value, never an exception. Nothing said (None) is agreement.

Source: k8s.io/kube-scheduler/framework (Status, Code).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["SKIP", "Code", "Verdict"]


class Code(Enum):
    """How a step disagrees. The values are the names that metrics have for them."""

    ERROR = "Error"
    """Something is broken; it isn't the pod's fault, and the attempt is made again."""
    UNSCHEDULABLE = "Unschedulable"
    """Not as things are; other pods' leaving may help, so preemption may."""
    UNRESOLVABLE = "UnschedulableAndUnresolvable"
    """Not here, whoever leaves."""
    SKIP = "Skip"
    """This step has nothing to do with this pod."""


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """A disagreement. Steps make theirs once and hand out the same one: thousands of nodes may share it."""

    code: Code
    reasons: tuple[str, ...] = ()
    step: str = ""
    """The name of who says so; empty where it is nobody in particular."""

    @property
    def message(self) -> str:
        return ", ".join(self.reasons)

    @property
    def rejects(self) -> bool:
        """Whether it is about the pod, and no fault of the machinery."""
        return self.code in (Code.UNSCHEDULABLE, Code.UNRESOLVABLE)


SKIP = Verdict(Code.SKIP)
