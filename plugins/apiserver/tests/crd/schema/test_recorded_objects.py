"""Custom resources are read and judged as kube-apiserver 1.36 was seen to do it (`data/customobjects.json`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from hyperkube_apiserver.crd.schema import CustomSchema
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_machinery.errors import APIError, FieldError

RECORDED = orjson.loads((Path(__file__).parents[2] / "data" / "customobjects.json").read_bytes())
UPDATES = RECORDED["updates"]
_CHOSEN_BY_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "namespace")


def schema_of(tree: dict[str, Any], kind: str) -> CustomSchema:
    return CustomSchema(group="c.example.com", version="v1", kind=kind, load=lambda: tree)


THINGS, RATS = schema_of(RECORDED["schema"], "Thing"), schema_of(UPDATES["schema"], "Rat")


def answer(body: bytes, media_type: str, field_validation: str) -> tuple[int, Any, list[str]]:
    try:
        tree, warnings = THINGS.read(body, media_type, field_validation)
    except APIError as exc:
        return exc.code, exc.status["message"], []
    metadata = tree.setdefault("metadata", {})
    metadata.setdefault("namespace", "default")
    if errors := THINGS.validate(tree, object_meta.validate_meta(tree, object_meta.dns_subdomain)):
        return 422, causes(errors), sorted(warnings)
    for name in _CHOSEN_BY_THE_SERVER:
        metadata.pop(name, None)
    return 201, {name: value for name, value in tree.items() if name not in ("kind", "apiVersion")}, sorted(warnings)


def causes(errors: list[FieldError]) -> list[list[str]]:
    return sorted([error.field, error.reason, error.message] for error in errors)


def _named(case: dict[str, Any]) -> str:
    return str(case["body"]).removeprefix('{"apiVersion":"c.example.com/v1","kind":"Thing",')[:80]


@pytest.mark.parametrize("case", RECORDED["cases"], ids=_named)
def test_a_new_object_is_answered_as_it_was_recorded(case: dict[str, Any]) -> None:
    given = answer(case["body"].encode(), case.get("type", "application/json"), case.get("fieldValidation", "Warn"))
    assert given == (case["code"], case["answer"], case.get("warnings", []))


@pytest.mark.parametrize("case", UPDATES["cases"], ids=json.dumps)
def test_what_was_wrong_before_may_stay_as_it_was_recorded(case: dict[str, Any]) -> None:
    old = json.loads(json.dumps(UPDATES["old"]))
    RATS.restore(old)
    sent = {**UPDATES["old"], "spec": {**UPDATES["old"]["spec"], **case.get("spec", {})}}
    if "status" in case:
        sent["status"] = case["status"]
    tree, _ = RATS.read(json.dumps(sent).encode(), "application/json", "Warn")
    validate = RATS.validate_status_update if "status" in case else RATS.validate_update
    assert causes(validate(tree, old)) == case["causes"]
