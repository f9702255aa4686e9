"""What the checks of pods have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["Tree", "Violation", "containers", "counted", "in_user_namespace", "is_windows", "quoted", "security", "who"]

Tree = Mapping[str, Any]


class Violation(NamedTuple):
    """Why a pod is refused: in short, which is told of many, and in full, which is told of one."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def containers(spec: Tree) -> Iterator[Tree]:
    """Every container, in the order in which refusals name them."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def security(part: Tree) -> Tree:
    """The security context of a pod or container."""
    return part.get("securityContext") or {}


def in_user_namespace(spec: Tree) -> bool:
    """Whether the pod's users are none of the node's."""
    return spec.get("hostUsers") is False


def is_windows(spec: Tree) -> bool:
    return bool((spec.get("os") or {}).get("name") == "windows")


def quoted(items: Collection[str]) -> str:
    return '"' + '", "'.join(items) + '"' if items else ""


def counted(items: Collection[str], one: str, many: str = "") -> str:
    """`one` or `many`, by how many there are; many are an `s` more than one, if nothing is said."""
    return one if len(items) == 1 else many or f"{one}s"


def who(names: list[str], *, pod: bool = False) -> str:
    """`pod and containers "a", "b"`; "" for nobody."""
    told = ["pod"] if pod else []
    if names:
        told.append(f"{counted(names, 'container')} {quoted(names)}")
    return " and ".join(told)
