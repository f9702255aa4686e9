"""Equality as JSON has it."""

from __future__ import annotations

from typing import Any

__all__ = ["alike", "same"]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal as JSON: 1 is not true, and 1.0 is not 1."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def alike(one: Any, other: Any) -> bool:
    """Whether two values are equal as values of ownership are: 1 is not true, but 1.0 is 1."""
    if one != other:
        return False
    if isinstance(one, dict):
        return all(alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return all(map(alike, one, other))
    return isinstance(one, bool) is isinstance(other, bool)
