"""What a pod says of other pods: affinity terms and spreading constraints, with their selectors ready to match.

Source: k8s.io/kube-scheduler/framework (AffinityTerm), k8s.io/kubernetes/pkg/scheduler/framework/plugins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hyperkube_machinery.selectors import EVERYTHING, NOTHING, LabelRequirement, LabelSelector, label_selector

__all__ = ["AffinityTerm", "SpreadConstraint", "parse_constraints", "parse_terms", "parse_weighted_terms"]

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """Pods that another pod wants to be near, or far from. Equal terms of many pods are one value."""

    namespaces: frozenset[str]
    namespace_selector: LabelSelector
    selector: LabelSelector
    topology_key: str
    weight: int = 0

    def matches(self, namespace: str, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        """Whether a pod of these labels is meant, that is in `namespace`, whose own labels are `namespace_labels`."""
        if namespace not in self.namespaces and not self.namespace_selector.matches(namespace_labels):
            return False
        return self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """How evenly pods like this one are to be spread over the values of a node's label."""

    max_skew: int
    topology_key: str
    hard: bool
    selector: LabelSelector
    min_domains: int = 1
    honors_affinity: bool = True
    honors_taints: bool = False

    def about(self, selector: LabelSelector) -> SpreadConstraint:
        """The same, of other pods."""
        return replace(self, selector=selector)


def parse_terms(listed: Sequence[Tree] | None, namespace: str) -> tuple[AffinityTerm, ...]:
    """Required terms of a pod in `namespace`."""
    return tuple(_term(one, namespace) for one in listed or ())


def parse_weighted_terms(listed: Sequence[Tree] | None, namespace: str) -> tuple[AffinityTerm, ...]:
    """Preferred terms."""
    return tuple(_term(one.get("podAffinityTerm") or {}, namespace, one.get("weight") or 0) for one in listed or ())


def _term(tree: Tree, namespace: str, weight: int = 0) -> AffinityTerm:
    named, chosen = tree.get("namespaces") or (), tree.get("namespaceSelector")
    own = (namespace,) if not named and chosen is None else ()
    return AffinityTerm(
        namespaces=frozenset((*named, *own)),
        namespace_selector=_selector(chosen),
        selector=_selector(tree.get("labelSelector")),
        topology_key=tree.get("topologyKey", ""),
        weight=weight,
    )


def _selector(tree: Tree | None) -> LabelSelector:
    """What can't be read matches nothing."""
    if tree is not None and not tree:
        return EVERYTHING
    try:
        return label_selector(tree)
    except ValueError:
        return NOTHING


def parse_constraints(listed: Sequence[Tree] | None, labels: Mapping[str, str]) -> tuple[SpreadConstraint, ...]:
    """`spec.topologySpreadConstraints` of a pod with these labels."""
    return tuple(_constraint(one, labels) for one in listed or ())


def _constraint(tree: Tree, labels: Mapping[str, str]) -> SpreadConstraint:
    selector = _selector(tree.get("labelSelector"))
    same = [LabelRequirement(key, "=", (labels[key],)) for key in tree.get("matchLabelKeys") or () if key in labels]
    if same and not selector.nothing:
        selector = LabelSelector((*same, *(one for one in selector.requirements if one not in same)))
    return SpreadConstraint(
        max_skew=tree.get("maxSkew", 1),
        topology_key=tree.get("topologyKey", ""),
        hard=tree.get("whenUnsatisfiable") == "DoNotSchedule",
        selector=selector,
        min_domains=tree.get("minDomains") or 1,
        honors_affinity=tree.get("nodeAffinityPolicy", "Honor") == "Honor",
        honors_taints=tree.get("nodeTaintsPolicy", "Ignore") == "Honor",
    )
