"""What several printers show alike. Source: k8s.io/kubernetes/pkg/printers/internalversion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from hyperkube_machinery.ages import since
from hyperkube_machinery.selectors import label_selector

__all__ = ["NONE", "UNSET", "Printer", "Tree", "age", "containers", "labels", "name", "selector", "truth"]

Tree: TypeAlias = Mapping[str, Any]
Printer: TypeAlias = Callable[[Tree, float], list[Any]]
"""The cells of one object, at a time in seconds since the epoch."""

NONE = "<none>"
UNSET = "<unset>"


def name(obj: Tree) -> str:
    """The object's name."""
    return str(obj["metadata"].get("name", ""))


def age(obj: Tree, now: float) -> str:
    """How long ago the object was created."""
    return since(obj["metadata"].get("creationTimestamp"), now)


def labels(values: Mapping[str, str] | None) -> str:
    """Labels as `a=b,c=d`."""
    return ",".join(f"{key}={value}" for key, value in sorted((values or {}).items())) or NONE


def selector(tree: Tree | None, *, empty: str = NONE, invalid: str = "<error>") -> str:
    """A LabelSelector in the syntax of a query."""
    try:
        return str(label_selector(tree)) or empty
    except ValueError:
        return invalid


def containers(template: Tree | None) -> tuple[str, str]:
    """The names and the images of a pod template's containers."""
    listed: Iterable[Tree] = ((template or {}).get("spec") or {}).get("containers") or ()
    listed = list(listed)
    return (
        ",".join(container.get("name", "") for container in listed),
        ",".join(container.get("image", "") for container in listed),
    )


def truth(value: bool | None) -> str:
    """A boolean that may be absent."""
    return UNSET if value is None else str(value)
