"""Macros: calls that the parser turns into other expressions before anything is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hyperkube_machinery.cel.ast import Expression
from hyperkube_machinery.cel.expansion import Expander

__all__ = ["Expansion", "Macro"]

Expansion = Callable[[Expander, Expression | None, Sequence[Expression]], Expression | None]
"""Makes the expression from the target and the arguments, or None: it is an ordinary call. Raises MacroError."""


@dataclass(frozen=True, slots=True)
class Macro:
    """A call of this name, number of arguments (None: any) and form is expanded."""

    name: str
    arguments: int | None
    member: bool
    expand: Expansion
