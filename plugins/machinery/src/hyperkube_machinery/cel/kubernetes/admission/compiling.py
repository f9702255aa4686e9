"""Expressions as programs. Equal ones in equal environments are compiled once, for whichever object they stand in.

Source: k8s.io/apiserver/pkg/admission/plugin/cel/{compile,composition}.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyperkube_machinery.cel.environment import Environment, Program
from hyperkube_machinery.cel.errors import CELError, CompileError
from hyperkube_machinery.cel.kubernetes.admission.declarations import environment, with_variables
from hyperkube_machinery.cel.kubernetes.environments import program_of
from hyperkube_machinery.cel.types import DYN, Type
from hyperkube_machinery.remembering import Latest

__all__ = ["Compiled", "Compiler", "type_text"]

_MOST_KEPT = 2048


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression and what became of it: exactly one of `program` and `error` says something."""

    text: str
    program: Program | None = None
    type: Type | None = None
    error: str = ""
    is_internal: bool = False  # the error is not the expression's


_Key = tuple[str, tuple[str, ...], bool, bool, bool, tuple[tuple[str, str], ...] | None]
_kept: Latest[_Key, Compiled] = Latest(_MOST_KEPT)


class Compiler:
    """Compiles the expressions of one object, in which later ones may mention variables that earlier ones declared."""

    def __init__(self, *, params: bool) -> None:
        """`params`: whether there are parameters."""
        self._params = params
        self._variables: dict[str, Type] | None = None  # None: there are none to come

    def declare(self, name: str, text: str) -> Compiled:
        """Compile what the variable `name` stands for, and let what follows mention it."""
        if self._variables is None:
            self._variables = {}
        compiled = self.compile(text)
        self._variables[name] = compiled.type or DYN
        return compiled

    def compile(
        self, text: str, returns: Sequence[Type] = (), *, authorizer: bool = True, patches: bool = False
    ) -> Compiled:
        """Compile an expression whose value is of one of the types `returns`, or of any if there are none."""
        variables = None
        if self._variables is not None:
            variables = tuple((name, str(type_)) for name, type_ in self._variables.items())
        key = (text, tuple(map(type_text, returns)), self._params, authorizer, patches, variables)
        found = _kept.get(key)
        if found is None:
            found = _compiled(text, returns, self._environment(authorizer, patches))
            _kept.put(key, found)
        return found

    def _environment(self, authorizer: bool, patches: bool) -> Environment:
        base = environment(params=self._params, authorizer=authorizer, patches=patches)
        return base if self._variables is None else with_variables(base, self._variables)


def _compiled(text: str, returns: Sequence[Type], within: Environment) -> Compiled:
    try:
        checked = within.compile(text)
    except CompileError as exc:
        return Compiled(text, error=f"compilation failed: {exc}")
    if returns and checked.type not in returns:
        wanted, found = [type_text(one) for one in returns], type_text(checked.type)
        if len(wanted) == 1:
            return Compiled(text, error=f"must evaluate to {wanted[0]} but got {found}")
        return Compiled(text, error=f"must evaluate to one of [{' '.join(wanted)}] but got {found}")
    try:
        program = program_of(within, checked)
    except CELError as exc:
        return Compiled(text, error=f"program instantiation failed: {exc}", is_internal=True)
    return Compiled(text, program, checked.type)


def type_text(type_: Type) -> str:
    """A type as Go's cel.Type tells it, which writes the names of types in full."""
    if not type_.parameters:
        return type_.name
    return f"{type_.name}({', '.join(map(type_text, type_.parameters))})"
