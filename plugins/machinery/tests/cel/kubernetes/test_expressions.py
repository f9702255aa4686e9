"""Expressions of every library beside what upstream's API server said of them, asked as rules of a resource.

The data: by expression, the greatest cost it was estimated to have (of `[expression].size() < 0`; "beyond" what is
told), what it was as `%s` formats it, the error its evaluation ended with, or why it was refused.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hyperkube_machinery.cel.environment import Environment
from hyperkube_machinery.cel.errors import CompileError, EvaluationError
from hyperkube_machinery.cel.estimation import estimate
from hyperkube_machinery.cel.kubernetes.declared import Declared, declared_type
from hyperkube_machinery.cel.kubernetes.environments import base_environment, program_of

RECORDED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "expressions.json").read_text())
SCHEMA = {"type": "object", "properties": {"x": {"type": "string", "maxLength": 10}, "n": {"type": "integer"}}}
OBJECT = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "o"}, "x": "abc", "n": 3}
BEYOND = 10**6


@pytest.fixture(scope="module")
def declared() -> Declared:
    found = declared_type(SCHEMA, is_resource=True)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def environment(declared: Declared) -> Environment:
    type_ = declared.named("selfType")
    return base_environment().extend(variables={"self": type_, "oldSelf": type_})


def of(kind: str) -> list[str]:
    return [expression for expression, told in RECORDED.items() if kind in told]


@pytest.mark.parametrize("expression", of("refusal"))
def test_what_is_wrong_with_an_expression_is_told_in_upstreams_words(environment: Environment, expression: str) -> None:
    with pytest.raises((CompileError, EvaluationError)) as caught:
        program_of(environment, environment.compile(f"[{expression}].size() < 0"))
    what = "compilation" if isinstance(caught.value, CompileError) else "program instantiation"
    told = f"{what} failed: {caught.value}"
    assert re.sub(r"selfType\d+", "selfType", told) == RECORDED[expression]["refusal"]


@pytest.mark.parametrize("expression", of("estimate"))
def test_costs_are_estimated_to_the_unit(environment: Environment, declared: Declared, expression: str) -> None:
    checked = environment.compile(f"[{expression}].size() < 0")
    most = estimate(environment, checked, lambda node: declared.size_at(node.path)).max
    assert ("beyond" if most > BEYOND else most) == RECORDED[expression]["estimate"]


@pytest.mark.parametrize("expression", of("value"))
def test_expressions_have_upstreams_values(environment: Environment, expression: str) -> None:
    program = program_of(environment, environment.compile(f"'%s'.format([{expression}])"))
    assert program.evaluate({"self": OBJECT}).value == RECORDED[expression]["value"]


@pytest.mark.parametrize("expression", of("error"))
def test_evaluation_fails_in_upstreams_words(environment: Environment, expression: str) -> None:
    program = program_of(environment, environment.compile(f"[{expression}].size() < 0"))
    with pytest.raises(EvaluationError) as caught:
        program.evaluate({"self": OBJECT})
    assert str(caught.value) == RECORDED[expression]["error"]
