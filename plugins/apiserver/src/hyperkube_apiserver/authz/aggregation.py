"""Cluster roles that gather the rules of others.

Source: k8s.io/kubernetes/pkg/controller/clusterroleaggregation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_machinery.selectors import LabelSelector, label_selector

__all__ = ["aggregate"]

Tree = Mapping[str, Any]


def aggregate(clusterroles: Iterable[Tree]) -> dict[str, list[Any]]:
    """The rules that aggregated roles should have, by name, of those whose rules are others.

    A role may gather from one that gathers itself; the rules are what is left once nothing changes any more.
    """
    roles = {role["metadata"]["name"]: role for role in clusterroles}
    rules: dict[str, list[Any]] = {name: list(role.get("rules") or ()) for name, role in roles.items()}
    gathering = {name: found for name, role in sorted(roles.items()) if (found := _selectors(role))}
    for _ in range(len(gathering) + 1):
        before = {name: rules[name] for name in gathering}
        for name, selectors in gathering.items():
            rules[name] = _gathered(name, selectors, roles, rules)
        if all(rules[name] == before[name] for name in gathering):
            break
    return {name: rules[name] for name in gathering if rules[name] != list(roles[name].get("rules") or ())}


def _selectors(role: Tree) -> list[LabelSelector]:
    """The selectors of an aggregated role; one that can't be read selects nothing."""
    found = []
    for tree in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
        try:
            found.append(label_selector(tree))
        except ValueError:
            continue
    return found


def _gathered(
    name: str, selectors: list[LabelSelector], roles: Mapping[str, Tree], rules: Mapping[str, list[Any]]
) -> list[Any]:
    gathered: list[Any] = []
    for selector in selectors:
        for other, role in sorted(roles.items()):
            if other != name and selector.matches(role["metadata"].get("labels") or {}):
                gathered.extend(rule for rule in rules[other] if rule not in gathered)
    return gathered
