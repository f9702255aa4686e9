"""The rules of a definition, when it is written: whether they can be compiled, and what they may cost.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/{validation,cel_validation}.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hyperkube_apiserver.crd.rules.compiling import Compiled, compiled_rules, most_values
from hyperkube_apiserver.registry.apiextensions.internalform import shown_rule
from hyperkube_machinery.cel.kubernetes.declared import Declared, declared_type
from hyperkube_machinery.cel.kubernetes.escaping import escape
from hyperkube_machinery.cel.kubernetes.limits import UNBOUNDED
from hyperkube_machinery.errors import FieldError

__all__ = ["RULE_LIMIT", "SCHEMA_LIMIT", "validate_rules"]

Tree = Mapping[str, Any]

RULE_LIMIT = 10_000_000
"""Estimated cost of all evaluations of one rule in one object."""
SCHEMA_LIMIT = 100_000_000
"""Estimated cost of all rules of a schema together."""

_MOST_TOLD = 4  # of the rules that cost too much together
_HINT = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


def validate_rules(
    schema: Tree, path: str, faults: Sequence[FieldError], *, limits_rules: bool = True
) -> list[FieldError]:
    """What is wrong with the rules in the structural schema of a version, which stands at `path`.

    `faults` are those of the schema itself: nobody asks the rules of a part that has some. Without `limits_rules` a
    single rule may cost what it likes, as those that were accepted before may.
    """
    check = _Check(tuple(fault.field for fault in faults), limits_rules)
    check.visit(schema, _Place(path, cardinality=1, is_root=True))
    return check.errors + check.costs.errors(path)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a schema stands, and what is known from above."""

    path: str
    declared: Declared | None = None  # what its values are, if that is known already
    cardinality: int | None = None  # how many of them there may be; None if nothing limits that
    uncorrelated: str = ""  # the list above whose items have no old ones
    is_root: bool = False


@dataclass(slots=True)
class _Costs:
    """What the rules of a schema may cost together."""

    total: int = 0
    expensive: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: str, cost: int) -> None:
        self.total = min(self.total + cost, UNBOUNDED)
        if cost >= SCHEMA_LIMIT // 100:
            self.expensive.append((cost, path))

    def errors(self, path: str) -> list[FieldError]:
        if self.total <= SCHEMA_LIMIT:
            return []
        worst = sorted(self.expensive, key=lambda one: -one[0])[:_MOST_TOLD]
        text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        whole = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        return [
            *(FieldError.forbidden(at, text) for _, at in worst),
            FieldError.forbidden(path, _excess(whole, self.total, SCHEMA_LIMIT)),
        ]


class _Check:
    def __init__(self, faulty: tuple[str, ...], limits_rules: bool) -> None:
        self._faulty = faulty
        self._limits_rules = limits_rules
        self.costs = _Costs()
        self.errors: list[FieldError] = []

    def visit(self, schema: Tree, place: _Place) -> None:
        """The rules in what a schema holds, then its own."""
        rules = schema.get("x-kubernetes-validations") or ()
        declared = place.declared
        if declared is None and rules:
            declared = declared_type(schema, is_resource=place.is_root)
        within = replace(place, is_root=False, cardinality=_times(place.cardinality, _most_elements(schema)))
        element = declared.element if declared is not None else None
        if isinstance(others := schema.get("additionalProperties"), dict):
            self.visit(others, replace(within, path=f"{place.path}.additionalProperties", declared=element))
        for name, inner in (schema.get("properties") or {}).items():
            at = f"{place.path}.properties[{name}]"
            self.visit(inner, replace(within, path=at, declared=_field(declared, name)))
        if isinstance(items := schema.get("items"), dict):
            if schema.get("x-kubernetes-list-type") != "map" and not within.uncorrelated:
                within = replace(within, uncorrelated=place.path)
            self.visit(items, replace(within, path=f"{place.path}.items", declared=element))
        if rules and not self._is_faulty(place.path):
            self._check(schema, replace(place, declared=declared))

    def _is_faulty(self, path: str) -> bool:
        return any(one == path or one.startswith((f"{path}.", f"{path}[")) for one in self._faulty)

    def _check(self, schema: Tree, place: _Place) -> None:
        path = f"{place.path}.x-kubernetes-validations"
        if place.declared is None:
            why = "unable to convert structural schema to CEL declarations"
            text = f"internal error: failed to construct type information for x-kubernetes-validations rules: {why}"
            self.errors.append(FieldError.internal(path, text))
            return
        cardinality = most_values(place.declared) if place.cardinality is None else place.cardinality
        compiled = compiled_rules(schema, place.declared)
        for index, (rule, written) in enumerate(zip(compiled, schema["x-kubernetes-validations"], strict=True)):
            self._check_rule(rule, shown_rule(written), cardinality, f"{path}[{index}]", place.uncorrelated)

    def _check_rule(self, rule: Compiled, shown: Tree, cardinality: int, path: str, uncorrelated: str) -> None:
        self._charge("estimated rule cost", f"{path}.rule", min(rule.cost * cardinality, UNBOUNDED))
        if rule.error:
            self.errors.append(FieldError.invalid(f"{path}.rule", shown, rule.error))
        if rule.message_error:
            self.errors.append(FieldError.invalid(f"{path}.messageExpression", shown, rule.message_error))
        elif rule.message is not None:
            self._charge("estimated messageExpression cost", f"{path}.messageExpression", rule.message_cost)
        if rule.uses_old:
            if uncorrelated:
                text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
                self.errors.append(FieldError.invalid(f"{path}.rule", rule.spec.expression, text))
        elif rule.spec.optional_old is not None:
            text = "may not be set if oldSelf is not used in rule"
            self.errors.append(FieldError.invalid(f"{path}.optionalOldSelf", rule.spec.optional_old, text))

    def _charge(self, what: str, path: str, cost: int) -> None:
        if self._limits_rules and cost > RULE_LIMIT:
            self.errors.append(FieldError.forbidden(path, _excess(what, cost, RULE_LIMIT)))
        self.costs.add(path, cost)


def _field(declared: Declared | None, name: str) -> Declared | None:
    identifier = escape(name)
    if declared is None or declared.fields is None or identifier is None:
        return None
    return declared.fields.get(identifier, ("", None))[1]


def _most_elements(schema: Tree) -> int | None:
    """How many values each value of `schema` may hold; None if nothing limits that."""
    match schema.get("type"):
        case "object" if schema.get("additionalProperties") is not None:
            most = schema.get("maxProperties")
        case "array":
            most = schema.get("maxItems")
        case _:
            return 1
    return None if most is None else max(most, 0)


def _times(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else min(one * other, UNBOUNDED)


def _excess(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    told = "more than 100x" if factor > 100 else f"{factor:.1f}x" if factor >= 1.5 else f"{factor:f}x"
    return f"{what} exceeds budget by factor of {told} {_HINT}"
