"""What evaluating an expression may cost, before it is evaluated. Source: cel-go's checker/cost.go."""

from __future__ import annotations

from collections.abc import Callable

from hyperkube_machinery.cel.bounds import Cost, Size
from hyperkube_machinery.cel.environment import Checked, Environment, SizedNode

__all__ = ["Sizes", "estimate"]

Sizes = Callable[[SizedNode], Size | None]
"""Tells how large the data at a node's path may be; None: nothing is known. Not asked for what expressions tell."""


def estimate(environment: Environment, checked: Checked, sizes: Sizes | None = None) -> Cost:
    """The range of what evaluating `checked` may cost."""
    raise NotImplementedError
