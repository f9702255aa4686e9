"""The expressions of a policy, compiled.

Source: k8s.io/apiserver/pkg/admission/plugin/policy/{validating,mutating} (compilePolicy).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.cel.kubernetes.admission.compiling import Compiled, Compiler
from hyperkube_machinery.cel.kubernetes.admission.patchtypes import JSON_PATCH, OBJECT
from hyperkube_machinery.cel.types import BOOL, NULL, STRING, list_of

__all__ = ["Condition", "Mutation", "Programs", "Validation", "conditions"]

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the matchConditions, all of which must hold."""

    name: str
    program: Compiled


@dataclass(frozen=True, slots=True)
class Validation:
    """What must hold, and what is told where it does not."""

    program: Compiled
    message: str
    message_program: Compiled | None
    reason: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """What makes a patch."""

    program: Compiled
    is_json_patch: bool


def conditions(trees: Sequence[Tree], compiler: Compiler) -> tuple[Condition, ...]:
    """matchConditions, of a policy or a webhook."""
    return tuple(
        Condition(tree.get("name") or "", compiler.compile(tree.get("expression") or "", (BOOL,))) for tree in trees
    )


class Programs:
    """All that a policy evaluates."""

    def __init__(self, spec: Tree) -> None:
        params = spec.get("paramKind") is not None
        self.conditions = conditions(spec.get("matchConditions") or (), Compiler(params=params))
        compiler = Compiler(params=params)
        self.variables: Mapping[str, Compiled] = {
            tree["name"]: compiler.declare(tree["name"], tree["expression"]) for tree in spec.get("variables") or ()
        }
        self.validations = tuple(_validation(tree, compiler) for tree in spec.get("validations") or ())
        self.annotations: Sequence[tuple[str, Compiled]] = tuple(
            (tree["key"], compiler.compile(tree["valueExpression"], (STRING, NULL)))
            for tree in spec.get("auditAnnotations") or ()
        )
        self.mutations = tuple(_mutation(tree, compiler) for tree in spec.get("mutations") or ())


def _validation(tree: Tree, compiler: Compiler) -> Validation:
    text = tree.get("messageExpression") or ""
    return Validation(
        program=compiler.compile(tree["expression"], (BOOL,)),
        message=(tree.get("message") or "").strip(),
        message_program=compiler.compile(text, (STRING,), authorizer=False) if text else None,
        reason=tree.get("reason") or "Invalid",
    )


def _mutation(tree: Tree, compiler: Compiler) -> Mutation:
    if tree.get("patchType") == "JSONPatch":
        returns, text = list_of(JSON_PATCH), tree["jsonPatch"]["expression"]
        return Mutation(compiler.compile(text, (returns,), patches=True), True)
    text = tree["applyConfiguration"]["expression"]
    return Mutation(compiler.compile(text, (OBJECT,), patches=True), False)
