"""What events say about disruption budgets and their pods, in upstream's words.

Source: k8s.io/kubernetes/pkg/controller/disruption/disruption.go, k8s.io/apimachinery/pkg/apis/meta/v1/generated.pb.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_machinery import meta
from hyperkube_machinery.quoting import quoted

__all__ = ["several_budgets", "unmanaged_pods"]

Tree = Mapping[str, Any]


def several_budgets(pod: Tree, budgets: Iterable[str]) -> str:
    """A pod of several budgets, by name, is evicted by nobody."""
    chosen = min(budgets)
    where = f"{quoted(meta.namespace(pod))}/{quoted(meta.name(pod))}"
    return f"Pod {where} matches multiple PodDisruptionBudgets.  Chose {quoted(chosen)} arbitrarily."


def unmanaged_pods(budget: Tree) -> str:
    """Nobody says how many there should be of pods without a controller."""
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {_shown((budget.get('spec') or {}).get('selector'))})"
        " were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may"
        ' result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to'
        " an integer value."
    )


def _shown(selector: Tree | None) -> str:
    """As Go prints the message that the selector is there."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{one.get('key', '')},Operator:{one.get('operator', '')},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
