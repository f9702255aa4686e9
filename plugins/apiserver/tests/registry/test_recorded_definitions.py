"""Definitions of custom resources are judged as by kube-apiserver 1.36 (`data/customdefinitions.json`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

RECORDED = orjson.loads((Path(__file__).parents[1] / "data" / "customdefinitions.json").read_bytes())
KIND = "customresourcedefinitions", "apiextensions.k8s.io"


def definition_of(case: dict[str, Any]) -> dict[str, Any]:
    schema = case.get("root") if "root" in case else {"type": "object", "properties": {"spec": case.get("schema")}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "vals", "kind": "Val", "singular": "val", "listKind": "ValList"}
    spec = {"group": "c.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    version |= case.get("version", {})
    return {"metadata": {"name": case.get("name", "vals.c.example.com")}, "spec": spec | case.get("with", {})}


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: json.dumps(case)[:100])
def test_a_definition_is_judged_as_it_was_recorded(writer: Any, case: dict[str, Any]) -> None:
    strategy = writer.strategy(*KIND)
    tree, errors = writer.create(strategy, definition_of(json.loads(json.dumps(case))))
    assert sorted([error.reason, error.field, error.message] for error in errors) == case["causes"]
    if not errors:
        assert strategy.warnings(tree) == case.get("warnings", [])
