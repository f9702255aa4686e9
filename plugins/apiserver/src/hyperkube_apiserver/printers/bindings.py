"""The rows of role bindings, and of kinds that have no printer.

Source: k8s.io/kubernetes/pkg/printers/internalversion, k8s.io/apiserver/pkg/registry/rest (the default).
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.printers.cells import Tree, age, name

__all__ = ["binding", "plain"]


def binding(obj: Tree, now: float) -> list[Any]:
    """Name, Role, Age, Users, Groups, ServiceAccounts."""
    ref = obj.get("roleRef") or {}
    named: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        kind, who = subject.get("kind", ""), subject.get("name", "")
        if kind in named:
            named[kind].append(f"{subject.get('namespace', '')}/{who}" if kind == "ServiceAccount" else who)
    role = f"{ref.get('kind', '')}/{ref.get('name', '')}"
    return [name(obj), role, age(obj, now), *(", ".join(names) for names in named.values())]


def plain(obj: Tree, now: float) -> list[Any]:
    """Name, Created At."""
    return [name(obj), obj["metadata"].get("creationTimestamp") or "0001-01-01T00:00:00Z"]
