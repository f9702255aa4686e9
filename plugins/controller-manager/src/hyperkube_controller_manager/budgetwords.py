"""What events say about disruption budgets and their pods, in upstream's words.

Source: k8s.io/kubernetes/pkg/controller/disruption/disruption.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_machinery import meta
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.selectors import go_text

__all__ = ["several_budgets", "unmanaged_pods"]

Tree = Mapping[str, Any]


def several_budgets(pod: Tree, budgets: Iterable[str]) -> str:
    """A pod of several budgets, by name, is evicted by nobody."""
    chosen = min(budgets)
    where = f"{quoted(meta.namespace(pod))}/{quoted(meta.name(pod))}"
    return f"Pod {where} matches multiple PodDisruptionBudgets.  Chose {quoted(chosen)} arbitrarily."


def unmanaged_pods(budget: Tree) -> str:
    """Nobody says how many there should be of pods without a controller."""
    selector = (budget.get("spec") or {}).get("selector")
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {'nil' if selector is None else go_text(selector)})"
        " were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may"
        ' result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to'
        " an integer value."
    )
