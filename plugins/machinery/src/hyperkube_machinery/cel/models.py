"""Who tells what calls cost and may cost: functions themselves, and those who know these, or their data, better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hyperkube_machinery.cel.ast import Expression
from hyperkube_machinery.cel.bounds import CallEstimate, Size
from hyperkube_machinery.cel.types import Type

__all__ = ["CallCost", "CallEstimator", "CostModel", "SizedNode", "Sizes"]

CallCost = Callable[[Sequence[Any], Any], int]
"""What a call cost, from its arguments (the target first) and its result."""


class SizedNode(Protocol):
    """A part of an expression whose cost is estimated."""

    @property
    def path(self) -> tuple[str, ...]:
        """From a variable through fields, "@items", "@keys", "@values"; empty if it is nothing reachable so."""

    @property
    def type(self) -> Type: ...

    @property
    def expression(self) -> Expression: ...

    @property
    def size(self) -> Size | None:
        """What is known of its size: from the expression, or from the one who knows the data; None: nothing."""

    @property
    def element(self) -> SizedNode | None:
        """Any item of a list, at the list's path and "@items" if that has a path; None for what is no list."""


CallEstimator = Callable[[SizedNode | None, Sequence[SizedNode]], CallEstimate | None]
"""Estimates one call from the target of a member call (else None) and the arguments; None: it has no opinion."""


class CostModel(Protocol):
    """Prices calls in place of what overloads say; asked when a program is made, and when costs are estimated."""

    def call_cost(self, function: str, overload: str) -> CallCost | None:
        """Prices every call of this overload (its id; empty if only evaluation will tell which); None: no opinion."""

    def estimate_call(
        self, function: str, overload: str, target: SizedNode | None, arguments: Sequence[SizedNode]
    ) -> CallEstimate | None:
        """What this call may cost, without its arguments; None: no opinion."""


Sizes = Callable[[SizedNode], Size | None]
"""Tells how large the data at a node's path may be; None: nothing is known. Not asked for what expressions tell."""
