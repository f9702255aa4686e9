"""Rules of definitions, and of objects, beside what upstream's API server said of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.crd.rules import compile_rules
from hyperkube_apiserver.registry.apiextensions.schemas import Leniency, validate_schema
from hyperkube_machinery.errors import FieldError

DATA = Path(__file__).parent / "data"
DEFINITIONS: list[dict[str, Any]] = json.loads((DATA / "definitions.json").read_text())
OBJECTS: list[dict[str, Any]] = json.loads((DATA / "objects.json").read_text())
STEPS = [(case, index) for case in OBJECTS for index in range(len(case["steps"]))]
PATH = "spec.validation.openAPIV3Schema"


def told(errors: Iterable[FieldError]) -> list[tuple[str, str, str]]:
    """Causes in an order of their own: upstream goes through fields in any."""
    return listed(error.cause for error in errors)


def listed(causes: Iterable[dict[str, str]]) -> list[tuple[str, str, str]]:
    return sorted(
        (cause["field"], cause["reason"], re.sub(r"selfType\d+", "selfType", cause["message"])) for cause in causes
    )


@pytest.mark.parametrize("case", DEFINITIONS, ids=lambda case: case["name"])
def test_definitions_are_refused_for_upstreams_reasons(case: dict[str, Any]) -> None:
    errors = validate_schema(case["schema"], PATH, Leniency(), has_status=False)
    assert told(errors) == listed(case["causes"])


@pytest.mark.parametrize(("case", "index"), STEPS, ids=[f"{case['name']}-{index}" for case, index in STEPS])
def test_objects_are_judged_as_upstream_judges_them(case: dict[str, Any], index: int) -> None:
    step = case["steps"][index]
    meta = {"apiVersion": "b.example.com/v1", "kind": case["kind"], "metadata": {"name": f"o{index}"}}
    new, old = ({**meta, **one} if one is not None else None for one in (step["new"], step["old"]))
    rules = compile_rules(case["schema"])
    assert rules is not None
    warnings: list[str] = []
    errors = rules.validate(new, old, warn=warnings.append if old is not None else None)
    assert told(errors) == listed(step["causes"])
    assert sorted(warnings) == sorted(step["warnings"])
