"""What expressions may mention, and the way from their text to programs.

    environment = Environment(variables={"self": ObjectType("self", {"replicas": Field(INT)})})
    checked = environment.compile("self.replicas <= 3")
    program = environment.program(checked, cost_limit=1_000_000)
    program.evaluate({"self": {"replicas": 2}}).value  # True

An environment never changes and may be shared; `extend` makes a larger one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hyperkube_machinery.cel.ast import Expression
from hyperkube_machinery.cel.bounds import CallEstimate, Size
from hyperkube_machinery.cel.library import CallCost, Library
from hyperkube_machinery.cel.types import Type, TypeProvider

__all__ = ["Checked", "CostModel", "Environment", "Program", "Result", "Settings"]


class CostModel(Protocol):
    """Prices calls in place of what overloads say; asked when a program is made, and when costs are estimated."""

    def call_cost(self, function: str, overload: str) -> CallCost | None:
        """Prices every call of this overload (its id; empty if only evaluation will tell which); None: no opinion."""

    def estimate_call(
        self, function: str, overload: str, target: SizedNode | None, arguments: list[SizedNode]
    ) -> CallEstimate | None:
        """What this call may cost, without its arguments; None: no opinion."""


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


@dataclass(frozen=True, slots=True)
class Settings:
    """How strictly expressions are taken. The defaults are those of Kubernetes' API servers."""

    cross_type_numeric_comparisons: bool = True
    homogeneous_literals: bool = True  # the items of a list literal are of one type, or dyn
    check_literals: bool = True  # durations, timestamps and patterns that are literals must be valid
    presence_test_cost: int = 0  # of has()
    size_limit: int = 100_000  # code points
    depth_limit: int = 250


@dataclass(frozen=True, slots=True)
class Result:
    value: Any
    cost: int


@dataclass(frozen=True, slots=True)
class Checked:
    """An expression whose types fit."""

    text: str
    expression: Expression
    type: Type
    types: Mapping[Expression, Type]
    overloads: Mapping[Expression, tuple[str, ...]]  # of calls: the ids of those that may be meant
    variables: frozenset[str]  # of the environment, that the expression mentions


class Program(Protocol):
    """An expression ready to be evaluated, as often as one likes, from any thread."""

    def evaluate(self, activation: Mapping[str, Any]) -> Result:
        """The value for these variables. Raises EvaluationError, CostExceeded."""


class Environment:
    def __init__(
        self,
        *,
        variables: Mapping[str, Type] | None = None,
        libraries: Iterable[Library] = (),
        types: TypeProvider | None = None,
        container: str = "",
        costs: CostModel | None = None,
        settings: Settings | None = None,
    ) -> None:
        """The standard library is always there; `libraries` come on top."""
        raise NotImplementedError

    def extend(
        self,
        *,
        variables: Mapping[str, Type] | None = None,
        libraries: Iterable[Library] = (),
        types: TypeProvider | None = None,
    ) -> Environment:
        """This environment and more; `types` are asked before those of this one."""
        raise NotImplementedError

    def compile(self, text: str) -> Checked:
        """Parse and check. Raises CompileError, whose text is cel-go's."""
        raise NotImplementedError

    def program(self, checked: Checked, *, cost_limit: int | None = None) -> Program:
        """What evaluates `checked`; an evaluation that costs more than the limit raises CostExceeded."""
        raise NotImplementedError
