"""What becomes of claims to devices, and of slices of them, beside their rules."""

from __future__ import annotations

import copy
from typing import Any

GROUP = "resource.k8s.io"
CLAIM = {
    "metadata": {"name": "one"},
    "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c"}}]}},
}
RESULT = {"request": "r", "driver": "d.example", "pool": "p", "device": "dev"}
ALLOCATION = {"devices": {"results": [RESULT]}}
DEVICE = {"driver": "d.example", "pool": "p", "device": "dev"}
CONSUMER = {"resource": "pods", "name": "p", "uid": "u"}


def allocated(writer: Any) -> dict[str, Any]:
    tree, errors = writer.create(writer.strategy("resourceclaims", GROUP), CLAIM)
    assert errors == []
    tree["status"] = {"allocation": copy.deepcopy(ALLOCATION), "devices": [copy.deepcopy(DEVICE)]}
    return dict(tree)


def told(writer: Any, old: dict[str, Any], status: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    given = {**copy.deepcopy(old), "status": status}
    tree, errors = writer.update(writer.strategy("resourceclaims", GROUP), old, given, "status")
    return tree["status"], {error.field: error.message for error in errors}


def test_an_allocation_does_not_change(writer: Any) -> None:
    _, wrong = told(writer, allocated(writer), {"allocation": {"devices": {"results": [{**RESULT, "pool": "q"}]}}})
    assert list(wrong) == ["status.allocation"]
    assert wrong["status.allocation"].startswith(
        'Invalid value: {"Devices":{"Results":[{"Request":"r","Driver":"d.example"'
    )
    assert wrong["status.allocation"].endswith("field is immutable")


def test_what_was_told_of_a_device_goes_with_its_allocation(writer: Any) -> None:
    status, wrong = told(writer, allocated(writer), {"devices": [DEVICE]})
    assert (status, wrong) == ({}, {})


def test_a_claim_that_is_being_deleted_is_reserved_for_nobody_else(writer: Any) -> None:
    old = allocated(writer)
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    _, wrong = told(writer, old, {"allocation": ALLOCATION, "reservedFor": [CONSUMER]})
    assert list(wrong) == ["status.reservedFor"]
    assert wrong["status.reservedFor"].startswith("Forbidden: new entries may not be added")
    old["status"]["reservedFor"] = [CONSUMER]
    _, wrong = told(writer, old, {"allocation": ALLOCATION, "reservedFor": [CONSUMER]})
    assert wrong == {}


def test_a_slice_loses_what_needs_features_that_are_off(writer: Any) -> None:
    device = {
        "name": "dev",
        "attributes": {"a": {"int": 1, "ints": [1]}},
        "nodeAllocatableResourceMappings": {"cpu": {"capacityKey": "a"}},
        "taints": [{"key": "a", "effect": "None"}],
    }
    pool = {"name": "p", "resourceSliceCount": 1, "generation": 1}
    given = {
        "metadata": {"name": "one"},
        "spec": {"driver": "D.example", "nodeName": "n", "pool": pool, "devices": [device]},
    }
    strategy = writer.strategy("resourceslices", GROUP)
    tree, errors = writer.create(strategy, given)
    assert errors == []
    assert tree["spec"]["devices"][0]["attributes"] == {"a": {"int": 1}}
    assert "nodeAllocatableResourceMappings" not in tree["spec"]["devices"][0]
    assert tree["spec"]["devices"][0]["taints"][0]["timeAdded"] == "2026-01-01T00:00:00Z"
    why = 'driver names should be lowercase; "D.example" contains uppercase characters'
    assert strategy.warnings(tree) == [f"spec.driver: {why}"]
