"""The names that definitions of custom resources ask for are theirs, unless others of their group have them.

A definition is established, and so served, as soon as all its names are its own for the first time.
Source: k8s.io/apiextensions-apiserver/pkg/controller/status (naming_controller.go).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hyperkube_apiserver.registry.apiextensions.states import find_condition, with_condition
from hyperkube_machinery.quoting import quoted

__all__ = ["established", "with_names"]

_ACCEPTED = "the initial names have been accepted"
_RESOURCES, _KINDS = ("plural", "singular"), ("kind", "listKind")

Tree = dict[str, Any]


def with_names(definition: Tree, others: Iterable[Tree], now: str) -> Tree:
    """`definition` with the names that it may have and what became of the rest; itself if there is nothing to do."""
    spec, status = definition.get("spec") or {}, definition.get("status") or {}
    wanted, accepted = spec.get("names") or {}, status.get("acceptedNames") or {}
    if wanted == accepted:
        return definition
    taken = [
        (one.get("status") or {}).get("acceptedNames") or {}
        for one in others
        if (one.get("spec") or {}).get("group") == spec.get("group")
    ]
    resources = {name for one in taken for name in (*(one.get(field) for field in _RESOURCES), *_short(one))}
    kinds = {one.get(field) for one in taken for field in _KINDS}
    names = dict(accepted)
    conflicts: list[tuple[str, str]] = []  # a reason and what it is about
    for field in _RESOURCES:
        _accept(names, wanted, field, resources, conflicts)
    if _short(wanted) != _short(accepted):
        used = [name for name in _short(wanted) if name not in _short(accepted) and name in resources]
        if used:
            texts = [f"{quoted(name)} is already in use" for name in used]
            conflicts.append(("ShortNamesConflict", texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"))
        else:
            _set(names, "shortNames", wanted.get("shortNames"))
    for field in _KINDS:
        _accept(names, wanted, field, kinds, conflicts)
    _set(names, "categories", wanted.get("categories"))
    reason, message = conflicts[-1] if conflicts else ("NoConflicts", "no conflicts found")
    conditions = status.get("conditions") or []
    told = with_condition(conditions, "NamesAccepted", not conflicts, reason, message, now)
    if (find_condition(told, "Established") or {}).get("status") != "True":
        is_new = find_condition(told, "Established") is None
        if not conflicts:
            told = with_condition(told, "Established", False, "Installing", _ACCEPTED, now)
        elif is_new:
            told = with_condition(told, "Established", False, "NotAccepted", "not all names are accepted", now)
    if names == accepted and told == conditions:
        return definition
    return {**definition, "status": {**status, "acceptedNames": names, "conditions": told}}


def established(definition: Tree, now: str) -> Tree:
    """`definition` as one that is served from now on, if it has its names and is none yet; else itself."""
    status = definition.get("status") or {}
    conditions = status.get("conditions") or []
    if (find_condition(conditions, "NamesAccepted") or {}).get("status") != "True":
        return definition
    if (find_condition(conditions, "Established") or {}).get("status") == "True":
        return definition
    told = with_condition(conditions, "Established", True, "InitialNamesAccepted", _ACCEPTED, now)
    return {**definition, "status": {**status, "conditions": told}}


def _short(names: Tree) -> list[str]:
    return names.get("shortNames") or []


def _set(names: Tree, field: str, value: Any) -> None:
    if value:
        names[field] = value
    else:
        names.pop(field, None)


def _accept(names: Tree, wanted: Tree, field: str, used: set[Any], conflicts: list[tuple[str, str]]) -> None:
    name = wanted.get(field) or ""
    if name != (names.get(field) or "") and name in used:
        reason = f"{field[0].upper()}{field[1:]}Conflict"
        conflicts.append((reason, f"{quoted(name)} is already in use"))
    else:
        names[field] = name
