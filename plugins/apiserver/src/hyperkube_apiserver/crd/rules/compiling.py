"""Rules as programs, with what evaluating them may cost. Equal rules of equal schemas are compiled once.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/compilation.go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any
from weakref import WeakValueDictionary

from hyperkube_apiserver.crd.rules.fieldpaths import normalized
from hyperkube_apiserver.crd.rules.specs import RuleSpec, rules_of
from hyperkube_machinery.cel.environment import Checked, Environment, Program
from hyperkube_machinery.cel.errors import CELError, CompileError
from hyperkube_machinery.cel.estimation import estimate
from hyperkube_machinery.cel.kubernetes.declared import Declared
from hyperkube_machinery.cel.kubernetes.environments import base_environment, program_of
from hyperkube_machinery.cel.kubernetes.limits import MAX_REQUEST
from hyperkube_machinery.cel.types import BOOL, STRING, Type, optional_of
from hyperkube_machinery.encoding import encode

__all__ = ["Compiled", "RuleSet", "compiled_rules", "most_values"]

Tree = Mapping[str, Any]

_MOST_KEPT = 64  # schemas whose rules nobody has been asking lately


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule and what became of it; without a program and an error, it is empty."""

    spec: RuleSpec
    error: str = ""
    program: Program | None = None
    uses_old: bool = False
    cost: int = 0  # the most that one evaluation may cost, in units that estimates are in
    message_error: str = ""
    message: Program | None = None
    message_cost: int = 0
    field_path: str = ""  # as errors tell it; empty if there is none, or none that leads anywhere


class RuleSet(list[Compiled]):
    """The rules of one schema, in order; as long as somebody has them, equal schemas have the same."""

    __slots__ = ("__weakref__",)


_used: WeakValueDictionary[bytes, RuleSet] = WeakValueDictionary()
_kept: deque[RuleSet] = deque(maxlen=_MOST_KEPT)  # of definitions that were checked: their objects come next


def compiled_rules(schema: Tree, declared: Declared) -> RuleSet:
    """The rules of a structural schema itself, whose values are `declared` to be this."""
    key = sha256(encode(schema)).digest()
    if (found := _used.get(key)) is None:
        compiler = _Compiler(schema, declared, key)
        found = _used[key] = RuleSet(map(compiler.compile, rules_of(schema)))
        _kept.append(found)
    return found


def most_values(declared: Declared) -> int:
    """How many such values one request may hold at the most."""
    return MAX_REQUEST // (declared.least_json + 1)


class _Compiler:
    def __init__(self, schema: Tree, declared: Declared, key: bytes) -> None:
        self._schema = schema
        self._declared = declared
        # Nobody is to rely on the name of the type, so it tells nothing; upstream's is another each time.
        self._type = declared.named(f"selfType{int.from_bytes(key[:4], 'big')}")

    @cached_property
    def _with_old(self) -> Environment:
        return self._environment(self._type)

    @cached_property
    def _with_optional_old(self) -> Environment:
        return self._environment(optional_of(self._type))

    def _environment(self, old: Type) -> Environment:
        return base_environment().extend(variables={"self": self._type, "oldSelf": old})

    def compile(self, spec: RuleSpec) -> Compiled:
        if spec.is_empty:
            return Compiled(spec)
        environment = self._with_optional_old if spec.optional_old else self._with_old
        try:
            checked = environment.compile(spec.expression)
        except CompileError as exc:
            return Compiled(spec, error=f"compilation failed: {exc}")
        if checked.type != BOOL:
            return Compiled(spec, error="cel expression must evaluate to a bool")
        uses_old = "oldSelf" in checked.variables
        try:
            program = program_of(environment, checked)
        except CELError as exc:
            return Compiled(spec, error=f"program instantiation failed: {exc}", uses_old=uses_old)
        message_error, message, message_cost = self._message(spec, environment)
        return Compiled(
            spec,
            program=program,
            uses_old=uses_old,
            cost=self._cost(environment, checked),
            message_error=message_error,
            message=message,
            message_cost=message_cost,
            field_path="" if message_error else normalized(spec.field_path, self._schema),
        )

    def _message(self, spec: RuleSpec, environment: Environment) -> tuple[str, Program | None, int]:
        if not spec.message_expression:
            return "", None, 0
        try:
            checked = environment.compile(spec.message_expression)
        except CompileError as exc:
            return f"messageExpression compilation failed: {exc}", None, 0
        if checked.type != STRING:
            return "messageExpression must evaluate to a string", None, 0
        try:
            program = program_of(environment, checked)
        except CELError as exc:
            return f"messageExpression instantiation failed: {exc}", None, 0
        return "", program, self._cost(environment, checked)

    def _cost(self, environment: Environment, checked: Checked) -> int:
        return estimate(environment, checked, lambda node: self._declared.size_at(node.path)).max
