"""Schemas and objects made at random are answered as kube-apiserver 1.36 was seen to do it (`data/customfuzz.json`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from hyperkube_apiserver.crd.schema import CustomSchema
from hyperkube_machinery.errors import APIError

RECORDED = orjson.loads((Path(__file__).parents[2] / "data" / "customfuzz.json").read_bytes())
SPEC = {"type": "object", "properties": RECORDED["schemas"]}
SCHEMA = CustomSchema(
    group="c.example.com",
    version="v1",
    kind="Fuzz11",
    load=lambda: {"type": "object", "properties": {"spec": SPEC}},
)


def answer(spec: dict[str, Any], field_validation: str) -> tuple[int, Any, list[str]]:
    body = {"apiVersion": "c.example.com/v1", "kind": "Fuzz11", "metadata": {"name": "x"}, "spec": spec}
    try:
        tree, warnings = SCHEMA.read(json.dumps(body).encode(), "application/json", field_validation)
    except APIError as exc:
        return exc.code, exc.status["message"], []
    if errors := SCHEMA.validate(tree):
        return 422, sorted([error.field, error.reason, error.message] for error in errors), sorted(warnings)
    return 201, tree["spec"], sorted(warnings)


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: json.dumps(case["spec"])[:60])
def test_an_object_is_answered_as_it_was_recorded(case: dict[str, Any]) -> None:
    given = answer(case["spec"], case.get("fieldValidation", "Warn"))
    assert given == (case["code"], case["answer"], case.get("warnings", []))
