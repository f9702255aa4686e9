"""How rules are compiled, shared and charged."""

from __future__ import annotations

import weakref
from typing import Any

from hyperkube_apiserver.crd.rules import BUDGET, Budget, compile_rules
from hyperkube_apiserver.crd.rules.compiling import compiled_rules, most_values
from hyperkube_apiserver.registry.apiextensions.schemas import Leniency, validate_schema
from hyperkube_machinery.cel.kubernetes.declared import declared_type


def schema(*expressions: str, **fields: Any) -> dict[str, Any]:
    rules = [{"rule": expression} for expression in expressions]
    return {"type": "object", "properties": fields, "x-kubernetes-validations": rules}


NUMBER = {"type": "integer"}
EXPENSIVE = {
    "type": "object",
    "properties": {
        "l": {
            "type": "array",
            "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self.contains('abc')"}]},
        }
    },
}


def test_a_schema_without_rules_has_none() -> None:
    assert compile_rules({"type": "object", "properties": {"a": NUMBER}}) is None


def test_rules_are_compiled_when_they_are_asked() -> None:
    rules = compile_rules({"type": "object", "properties": {"a": schema("self.x > 1", x=NUMBER)}})
    assert rules is not None
    assert rules.validate({}) == []
    assert [error.field for error in rules.validate({"a": {"x": 1}})] == ["a"]


def test_equal_schemas_share_their_programs() -> None:
    first, second = schema("self.a > 41", a=NUMBER), schema("self.a > 41", a=NUMBER)
    declared = declared_type(first)
    assert declared is not None
    shared = compiled_rules(first, declared)
    assert compiled_rules(second, declared) is shared


def test_rules_that_nobody_asks_are_forgotten() -> None:
    def fresh(number: int) -> dict[str, Any]:
        return schema(f"self.a > {number}", a=NUMBER)

    declared = declared_type(fresh(0))
    assert declared is not None
    first = weakref.ref(compiled_rules(fresh(1_000_000), declared))
    for number in range(1_000_001, 1_000_100):
        compiled_rules(fresh(number), declared)
    assert first() is None


def test_the_smallest_values_are_the_most() -> None:
    number, text = declared_type(NUMBER), declared_type({"type": "string"})
    assert number is not None
    assert text is not None
    assert most_values(number) == 3 * 1024 * 1024 // 2
    assert most_values(text) == 3 * 1024 * 1024 // 3


def test_a_budget_is_shared_by_all_that_it_is_given_to() -> None:
    rules = compile_rules(schema("self.a > 1", "self.a < 9", a=NUMBER))
    assert rules is not None
    budget = Budget(BUDGET)
    assert rules.validate({"a": 5}, budget=budget) == []
    cost = BUDGET - budget.left
    assert cost > 0
    tight = Budget(cost)
    assert rules.validate({"a": 5}, budget=tight) == []
    (error,) = rules.validate({"a": 5}, budget=tight)
    assert error.detail.startswith("validation failed due to running out of cost budget")
    assert rules.validate({"a": 5}, budget=tight) == []


def test_without_warnings_what_did_not_change_fails_all_the_same() -> None:
    rules = compile_rules({"type": "object", "properties": {"s": schema("self.a > 5", a=NUMBER)}})
    assert rules is not None
    value = {"s": {"a": 1}}
    assert [error.field for error in rules.validate(value, value)] == ["s"]
    warnings: list[str] = []
    assert rules.validate(value, value, warn=warnings.append) == []
    assert warnings == ["s: Invalid value: failed rule: self.a > 5"]


def test_a_rule_that_the_stored_schema_has_may_cost_what_it_likes() -> None:
    def complaints(limits_rules: bool) -> list[str]:
        errors = validate_schema(EXPENSIVE, "schema", Leniency(), has_status=False, limits_rules=limits_rules)
        return [error.detail.split(" exceeds")[0] for error in errors]

    both = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
    whole = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
    assert complaints(True) == ["estimated rule cost", both, whole]
    assert complaints(False) == [both, whole]


def test_paths_begin_where_they_are_told_to() -> None:
    rules = compile_rules(schema("self.a > 5", a=NUMBER), is_resource=False)
    assert rules is not None
    assert [error.field for error in rules.validate({"a": 1}, path="spec.default")] == ["spec.default"]
    assert [error.field for error in rules.validate({"a": 1})] == ["<nil>"]


def test_errors_call_fields_as_expressions_do() -> None:
    fields = {name: {"type": "string"} for name in ("a-b", "namespace")}
    expressions = ("self.a__dash__b == 'x'", "self.__namespace__ == 'x'", "self.?a__dash__b.orValue('x') == 'x'")
    rules = compile_rules(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": fields,
                    "x-kubernetes-validations": [{"rule": one} for one in expressions],
                }
            },
        }
    )
    assert rules is not None
    assert [error.message for error in rules.validate({"spec": {}})] == [
        f"Invalid value: \"object\": no such key: {called} evaluating rule: self.{called} == 'x'"
        for called in ("a__dash__b", "__namespace__")
    ]
    assert rules.validate({"spec": {"a-b": "x", "namespace": "x"}}) == []
