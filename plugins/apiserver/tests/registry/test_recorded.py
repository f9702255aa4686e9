"""Objects as a kube-apiserver 1.36 took, completed or refused them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.registry.core.services import Services
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError

DATA = Path(__file__).parent.parent / "data"


def _label(entry: dict[str, Any]) -> str:
    return f"{entry['resource'][2]}-{meta.name(entry.get('given') or {})}"


def _settle(tree: Any, uid: str, addresses: list[str]) -> Any:
    """`tree` with what differs from run to run called what the recording calls it."""
    text = json.dumps(tree).replace(uid, "<uid>")
    for address in addresses:
        text = text.replace(address, "<ip>")
    return json.loads(text)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = {"created": "creations.json", "completed": "defaults.json", "updated": "updates.json"}
    for fixture, file in name.items():
        if fixture in metafunc.fixturenames:
            entries = json.loads((DATA / file).read_text(encoding="utf-8"))
            labels = [entry.get("name") or _label(entry) for entry in entries]
            metafunc.parametrize(fixture, entries, ids=labels)


def test_a_new_object_is_completed_as_recorded(writer: Any, completed: dict[str, Any]) -> None:
    strategy = writer.strategies[tuple(completed["resource"])]
    tree, errors = writer.create(strategy, completed["given"])
    assert errors == []
    tree = writer.shown(strategy, tree)
    assert tree["metadata"].pop("creationTimestamp")
    uid = tree["metadata"].pop("uid")
    spec = tree.get("spec") or {}
    for port in spec.get("ports") or ():
        if isinstance(port, dict) and port.get("nodePort"):
            port["nodePort"] = "<port>"
    found = _settle(tree, uid, [one for one in spec.get("clusterIPs") or () if one != "None"])
    if found.get("status", {}).get("lastPhaseTransitionTime"):
        found["status"]["lastPhaseTransitionTime"] = "<time>"
    assert found == completed["stored"]


def test_defaults_are_idempotent(writer: Any, completed: dict[str, Any]) -> None:
    strategy = writer.strategies[tuple(completed["resource"])]
    tree, _ = writer.create(strategy, completed["given"])
    again = copy.deepcopy(tree)
    strategy.default(again)
    assert again == tree


def test_every_kind_that_is_stored_has_a_recorded_object() -> None:
    entries = json.loads((DATA / "defaults.json").read_text(encoding="utf-8"))
    covered = {tuple(entry["resource"]) for entry in entries}
    assert covered == {key for key, kind in load_kinds().items() if kind.storage_prefix}


def test_a_new_object_is_taken_or_refused_as_recorded(writer: Any, created: dict[str, Any]) -> None:
    strategy = writer.strategies[tuple(created["resource"])]
    try:
        _, errors = writer.create(strategy, created["given"])
        found = sorted([error.reason, error.field, error.message] for error in errors)
    except APIError as refused:
        told = refused.status["details"]["causes"]
        found = sorted([cause["reason"], cause["field"], cause["message"]] for cause in told)
    assert found == created["causes"]


def test_a_change_is_taken_or_refused_as_recorded(writer: Any, updated: dict[str, Any]) -> None:
    strategy = writer.strategies[tuple(updated["resource"])]
    old = updated["old"]
    if isinstance(strategy, Services):
        strategy.loaded(old)
    try:
        tree, errors = writer.update(strategy, old, updated["given"], updated["subresource"])
        # What follows a line break is a difference of two objects as Go writes them.
        found = sorted([error.reason, error.field, error.message.partition("\n")[0]] for error in errors)
    except APIError as refused:
        told = refused.status["details"]["causes"]
        found = sorted([cause["reason"], cause["field"], cause["message"]] for cause in told)
    assert found == sorted(updated["causes"])
    if "generation" in updated:
        assert meta.generation(tree) == updated["generation"]
