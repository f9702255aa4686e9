"""The page of validation rules says what the tests of the API server hold, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import pytest
from _wheels import ROOT

DATA = ROOT / "plugins" / "apiserver" / "tests" / "data"


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The module that makes the page."""
    spec = importlib.util.spec_from_file_location("validationrules", ROOT / "docs" / "validationrules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["validationrules"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def tables() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in (DATA / "rules").glob("*.json")}


def test_every_entry_that_refuses_something_is_on_the_page(page: ModuleType) -> None:
    named = {test for found in page.gather().values() for rule in found.rules for test in rule.tests}
    refusing = {
        f"rules/{name}:{index}"
        for name, table in tables().items()
        for index, rule in enumerate(table["rules"])
        if rule.get("causes")
    }
    for name in ("creations.json", "updates.json"):
        refusing |= {
            f"{name}:{index}" for index, entry in enumerate(json.loads((DATA / name).read_text())) if entry["causes"]
        }
    assert named == refusing


def test_every_gap_is_on_the_page(page: ModuleType) -> None:
    told = [gap for found in page.gather().values() for gap in found.gaps]
    assert sorted(told) == sorted(gap for table in tables().values() for gap in table["gaps"])


def test_a_rule_is_told_without_the_values_of_its_test(page: ModuleType) -> None:
    rules = page.gather()["coordination.k8s.io", "v1", "leases"].rules
    duration = next(rule for rule in rules if rule.path == "spec.leaseDurationSeconds")
    assert (duration.reason, duration.text) == ("FieldValueInvalid", "must be greater than 0")
    flows = page.gather()["flowcontrol.apiserver.k8s.io", "v1", "flowschemas"].rules
    assert not [rule.path for rule in flows if "[0]" in rule.path]
    assert "spec.rules[*].subjects[*].kind" in {rule.path for rule in flows}


@pytest.mark.parametrize(
    ("reason", "message", "text"),
    [
        ("FieldValueInvalid", 'Invalid value: "a: b": must be c', "must be c"),
        ("FieldValueInvalid", "Invalid value: null: must be c\n- a", "must be c"),
        ("FieldValueNotSupported", 'Unsupported value: "x": supported values: "a"', 'supported values: "a"'),
        ("FieldValueRequired", "Required value", ""),
        ("FieldValueForbidden", "Forbidden: may not: ever", "may not: ever"),
        ("FieldValueDuplicate", 'Duplicate value: "x"', ""),
    ],
)
def test_the_text_of_a_rule_is_what_stands_behind_the_value(
    page: ModuleType, reason: str, message: str, text: str
) -> None:
    assert page._detail(reason, message) == text
