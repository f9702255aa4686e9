"""The rows of claims to devices and of slices of them. Source: k8s.io/kubernetes/pkg/printers/internalversion."""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.printers.cells import Tree, age, name

__all__ = ["aged", "resource_claim", "resource_slice"]


def aged(obj: Tree, now: float) -> list[Any]:
    """Name, Age: of device classes and of templates of claims."""
    return [name(obj), age(obj, now)]


def resource_claim(obj: Tree, now: float) -> list[Any]:
    """Name, State, Age."""
    status = obj.get("status") or {}
    deleted = bool(obj["metadata"].get("deletionTimestamp"))
    states = ["deleted"] if deleted else []
    if status.get("allocation") is not None:
        states.append("allocated")
        if status.get("reservedFor"):
            states.append("reserved")
    elif not deleted:
        states.append("pending")
    return [name(obj), ",".join(states), age(obj, now)]


def resource_slice(obj: Tree, now: float) -> list[Any]:
    """Name, Node, Driver, Pool, Age."""
    spec = obj.get("spec") or {}
    pool = (spec.get("pool") or {}).get("name", "")
    return [name(obj), spec.get("nodeName", ""), spec.get("driver", ""), pool, age(obj, now)]
