"""Disruption budgets. Source: k8s.io/kubernetes/pkg/registry/policy/poddisruptionbudget, pkg/apis/policy/validation."""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.conditions import validate_conditions
from hyperkube_apiserver.registry.fields import nonnegative, one_of, validate_label_selector
from hyperkube_apiserver.registry.strategy import Strategy, Tree
from hyperkube_apiserver.registry.workloads import shown_selector, validate_amount_or_percent, validate_at_most_all
from hyperkube_machinery.errors import FieldError

__all__ = ["PodDisruptionBudgets"]

_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
_OLD_LABEL = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"
_MATCHES_NONE = {"matchExpressions": [{"key": _OLD_LABEL, "operator": "Exists"}]}


class PodDisruptionBudgets(Strategy):
    allows_unconditional_update = False
    counts_generation = True

    def default(self, obj: Tree) -> None:
        spec, status = obj.setdefault("spec", {}), obj.setdefault("status", {})
        for field in _COUNTS:
            if status.get(field) is None:
                status[field] = 0
        _strip_old_label(spec.get("selector"))

    def initial_status(self, obj: Tree) -> Tree:
        return dict.fromkeys(_COUNTS, 0)

    def validate(self, obj: Tree) -> list[FieldError]:
        # Names are free: nothing but what is common to all kinds is checked of the metadata.
        return self.validate_object(obj) or object_meta.validate_meta(obj, object_meta.path_segment)

    def validate_own_meta_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        return []

    def validate_object(self, obj: Tree) -> list[FieldError]:
        spec = obj["spec"]
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        errors: list[FieldError] = []
        if least is not None and most is not None:
            text = "minAvailable and maxUnavailable cannot be both set"
            errors.append(FieldError.invalid("spec", _shown(spec), text))
        for field, amount in (("minAvailable", least), ("maxUnavailable", most)):
            if amount is not None:
                errors += validate_amount_or_percent(amount, f"spec.{field}")
                errors += validate_at_most_all(amount, f"spec.{field}")
        errors += validate_label_selector(spec.get("selector"), "spec.selector")
        if (policy := spec.get("unhealthyPodEvictionPolicy")) is not None:
            errors += one_of(policy, ("AlwaysAllow", "IfHealthyBudget"), "spec.unhealthyPodEvictionPolicy")
        return errors

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        status = obj["status"]
        errors = validate_conditions(status.get("conditions") or (), "status.conditions")
        return errors + [error for field in _COUNTS for error in nonnegative(status[field], f"status.{field}")]


def _strip_old_label(selector: Tree | None) -> None:
    """Forget the key by which selectors of an earlier version meant all or nothing, beside others."""
    if not selector or selector == _MATCHES_NONE or not selector.get("matchExpressions"):
        return
    left = [one for one in selector["matchExpressions"] if one.get("key") != _OLD_LABEL]
    if left:
        selector["matchExpressions"] = left
    else:
        del selector["matchExpressions"]


def _shown(spec: Tree) -> dict[str, Any]:
    """The spec as messages show it."""
    selector = spec.get("selector")
    return {
        "MinAvailable": spec.get("minAvailable"),
        "Selector": None if selector is None else shown_selector(selector),
        "MaxUnavailable": spec.get("maxUnavailable"),
        "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
    }
