"""What expressions may mention, and the way from their text to programs.

    environment = Environment(variables={"self": ObjectType("self", {"replicas": Field(INT)})})
    checked = environment.compile("self.replicas <= 3")
    program = environment.program(checked, cost_limit=1_000_000)
    program.evaluate({"self": {"replicas": 2}}).value  # True

An environment never changes and may be shared; `extend` makes a larger one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass

from hyperkube_machinery.cel.ast import Expression
from hyperkube_machinery.cel.checking import Findings, check
from hyperkube_machinery.cel.compiling import Compiler
from hyperkube_machinery.cel.declarations import Declarations, Vocabulary
from hyperkube_machinery.cel.depth import deep_calls, is_deep
from hyperkube_machinery.cel.libraries.standard import CROSS_TYPE_COMPARISONS, STANDARD
from hyperkube_machinery.cel.library import Library
from hyperkube_machinery.cel.models import CostModel, SizedNode
from hyperkube_machinery.cel.parsing import parse
from hyperkube_machinery.cel.programs import Compiled, Program, Result
from hyperkube_machinery.cel.source import Source
from hyperkube_machinery.cel.types import ObjectType, Type, TypeProvider
from hyperkube_machinery.cel.validation import check_literals
from hyperkube_machinery.patience import current

__all__ = ["Checked", "CostModel", "Environment", "Program", "Result", "Settings", "SizedNode"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How strictly expressions are taken. The defaults are those of Kubernetes' API servers."""

    cross_type_numeric_comparisons: bool = True
    homogeneous_literals: bool = True  # the items of a list literal are of one type, or dyn
    check_literals: bool = True  # durations, timestamps and patterns that are literals must be valid
    presence_test_cost: int = 0  # of has()
    evaluate_constants: bool = True  # before any evaluation, which then pays nothing for them
    size_limit: int = 100_000  # code points
    depth_limit: int = 250


@dataclass(frozen=True, slots=True)
class Checked:
    """An expression whose types fit."""

    text: str
    expression: Expression
    type: Type
    findings: Findings
    variables: frozenset[str]  # of the environment, that the expression mentions

    @property
    def types(self) -> Mapping[Expression, Type]:
        return self.findings.types

    @property
    def overloads(self) -> Mapping[Expression, tuple[str, ...]]:
        """Of calls: the ids of the overloads that may be meant."""
        return {node: meaning.overloads for node, meaning in self.findings.meanings.items() if meaning.overloads}


class _Chain:
    """Types of several providers, the first that knows a name."""

    __slots__ = ("_providers",)

    def __init__(self, *providers: TypeProvider) -> None:
        self._providers = providers

    def get(self, name: str, /) -> ObjectType | None:
        for provider in self._providers:
            found = provider.get(name)
            if found is not None:
                return found
        return None


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
        self._libraries = {library.name: library for library in libraries}
        self._vocabulary = Vocabulary((STANDARD, *self._libraries.values()))
        self._container = container
        self.costs = costs
        self.settings = settings or Settings()
        self._declare(dict(variables or {}), {} if types is None else types)

    def _declare(self, variables: Mapping[str, Type], types: TypeProvider) -> None:
        self._variables = variables
        self._types = types
        self.declarations = Declarations(variables, self._vocabulary, types, self._container)
        self._disabled = frozenset() if self.settings.cross_type_numeric_comparisons else CROSS_TYPE_COMPARISONS

    def extend(
        self,
        *,
        variables: Mapping[str, Type] | None = None,
        libraries: Iterable[Library] = (),
        types: TypeProvider | None = None,
    ) -> Environment:
        """This environment and more; `types` are asked before those of this one."""
        extended = copy(self)
        added = {library.name: library for library in libraries}
        if added:
            extended._libraries = {**self._libraries, **added}
            extended._vocabulary = Vocabulary((STANDARD, *extended._libraries.values()))
        known = self._types if types is None else _Chain(types, self._types)
        extended._declare({**self._variables, **(variables or {})}, known)
        return extended

    def compile(self, text: str) -> Checked:
        """Parse and check. Raises CompileError, whose text is cel-go's, and TakesLong if it has to be prompt."""
        if (patience := current()) is not None:
            patience.check_text(text)
        source = Source(text)
        settings = self.settings
        expression = parse(
            source, self.declarations.macros, size_limit=settings.size_limit, depth_limit=settings.depth_limit
        )
        with deep_calls(needed=is_deep(expression)):
            findings = check(expression, self.declarations, disabled=self._disabled)
        problems = findings.problems
        if not problems and settings.check_literals:
            problems = check_literals(expression, findings, mixed=not settings.homogeneous_literals)
        if problems:
            raise source.failure(problems)
        variables = frozenset(
            meaning.name for meaning in findings.meanings.values() if meaning.is_variable and not meaning.local
        )
        return Checked(text, expression, findings.types[expression], findings, variables)

    def program(self, checked: Checked, *, cost_limit: int | None = None) -> Program:
        """What evaluates `checked`; an evaluation that costs more than the limit raises CostExceeded.

        Raises EvaluationError if what can be evaluated beforehand fails: `int("x")`, a pattern that is none.
        """
        text = checked.text

        def compile_without(missing: frozenset[str]) -> Compiled:
            return self._compiled(self.compile(text), missing)

        return Program(self._compiled(checked, frozenset()), compile_without, limit=cost_limit)

    def _compiled(self, checked: Checked, missing: frozenset[str]) -> Compiled:
        deep = is_deep(checked.expression)
        compiler = Compiler(
            checked.findings,
            self.declarations,
            self.costs,
            presence_cost=self.settings.presence_test_cost,
            constants=self.settings.evaluate_constants,
            missing=missing,
        )
        with deep_calls(needed=deep):
            code = compiler.compile(checked.expression)
        return Compiled(code.run, code.cost, tuple(compiler.slots), compiler.size, deep)
