"""Equality as JSON has it."""

from __future__ import annotations

from typing import Any

__all__ = ["same"]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal as JSON: 1 is not true, and 1.0 is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
