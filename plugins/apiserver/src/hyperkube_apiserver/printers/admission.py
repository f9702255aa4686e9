"""The rows of webhook configurations and admission policies.

Source: k8s.io/kubernetes/pkg/printers/internalversion.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.printers.cells import UNSET, Tree, age, name

__all__ = ["mutating_policy", "policy_binding", "validating_policy", "webhooks"]


def webhooks(obj: Tree, now: float) -> list[Any]:
    """Name, Webhooks, Age."""
    return [name(obj), len(obj.get("webhooks") or ()), age(obj, now)]


def validating_policy(obj: Tree, now: float) -> list[Any]:
    """Name, Validations, ParamKind, Age."""
    return _policy(obj, "validations", now)


def mutating_policy(obj: Tree, now: float) -> list[Any]:
    """Name, Mutations, ParamKind, Age."""
    return _policy(obj, "mutations", now)


def _policy(obj: Tree, actions: str, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    param = spec.get("paramKind")
    shown = UNSET if param is None else f"{param.get('apiVersion', '')}/{param.get('kind', '')}"
    return [name(obj), len(spec.get(actions) or ()), shown, age(obj, now)]


def policy_binding(obj: Tree, now: float) -> list[Any]:
    """Name, PolicyName, ParamRef, Age."""
    spec = obj.get("spec") or {}
    ref = spec.get("paramRef") or {}
    shown = UNSET
    if ref.get("name"):
        shown = f"{ref.get('namespace') or '*'}/{ref['name']}"
    elif ref.get("selector") is not None:
        shown = _go_selector(ref["selector"])
    return [name(obj), spec.get("policyName", ""), shown, age(obj, now)]


def _go_selector(selector: Tree) -> str:
    """A LabelSelector as Go prints its struct."""
    pairs = sorted((selector.get("matchLabels") or {}).items())
    labels = "".join(f"{key}: {value}," for key, value in pairs)
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{one.get('key', '')},Operator:{one.get('operator', '')},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
