"""What is told of expressions that can hardly be meant; the texts are those of kube-controller-manager 1.36."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_machinery.cel.kubernetes.admission.typechecking import (
    Checked,
    expression_warnings,
    resources_to_check,
)
from hyperkube_machinery.cel.kubernetes.declared import Declared, declared_type

_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_META = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "generateName": _TEXT,
        "labels": {"type": "object", "additionalProperties": _TEXT},
        "creationTimestamp": _TIME,
    },
}


def declared(**properties: Any) -> Declared:
    common = {"kind": _TEXT, "apiVersion": _TEXT, "metadata": _META}
    found = declared_type({"type": "object", "properties": {**common, **properties}}, is_resource=True)
    assert found is not None
    return found


MAP = Checked("", "v1", "ConfigMap", declared(data={"type": "object", "additionalProperties": _TEXT}))
DEPLOYMENT = Checked(
    "apps",
    "v1",
    "Deployment",
    declared(spec={"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "object"}}}),
)


def told(expression: str, *kinds: Checked, **spec: Any) -> str:
    warnings = expression_warnings({"validations": [{"expression": expression}], **spec}, kinds, MAP.declared)
    assert [one["fieldRef"] for one in warnings] == ["spec.validations[0].expression"][: len(warnings)]
    return warnings[0]["warning"] if warnings else ""


@pytest.mark.parametrize(
    ("expression", "text", "column"),
    [
        ("object.spec.replicas > 'a'", "found no matching overload for '_>_' applied to '(int, string)'", 22),
        ("object.spec.nope == 1", "undefined field 'nope'", 12),
        ("object.metadata.labels['a'] == 1", "found no matching overload for '_==_' applied to '(string, int)'", 29),
        (
            "object.metadata.creationTimestamp == 'x'",
            "found no matching overload for '_==_' applied to '(timestamp, string)'",
            35,
        ),
        ("oldObject.spec.nope == 1", "undefined field 'nope'", 15),
    ],
)
def test_what_does_not_fit_the_schema_is_told(expression: str, text: str, column: int) -> None:
    mark = "." * (column - 1) + "^"
    wanted = f"apps/v1, Kind=Deployment: ERROR: <input>:1:{column}: {text}\n | {expression}\n | {mark}\n"
    assert told(expression, DEPLOYMENT) == wanted


def test_each_kind_is_told_of_in_order() -> None:
    text = told("object.spec.replicas > 1", DEPLOYMENT, MAP)
    assert text == (
        "/v1, Kind=ConfigMap: ERROR: <input>:1:7: undefined field 'spec'\n | object.spec.replicas > 1\n | ......^\n"
    )
    both = told("object.nope", DEPLOYMENT, MAP)
    assert [line.partition(":")[0] for line in both.splitlines() if "Kind=" in line] == [
        "/v1, Kind=ConfigMap",
        "apps/v1, Kind=Deployment",
    ]


def test_parameters_variables_and_messages_have_types_too() -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert "undefined field 'dat'" in told("params.dat == 1", DEPLOYMENT, paramKind=kind)
    assert not told("params.data.x == 'y'", DEPLOYMENT, paramKind=kind)
    variables = [
        {"name": "name", "expression": "object.metadata.name"},
        {"name": "broken", "expression": "object.nope"},
    ]
    assert "applied to '(string, int)'" in told("variables.name == 1", DEPLOYMENT, variables=variables)
    assert not told("variables.broken == 1", DEPLOYMENT, variables=variables)
    spec = {"validations": [{"expression": "true", "messageExpression": "object.nope"}]}
    (warning,) = expression_warnings(spec, [MAP], None)
    assert warning["fieldRef"] == "spec.validations[0].messageExpression"


def test_a_kind_of_which_nothing_is_known_is_not_told_of() -> None:
    assert not told("object.anything == 1", Checked("g", "v1", "K", None))


def test_only_what_rules_name_is_checked() -> None:
    rules = [
        {"apiGroups": ["apps", ""], "apiVersions": ["v1"], "resources": ["b", "a", "*", "pods/exec"]},
        {"apiGroups": ["*"], "apiVersions": ["v1"], "resources": ["c"]},
        {"apiGroups": [""], "apiVersions": ["*"], "resources": ["c"]},
    ]
    found = list(resources_to_check({"matchConstraints": {"resourceRules": rules}}))
    assert [list(named) for named in found if named] == [
        [("", "v1", "a"), ("", "v1", "b"), ("apps", "v1", "a"), ("apps", "v1", "b")]
    ]
