"""What is doubtful about the expressions of a policy, seen against the schemas of what it is about.

Policies are evaluated without looking at schemas; this only tells their authors of what can hardly be meant.
Source: k8s.io/apiserver/pkg/admission/plugin/policy/validating/typechecking.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hyperkube_machinery.cel.environment import Environment
from hyperkube_machinery.cel.errors import CompileError
from hyperkube_machinery.cel.kubernetes.admission.declarations import typed_environment, with_variables
from hyperkube_machinery.cel.kubernetes.declared import Declared
from hyperkube_machinery.cel.types import DYN, Type

__all__ = ["MOST_RESOURCES", "Checked", "expression_warnings", "resources_to_check"]

Tree = Mapping[str, Any]

Named = tuple[str, str, str]
"""Group, version and plural."""

MOST_RESOURCES = 10
"""Kinds that are looked at for one rule."""
_WILD = "*"


@dataclass(frozen=True, slots=True)
class Checked:
    """A kind that a policy is checked for."""

    group: str
    version: str
    kind: str
    declared: Declared | None  # None: nothing is known of its objects

    def __str__(self) -> str:
        """As Go writes it."""
        return f"{self.group}/{self.version}, Kind={self.kind}"


def resources_to_check(spec: Tree) -> Iterator[Sequence[Named]]:
    """What each rule of a policy names without wildcards, in order; one that names MOST_RESOURCES ends the search."""
    for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = sorted(rule.get("apiGroups") or ()), sorted(rule.get("apiVersions") or ())
        if any(_WILD in name for name in (*groups, *versions)):
            continue
        resources = sorted(name for name in rule.get("resources") or () if _WILD not in name and "/" not in name)
        yield list(product(groups, versions, resources))


def expression_warnings(spec: Tree, kinds: Sequence[Checked], params: Declared | None) -> list[dict[str, str]]:
    """What stands in `status.typeChecking.expressionWarnings`; `params` are of the policy's paramKind."""
    ordered = sorted(kinds, key=lambda one: (one.group, one.version, one.kind))
    has_params = spec.get("paramKind") is not None
    environments = [(str(kind), _environment(spec, kind, params, has_params=has_params)) for kind in ordered]
    warnings = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for field in ("expression", "messageExpression"):
            text = validation.get(field) or ""
            found = [f"{kind}: {wrong}\n" for kind, within in environments if (wrong := _wrong(text, within))]
            if found:
                warnings.append({"fieldRef": f"spec.validations[{index}].{field}", "warning": "\n".join(found)})
    return warnings


def _environment(spec: Tree, kind: Checked, params: Declared | None, *, has_params: bool) -> Environment:
    base = typed_environment(_type(kind.kind, kind.declared), _type("params", params) if has_params else None)
    variables: dict[str, Type] = {}
    for variable in spec.get("variables") or ():
        within = with_variables(base, variables)
        try:
            variables[variable["name"]] = within.compile(variable["expression"]).type
        except CompileError:
            variables[variable["name"]] = DYN
    return with_variables(base, variables)


def _type(name: str, declared: Declared | None) -> Type:
    return DYN if declared is None else declared.named(name)


def _wrong(text: str, within: Environment) -> str:
    if not text:
        return ""
    try:
        within.compile(text)
    except CompileError as exc:
        return str(exc)
    return ""
