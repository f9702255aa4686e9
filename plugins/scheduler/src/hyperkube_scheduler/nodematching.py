"""How pods choose nodes by what is written on them: node selectors and affinity, taints and tolerations.

Source: k8s.io/component-helpers/scheduling/corev1 (nodeaffinity, helpers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hyperkube_machinery.selectors import LabelRequirement

__all__ = [
    "EFFECTS_THAT_REFUSE",
    "NodeTerm",
    "RequiredNodes",
    "Taint",
    "Toleration",
    "node_names_of",
    "parse_preferred",
    "parse_required",
    "parse_taints",
    "parse_tolerations",
    "tolerate",
    "tolerates_all",
]

Tree = Mapping[str, Any]

EFFECTS_THAT_REFUSE = ("NoSchedule", "NoExecute")
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


class Taint(NamedTuple):
    """What keeps pods off a node that don't tolerate it."""

    key: str
    value: str
    effect: str


class Toleration(NamedTuple):
    """Which taints a pod puts up with: an empty key or effect stands for any."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator in ("", "Equal"):
            return self.value == taint.value
        return self.operator == "Exists"


def parse_taints(listed: Sequence[Tree] | None) -> tuple[Taint, ...]:
    return tuple(Taint(one.get("key", ""), one.get("value", ""), one.get("effect", "")) for one in listed or ())


def parse_tolerations(listed: Sequence[Tree] | None) -> tuple[Toleration, ...]:
    return tuple(
        Toleration(one.get("key", ""), one.get("operator", ""), one.get("value", ""), one.get("effect", ""))
        for one in listed or ()
    )


def tolerate(tolerations: Sequence[Toleration], taint: Taint) -> bool:
    return any(one.tolerates(taint) for one in tolerations)


def tolerates_all(tolerations: Sequence[Toleration], taints: Sequence[Taint]) -> bool:
    return all(tolerate(tolerations, taint) for taint in taints)


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """Conditions that must all hold for a node. `broken`: one can't be read, and so the term matches nothing."""

    labels: tuple[LabelRequirement, ...] = ()
    names: tuple[tuple[bool, str], ...] = ()
    """Names that the node must have (True) or must not have (False)."""
    broken: bool = False
    weight: int = 0

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        if self.broken:
            return False
        if any((name == wanted) is not equal for equal, wanted in self.names):
            return False
        return all(one.matches(labels) for one in self.labels)


@dataclass(frozen=True, slots=True)
class RequiredNodes:
    """Where a pod may run by its node selector and its required node affinity."""

    selector: tuple[tuple[str, str], ...] = ()
    terms: tuple[NodeTerm, ...] | None = None
    """One of these must match; None where there is no affinity, and nothing matches an empty one."""

    @property
    def anywhere(self) -> bool:
        return not self.selector and self.terms is None

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        for key, value in self.selector:
            if labels.get(key) != value:
                return False
        return self.terms is None or any(term.matches(name, labels) for term in self.terms)


def parse_required(selector: Mapping[str, str] | None, affinity: Tree | None) -> RequiredNodes:
    """From `spec.nodeSelector` and `requiredDuringSchedulingIgnoredDuringExecution`."""
    terms = None
    if affinity is not None:
        listed = affinity.get("nodeSelectorTerms") or ()
        terms = tuple(_term(one) for one in listed if not _is_empty(one))
    return RequiredNodes(tuple((selector or {}).items()), terms)


def parse_preferred(listed: Sequence[Tree] | None) -> tuple[NodeTerm, ...]:
    """From `preferredDuringSchedulingIgnoredDuringExecution`; what weighs or says nothing is left out."""
    return tuple(
        _term(one["preference"], one["weight"])
        for one in listed or ()
        if one.get("weight") and not _is_empty(one.get("preference") or {})
    )


def node_names_of(affinity: Tree | None) -> frozenset[str] | None:
    """The only nodes that required affinity can mean, as it names them; None where some term names none.

    Empty where each term contradicts itself.
    """
    terms = (affinity or {}).get("nodeSelectorTerms") or ()
    if not terms:
        return None
    names: set[str] = set()
    for term in terms:
        of_term: set[str] | None = None
        for one in term.get("matchFields") or ():
            if one.get("key") == "metadata.name" and one.get("operator") == "In":
                values = set(one.get("values") or ())
                of_term = values if of_term is None else of_term & values
        if of_term is None:
            return None
        names |= of_term
    return frozenset(names)


def _is_empty(term: Tree) -> bool:
    return not term.get("matchExpressions") and not term.get("matchFields")


def _term(tree: Tree, weight: int = 0) -> NodeTerm:
    labels, names = [], []
    for one in tree.get("matchExpressions") or ():
        requirement = _requirement(one)
        if requirement is None:
            return NodeTerm(broken=True, weight=weight)
        labels.append(requirement)
    for one in tree.get("matchFields") or ():
        operator = one.get("operator")
        values: list[str] = one.get("values") or []
        if operator not in ("In", "NotIn") or len(values) != 1:
            return NodeTerm(broken=True, weight=weight)
        names.append((operator == "In", str(values[0])))
    return NodeTerm(tuple(labels), tuple(names), weight=weight)


def _requirement(tree: Tree) -> LabelRequirement | None:
    operator = _OPERATORS.get(tree.get("operator", ""))
    values = tuple(tree.get("values") or ())
    if operator is None or not _fits(operator, values):
        return None
    return LabelRequirement(tree.get("key", ""), operator, values)


def _fits(operator: str, values: tuple[str, ...]) -> bool:
    """Whether an operator has as many values as it needs. Source: k8s.io/apimachinery/pkg/labels (NewRequirement)."""
    if operator in ("in", "notin"):
        return len(values) > 0
    if operator in ("exists", "!"):
        return not values
    return len(values) == 1 and values[0].removeprefix("-").removeprefix("+").isdigit()
