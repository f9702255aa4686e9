"""Requests for certificates that were decided on: what may become of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

Tree = dict[str, Any]

TABLE = json.loads((Path(__file__).parent.parent / "data" / "rules" / "certificatesigningrequests.json").read_text())
NOW, BEFORE = "2026-01-01T00:00:00Z", "2025-02-01T00:00:00Z"


@pytest.fixture
def requests(writer: Any) -> Any:
    return writer.strategy("certificatesigningrequests", "certificates.k8s.io")


def decided(writer: Any, strategy: Any, **condition: str) -> Tree:
    """A request with one condition."""
    made, errors = writer.create(strategy, TABLE["valid"])
    assert errors == []
    times = {"lastUpdateTime": BEFORE, "lastTransitionTime": BEFORE}
    return {**made, "status": {"conditions": [{"status": "True", **times, **condition}]}}


def told(errors: list[Any]) -> list[tuple[str, str]]:
    return [(error.field, error.message.partition("\n")[0]) for error in errors]


def test_who_asks_is_who_is_told_to_ask(writer: Any, requests: Any) -> None:
    said = copy.deepcopy(TABLE["valid"])
    said["spec"] |= {"username": "root", "uid": "0", "groups": ["system:masters"], "extra": {"a": ["b"]}}
    made, _ = writer.create(requests, said)
    assert made["spec"]["username"] == "admin"
    assert made["spec"]["uid"] == "uid1"
    assert made["spec"]["groups"] == ["system:masters", "system:authenticated"]
    assert "extra" not in made["spec"]


def test_a_decision_gets_the_time_when_it_was_made(writer: Any, requests: Any) -> None:
    made, _ = writer.create(requests, TABLE["valid"])
    given = {**made, "status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    approved, errors = writer.update(requests, made, given, "approval")
    assert errors == []
    (condition,) = approved["status"]["conditions"]
    assert condition["lastUpdateTime"] == condition["lastTransitionTime"] == NOW


def test_a_condition_is_as_old_as_its_status(writer: Any, requests: Any) -> None:
    old = decided(writer, requests, type="Failed")
    given = {**old, "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "R"}]}}
    new, errors = writer.update(requests, old, given, "status")
    assert errors == []
    (condition,) = new["status"]["conditions"]
    assert (condition["lastTransitionTime"], condition["lastUpdateTime"]) == (BEFORE, NOW)


@pytest.mark.parametrize("subresource", ["status", "approval"])
@pytest.mark.parametrize("kind", ["Approved", "Denied", "Failed"])
def test_what_was_decided_stays(writer: Any, requests: Any, kind: str, subresource: str) -> None:
    old = decided(writer, requests, type=kind)
    _, errors = writer.update(requests, old, {**old, "status": {}}, subresource)
    assert told(errors) == [("status.conditions", f'Forbidden: updates may not remove a condition of type "{kind}"')]


def test_who_signs_does_not_change_a_decision(writer: Any, requests: Any) -> None:
    old = decided(writer, requests, type="Approved", reason="mine")
    given = copy.deepcopy(old)
    given["status"]["conditions"][0]["reason"] = "yours"
    new, errors = writer.update(requests, old, given, "status")
    assert errors == []
    assert new["status"]["conditions"][0]["reason"] == "mine"


def test_a_certificate_is_given_once(writer: Any, requests: Any) -> None:
    certificate = next(
        rule["with"]["/status/certificate"]
        for rule in TABLE["rules"]
        if rule.get("subresource") == "status" and "causes" not in rule
    )
    old = decided(writer, requests, type="Approved")
    issued = {**old, "status": {**old["status"], "certificate": certificate}}
    _, errors = writer.update(requests, issued, {**issued, "status": old["status"]}, "status")
    assert told(errors) == [("status.certificate", "Forbidden: updates may not modify existing certificate content")]


def test_what_was_allowed_once_stays_allowed(writer: Any, requests: Any) -> None:
    old, _ = writer.create(requests, TABLE["valid"])
    old["spec"] |= {"signerName": "kubernetes.io/legacy-unknown", "usages": ["odd", "odd"]}
    old["status"] = {"conditions": [{"type": kind, "status": "True"} for kind in ("Approved", "Denied", "", "")]}
    new, errors = writer.update(requests, old, {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}})
    assert errors == []
    assert new["metadata"]["labels"] == {"a": "b"}
