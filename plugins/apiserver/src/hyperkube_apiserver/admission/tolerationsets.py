"""Sets of tolerations: which of them include others. Source: k8s.io/kubernetes/pkg/util/tolerations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["are_within", "merge_tolerations"]

Tree = dict[str, Any]


def merge_tolerations(tolerations: Sequence[Tree]) -> list[Tree]:
    """`tolerations` without those that others of them include."""
    merged: list[Tree] = []
    for index, one in enumerate(tolerations):
        later = (other for other in tolerations[index + 1 :] if _plain(other) != _plain(one))
        if not any(_includes(other, one) for other in (*merged, *later)):
            merged.append(one)
    return merged


def are_within(tolerations: Iterable[Tree], allowed: Sequence[Tree]) -> bool:
    """Whether each of `tolerations` is included in one of `allowed`; all are if nothing is allowed in particular."""
    return not allowed or all(any(_includes(wide, one) for wide in allowed) for one in tolerations)


def _plain(toleration: Tree) -> Tree:
    return {name: value for name, value in toleration.items() if value not in (None, "")}


def _includes(wide: Tree, narrow: Tree) -> bool:
    """Whether what `narrow` tolerates, `wide` tolerates too."""
    if _plain(wide) == _plain(narrow):
        return True
    operator, key, effect = (wide.get(field) or "" for field in ("operator", "key", "effect"))
    if (narrow.get("key") or "") != key and (key or operator != "Exists"):
        return False
    if effect and (narrow.get("effect") or "") != effect:
        return False
    seconds, others = wide.get("tolerationSeconds"), narrow.get("tolerationSeconds")
    if effect == "NoExecute" and seconds is not None and (others is None or others > seconds):
        return False
    if operator in ("Equal", ""):
        return narrow.get("operator") == "Equal" and (narrow.get("value") or "") == (wide.get("value") or "")
    return bool(operator == "Exists")
