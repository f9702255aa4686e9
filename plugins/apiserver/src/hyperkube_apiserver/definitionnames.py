"""Accept the names that definitions of custom resources ask for, unless others of their group have them.

Custom resources are not served yet, so that no definition is established.
Source: k8s.io/apiextensions-apiserver/pkg/controller/status (naming_controller.go).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from typing import Any, NoReturn

from hyperkube_apiserver.assembly import API
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.storage.interface import Unavailable
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["accept_names", "keep_names_accepted", "with_names"]

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_MANAGER = "kube-apiserver"  # as upstream's, which is a part of it
_RESOURCES, _KINDS = ("plural", "singular"), ("kind", "listKind")

Tree = dict[str, Any]


async def keep_names_accepted(api: API, clock: Clock) -> NoReturn:
    """Settle the names of definitions whenever one changes, until cancelled."""
    changed = asyncio.Event()
    api.resource("apiextensions.k8s.io", "customresourcedefinitions").cache.observe(lambda event: changed.set())
    changed.set()
    while True:
        await changed.wait()
        changed.clear()
        try:
            await accept_names(api, clock)
        except (APIError, Unavailable) as exc:
            log.warning("names of custom resources could not be accepted: %s", exc)
            await clock.sleep(_RETRY_SECONDS)
            changed.set()


async def accept_names(api: API, clock: Clock) -> None:
    """Bring the status of every definition up to date, once; those that are older come first."""
    served = api.resource("apiextensions.k8s.io", "customresourcedefinitions")
    context = WriteContext(now=format_seconds(clock.now()), subresource="status", manager=_MANAGER)
    trees = {item.name: decode_body(item.body) for item in served.cache.items()}
    for name in sorted(trees, key=lambda name: (meta.metadata(trees[name]).get("creationTimestamp") or "", name)):
        settled = with_names(trees[name], trees.values(), context.now)
        if settled is trees[name]:
            continue
        change = partial(with_names, others=list(trees.values()), now=context.now)
        try:
            await served.registry.update(name, change, context, log.warning)
        except APIError as exc:
            if exc.code != 404:  # one that was deleted meanwhile needs no names
                raise
        trees[name] = settled


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
    told = _with(conditions, "NamesAccepted", not conflicts, reason, message, now)
    if (_find(told, "Established") or {}).get("status") != "True":
        is_new = _find(told, "Established") is None
        if not conflicts:
            told = _with(told, "Established", False, "Installing", "the initial names have been accepted", now)
        elif is_new:
            told = _with(told, "Established", False, "NotAccepted", "not all names are accepted", now)
    if names == accepted and told == conditions:
        return definition
    return {**definition, "status": {**status, "acceptedNames": names, "conditions": told}}


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


def _find(conditions: list[Tree], kind: str) -> Tree | None:
    return next((one for one in conditions if one.get("type") == kind), None)


def _with(conditions: list[Tree], kind: str, holds: bool, reason: str, message: str, now: str) -> list[Tree]:
    """`conditions` with one set; its time is that of the change of its status."""
    status, old = "True" if holds else "False", _find(conditions, kind)
    since = old["lastTransitionTime"] if old is not None and old.get("status") == status else now
    condition = {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
    if old is None:
        return [*conditions, condition]
    return [condition if one is old else one for one in conditions]
