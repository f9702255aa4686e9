"""`cel.bind(name, value, result)`. Source: cel-go's ext/bindings.go."""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_machinery.cel.ast import Expression, Ident
from hyperkube_machinery.cel.expansion import Expander, MacroError
from hyperkube_machinery.cel.libraries.optionals import bind
from hyperkube_machinery.cel.library import Library
from hyperkube_machinery.cel.macros import Macro

__all__ = ["BINDINGS"]


def _bind(make: Expander, target: Expression | None, arguments: Sequence[Expression]) -> Expression | None:
    if not isinstance(target, Ident) or target.name != "cel":
        return None
    name, value, result = arguments
    if not isinstance(name, Ident):
        raise MacroError("cel.bind() variable names must be simple identifiers", name)
    return bind(make, name.name, value, result)


BINDINGS = Library(name="cel.lib.ext.cel.bindings", macros=(Macro("bind", 3, True, _bind),))
