"""Claims of tokens, by their types.

They are signed, but by whoever has a key: a claim of another type than it should be refuses the token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.authn.jwt import TokenError

__all__ = ["Named", "audiences_of", "named_in", "text_of", "time_of", "tree_of"]

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Named:
    """What a claim says of an object."""

    name: str
    uid: str


def tree_of(told: Tree, claim: str) -> Tree:
    """An object, {} where there is none. Raises TokenError, as the others do."""
    value = told.get(claim)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _odd(claim)
    return value


def text_of(told: Tree, claim: str) -> str:
    """A string, "" where there is none."""
    value = told.get(claim)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _odd(claim)
    return value


def time_of(told: Tree, claim: str, default: float) -> float:
    """Seconds since the epoch, `default` where there are none."""
    value = told.get(claim)
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _odd(claim)
    return value


def named_in(ours: Tree, claim: str) -> Named | None:
    """An object that is named; None where none is."""
    if ours.get(claim) is None:
        return None
    value = tree_of(ours, claim)
    return Named(text_of(value, "name"), text_of(value, "uid"))


def audiences_of(told: Tree) -> tuple[str, ...]:
    """Whom a token is for."""
    value = told.get("aud")
    if value is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise _odd("aud")
    return tuple(values)


def _odd(claim: str) -> TokenError:
    return TokenError(f"the claim {claim} is not of its type")
