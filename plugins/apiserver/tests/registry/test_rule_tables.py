"""The rules of each kind as tables: a valid object, what is changed of it, and what the API server says.

A table is `data/rules/NAME.json`, for one resource:

    {"resource": [group, version, plural],
     "valid": an object that is taken,
     "rules": [{"with": {"/spec/replicas": -1}, "causes": [[reason, field, message]]}, …],
     "gaps": ["what upstream checks besides"]}

`with` maps JSON pointers to new values; null removes, `/-` behind a list appends. A rule is about creating the changed
object; one with `"update": true` is about changing the stored valid object to it, one with `"subresource"` through
that. One with `"from"` (pointers again) changes the valid object before it is stored, one with `"stored"` what is
stored (as controllers would); one without causes is about what is taken. A table of services may have `"networks"`,
for a cluster whose services get addresses of these.
The reference page of rules is made of the same tables.
"""

from __future__ import annotations

import copy
import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.registry.catalog import strategies
from hyperkube_machinery.errors import APIError

TABLES = sorted((Path(__file__).parent.parent / "data" / "rules").glob("*.json"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    tables = [(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in TABLES]
    if "rule" in metafunc.fixturenames:
        rules = [(name, index, table, rule) for name, table in tables for index, rule in enumerate(table["rules"])]
        metafunc.parametrize(
            ("table", "rule"),
            [(table, rule) for _, _, table, rule in rules],
            ids=[f"{name}-{index}" for name, index, _, _ in rules],
        )
    elif "table" in metafunc.fixturenames:
        metafunc.parametrize("table", [table for _, table in tables], ids=[name for name, _ in tables])


def changed(tree: Any, changes: dict[str, Any]) -> Any:
    """A copy of `tree` with the values at some JSON pointers replaced."""
    result = copy.deepcopy(tree)
    for pointer, value in changes.items():
        *parents, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
        place = result
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        if isinstance(place, list):
            if last == "-":
                place.append(value)
            elif value is None:
                del place[int(last)]
            else:
                place[int(last)] = value
        elif value is None:
            del place[last]
        else:
            place[last] = value
    return result


def causes_of(writer: Any, table: dict[str, Any], rule: dict[str, Any]) -> list[list[str]]:
    strategy = writer.strategies[tuple(table["resource"])]
    if "networks" in table:
        networks = [ip_network(network) for network in table["networks"]]
        strategy = strategies(load_kinds(), service_networks=networks)[tuple(table["resource"])]
    start = changed(table["valid"], rule.get("from", {}))
    try:
        if not rule.get("update") and not rule.get("subresource"):
            _, errors = writer.create(strategy, changed(start, rule.get("with", {})))
        else:
            stored, wrong = writer.create(strategy, start)
            assert wrong == []
            stored = changed(stored, rule.get("stored", {}))
            given = changed(writer.shown(strategy, stored), rule.get("with", {}))
            _, errors = writer.update(strategy, stored, given, rule.get("subresource", ""))
    except APIError as refused:
        told = refused.status["details"]["causes"]
        return sorted([cause["reason"], cause["field"], cause["message"]] for cause in told)
    return sorted([error.reason, error.field, error.message] for error in errors)


def test_what_the_rules_start_from_is_valid(writer: Any, table: dict[str, Any]) -> None:
    assert causes_of(writer, table, {}) == []


def test_the_rule_holds(writer: Any, table: dict[str, Any], rule: dict[str, Any]) -> None:
    assert causes_of(writer, table, rule) == sorted(rule.get("causes", []))
