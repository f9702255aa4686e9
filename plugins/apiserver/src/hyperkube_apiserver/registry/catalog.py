"""Which strategy each kind has."""

from __future__ import annotations

from collections.abc import Mapping

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.strategy import Strategy

__all__ = ["strategies"]

Key = tuple[str, str, str]

_CLASSES: Mapping[tuple[str, str], type[Strategy]] = {}


def strategies(kinds: Mapping[Key, Kind]) -> dict[Key, Strategy]:
    """A strategy for each of `kinds`, by (group, version, plural)."""
    return {key: _CLASSES.get((key[0], key[2]), Strategy)(kind) for key, kind in kinds.items()}
