"""The rows of webhook configurations and admission policies.

Source: k8s.io/kubernetes/pkg/printers/internalversion.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.printers.cells import UNSET, Tree, age, name
from hyperkube_machinery.selectors import go_text

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
        shown = go_text(ref["selector"])
    return [name(obj), spec.get("policyName", ""), shown, age(obj, now)]
