"""The extension points of a scheduling attempt. A step implements those it has something to say at.

    PreEnqueue → queue, in the order of QueueSort
    → PreFilter → Filter, node by node → PostFilter, if no node is left
    → PreScore → Score → Normalize → the best node
    → Reserve → Permit → PreBind → Bind → PostBind

The names are upstream's, and so is what each may do. Two things are different. A score is asked of all nodes at once,
which is quicker. And a step may say that it is `local`: that its verdict and score of a node depend on the pod's
template and on that node alone; then equal pods share them (see `sharing`).
Source: k8s.io/kube-scheduler/framework.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from hyperkube_scheduler.framework.events import Concern
from hyperkube_scheduler.framework.verdicts import Verdict
from hyperkube_scheduler.slices import Slices

if TYPE_CHECKING:
    from hyperkube_scheduler.cache import Cache
    from hyperkube_scheduler.framework.diagnosis import Diagnosis
    from hyperkube_scheduler.nodeinfo import NodeInfo
    from hyperkube_scheduler.podinfo import PodInfo

__all__ = [
    "MAX_SCORE",
    "POINTS",
    "Bind",
    "Compiled",
    "Concerned",
    "Cycle",
    "Filter",
    "Following",
    "Nomination",
    "Normalize",
    "Permit",
    "PostBind",
    "PostFilter",
    "PreBind",
    "PreEnqueue",
    "PreFilter",
    "PreScore",
    "Prepare",
    "QueueSort",
    "Rank",
    "Reserve",
    "Score",
    "State",
    "Step",
]

MAX_SCORE = 100

Rank: TypeAlias = tuple[Any, ...]


class State(Protocol):
    """What a step remembers from one point to the next."""

    def clone(self) -> State:
        """One of its own for trying things out."""


@dataclass(slots=True)
class Cycle:
    """One attempt at one pod."""

    pod: PodInfo
    cluster: Cache
    states: dict[str, State] = field(default_factory=dict)
    """By the names of steps."""
    skipped: set[str] = field(default_factory=set)
    """Filters that have nothing to do with this pod."""

    def clone(self) -> Cycle:
        """The same attempt, to be gone on with under changed circumstances."""
        states = {name: state.clone() for name, state in self.states.items()}
        return Cycle(self.pod, self.cluster, states, self.skipped)


@dataclass(frozen=True, slots=True)
class Nomination:
    """What becomes of a pod's nominated node; an empty name takes it away. None in its place leaves it alone."""

    node: str


@runtime_checkable
class Step(Protocol):
    """Anything that is called at some extension point."""

    name: str


@runtime_checkable
class PreEnqueue(Step, Protocol):
    def pre_enqueue(self, pod: PodInfo) -> Verdict | None:
        """Keep a pod out of the queue, by a verdict."""


@runtime_checkable
class QueueSort(Step, Protocol):
    def rank(self, pod: PodInfo, since: float) -> Rank:
        """What waiting pods are sorted by, the least first. `since`: when it was put there."""


@runtime_checkable
class Prepare(Step, Protocol):
    def prepare(self, cycle: Cycle) -> Slices[None]:
        """Long work that is needed later on in the attempt: before PreFilter."""


@runtime_checkable
class PreFilter(Step, Protocol):
    def pre_filter(self, cycle: Cycle) -> Verdict | frozenset[str] | None:
        """Look at the pod. A verdict refuses all nodes (SKIP: leave out this filter); names are the only nodes to try.

        A local step may look at the pod's template only.
        """


@runtime_checkable
class Following(Step, Protocol):
    """Of a step with a state after `pre_filter` that depends on the pods that are there."""

    def add_pod(self, cycle: Cycle, pod: PodInfo, node: NodeInfo) -> None:
        """As if `pod` were on `node` too."""

    def remove_pod(self, cycle: Cycle, pod: PodInfo, node: NodeInfo) -> None:
        """As if it weren't."""


@runtime_checkable
class Filter(Step, Protocol):
    local: bool

    def filter(self, cycle: Cycle, node: NodeInfo) -> Verdict | None:
        """Whether the pod may run on this node."""


@runtime_checkable
class Compiled(Filter, Protocol):
    """Of a filter that is asked about many nodes: most of its work need only be done once."""

    def checker(self, cycle: Cycle) -> Callable[[NodeInfo], Verdict | None]:
        """What `filter` says, as long as the cycle isn't changed."""


@runtime_checkable
class PostFilter(Step, Protocol):
    def post_filter(self, cycle: Cycle, diagnosis: Diagnosis) -> Slices[tuple[Nomination | None, Verdict | None]]:
        """No node is left: try to make one fit. No verdict means that it will."""


@runtime_checkable
class PreScore(Step, Protocol):
    def pre_score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> Verdict | None:
        """Look at the pod and the nodes that are left (SKIP: leave out this score).

        A local step may look at the pod's template only, and is shown no nodes.
        """


@runtime_checkable
class Score(Step, Protocol):
    local: bool

    def score(self, cycle: Cycle, nodes: Sequence[NodeInfo]) -> list[int]:
        """How good each node is, from 0 to MAX_SCORE unless `normalize` brings it there."""


@runtime_checkable
class Normalize(Step, Protocol):
    def normalize(self, cycle: Cycle, nodes: Sequence[NodeInfo], scores: list[int]) -> list[int]:
        """Scores from 0 to MAX_SCORE. Equal ones stay equal, so where all are, it isn't asked."""


@runtime_checkable
class Reserve(Step, Protocol):
    def reserve(self, cycle: Cycle, node: str) -> Verdict | None:
        """The node is chosen."""

    def unreserve(self, cycle: Cycle, node: str) -> None:
        """It is not, after all. May be called without `reserve`, and twice."""


@runtime_checkable
class Permit(Step, Protocol):
    async def permit(self, pod: PodInfo, node: str) -> Verdict | None:
        """Whether to go on to binding; it may take its time."""


@runtime_checkable
class PreBind(Step, Protocol):
    async def pre_bind(self, pod: PodInfo, node: str) -> Verdict | None:
        """What must be done before binding."""


@runtime_checkable
class Bind(Step, Protocol):
    async def bind(self, pod: PodInfo, node: str) -> Verdict | None:
        """Bind; SKIP leaves it to the next one."""


@runtime_checkable
class PostBind(Step, Protocol):
    def post_bind(self, pod: PodInfo, node: str) -> None:
        """It is bound."""


@runtime_checkable
class Concerned(Step, Protocol):
    def concerns(self) -> Sequence[Concern]:
        """The events after which pods that this step refused are worth another attempt."""


POINTS: Mapping[str, Callable[[Step], bool]] = {
    "preEnqueue": lambda step: isinstance(step, PreEnqueue),
    "queueSort": lambda step: isinstance(step, QueueSort),
    "preFilter": lambda step: isinstance(step, PreFilter),
    "filter": lambda step: isinstance(step, Filter),
    "postFilter": lambda step: isinstance(step, PostFilter),
    "preScore": lambda step: isinstance(step, PreScore),
    "score": lambda step: isinstance(step, Score),
    "reserve": lambda step: isinstance(step, Reserve),
    "permit": lambda step: isinstance(step, Permit),
    "preBind": lambda step: isinstance(step, PreBind),
    "bind": lambda step: isinstance(step, Bind),
    "postBind": lambda step: isinstance(step, PostBind),
}
"""Extension points, by their names in a configuration, each with how to tell who has something to say at it."""
