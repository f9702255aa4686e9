"""Expressions of every library beside what upstream's API server said of them, asked as rules of a resource.

The data: a schema, an object, and by expression the greatest cost it was estimated to have (of
`[expression].size() < 0`; "beyond" what is told), what it was as `%s` formats it, the error its evaluation ended with,
or why it was refused. Compositions were put together at random.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hyperkube_machinery.cel.errors import CompileError, EvaluationError
from hyperkube_machinery.cel.estimation import estimate
from hyperkube_machinery.cel.kubernetes.declared import declared_type
from hyperkube_machinery.cel.kubernetes.environments import base_environment, program_of
from hyperkube_machinery.cel.kubernetes.views import view_of

DATA = Path(__file__).parent / "data"
BEYOND = 10**6


class Recording:
    """What was said of expressions about one object."""

    def __init__(self, name: str) -> None:
        found = json.loads((DATA / f"{name}.json").read_text())
        schema = found["schema"]
        declared = declared_type(schema, is_resource=True)
        assert declared is not None
        view = view_of(schema)
        type_ = declared.named("selfType")
        self.declared = declared
        self.expressions: dict[str, dict[str, Any]] = found["expressions"]
        self.variables = {"self": found["object"] if view is None else view(found["object"])}
        self.environment = base_environment().extend(variables={"self": type_, "oldSelf": type_})


RECORDINGS = {name: Recording(name) for name in ("expressions", "compositions")}


def of(kind: str) -> list[tuple[str, str]]:
    return [
        (name, expression)
        for name, recording in RECORDINGS.items()
        for expression, told in recording.expressions.items()
        if kind in told
    ]


@pytest.mark.parametrize(("name", "expression"), of("refusal"))
def test_what_is_wrong_with_an_expression_is_told_in_upstreams_words(name: str, expression: str) -> None:
    recording = RECORDINGS[name]
    environment = recording.environment
    with pytest.raises((CompileError, EvaluationError)) as caught:
        program_of(environment, environment.compile(f"[{expression}].size() < 0"))
    what = "compilation" if isinstance(caught.value, CompileError) else "program instantiation"
    told = f"{what} failed: {caught.value}"
    assert re.sub(r"selfType\d+", "selfType", told) == recording.expressions[expression]["refusal"]


@pytest.mark.parametrize(("name", "expression"), of("estimate"))
def test_costs_are_estimated_to_the_unit(name: str, expression: str) -> None:
    recording = RECORDINGS[name]
    checked = recording.environment.compile(f"[{expression}].size() < 0")
    most = estimate(recording.environment, checked, lambda node: recording.declared.size_at(node.path)).max
    assert ("beyond" if most > BEYOND else most) == recording.expressions[expression]["estimate"]


@pytest.mark.parametrize(("name", "expression"), of("value"))
def test_expressions_have_upstreams_values(name: str, expression: str) -> None:
    recording = RECORDINGS[name]
    environment = recording.environment
    program = program_of(environment, environment.compile(f"'%s'.format([{expression}])"))
    assert program.evaluate(recording.variables).value == recording.expressions[expression]["value"]


@pytest.mark.parametrize(("name", "expression"), of("error"))
def test_evaluation_fails_in_upstreams_words(name: str, expression: str) -> None:
    recording = RECORDINGS[name]
    environment = recording.environment
    program = program_of(environment, environment.compile(f"[{expression}].size() < 0"))
    with pytest.raises(EvaluationError) as caught:
        program.evaluate(recording.variables)
    assert str(caught.value) == recording.expressions[expression]["error"]
