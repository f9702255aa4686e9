"""The parts of tables that are the same whatever makes the cells. Source: k8s.io/apiserver (asTable)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.printers.including import IncludeObject
from hyperkube_apiserver.printers.metadata import partial
from hyperkube_apiserver.printers.pods import pod_conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hyperkube_apiserver.kinds import Column, Kind
    from hyperkube_apiserver.printers.cells import Tree

__all__ = ["definitions", "row"]

_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


def row(
    kind: Kind,
    obj: Tree,
    cells: list[Any],
    include: IncludeObject,
    version: str,
    shown: Callable[[dict[str, Any]], dict[str, Any]] | None,
) -> dict[str, Any]:
    """A row of `cells`, with as much of the object as is asked for."""
    row: dict[str, Any] = {"cells": cells}
    if kind.resource.kind == "Pod" and (conditions := pod_conditions(obj)):
        row["conditions"] = conditions
    if include is IncludeObject.OBJECT:
        whole = shown(dict(obj)) if shown is not None else obj
        row["object"] = {**whole, "kind": kind.resource.kind, "apiVersion": kind.resource.api_version}
    elif include is IncludeObject.METADATA or _INITIAL_EVENTS_END in (obj["metadata"].get("annotations") or ()):
        row["object"] = partial(obj, version, kind=kind)
    else:
        row["object"] = None
    return row


def definitions(columns: Iterable[Column]) -> list[dict[str, Any]]:
    """What is told of columns."""
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in columns
    ]
