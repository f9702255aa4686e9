"""Who uses what of storage."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_controller_manager.storageuse import by_claim, classes_of_claim, classes_of_volume, is_bound, uses_claim

CLAIM: dict[str, Any] = {"metadata": {"name": "data", "namespace": "ns"}}
OWN: dict[str, Any] = {
    "metadata": {"name": "p-scratch", "namespace": "ns", "ownerReferences": [{"uid": "u", "controller": True}]}
}
NAMED = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
EPHEMERAL = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}


def pod(*volumes: dict[str, Any], node: str = "n", uid: str = "u", shut_down: bool = False) -> dict[str, Any]:
    about: dict[str, Any] = {"name": "p", "namespace": "ns", "uid": uid}
    if shut_down:
        about |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}
    return {"metadata": about, "spec": {"nodeName": node, "volumes": list(volumes)}}


@pytest.mark.parametrize(
    ("given", "claim", "used"),
    [
        (pod(NAMED), CLAIM, True),
        (pod(NAMED, shut_down=True), CLAIM, True),
        (pod(NAMED, node=""), CLAIM, False),
        (pod(), CLAIM, False),
        (pod(EPHEMERAL), CLAIM, False),
        (pod(EPHEMERAL), OWN, True),
        (pod(EPHEMERAL, uid="another"), OWN, False),
        (pod(EPHEMERAL, shut_down=True), OWN, False),
    ],
)
def test_pods_use_claims(given: dict[str, Any], claim: dict[str, Any], used: bool) -> None:
    assert uses_claim(given, claim) is used


def test_pods_are_found_by_all_their_claims() -> None:
    assert by_claim(pod(NAMED, EPHEMERAL, {"name": "e", "emptyDir": {}})) == {"ns/data", "ns/p-scratch"}


def test_volumes_and_classes() -> None:
    assert is_bound({"status": {"phase": "Bound"}})
    assert not is_bound({"status": {"phase": "Released"}})
    status = {
        "currentVolumeAttributesClassName": "b",
        "modifyVolumeStatus": {"targetVolumeAttributesClassName": "c"},
    }
    assert classes_of_claim({"spec": {"volumeAttributesClassName": "a"}, "status": status}) == {"a", "b", "c"}
    assert classes_of_claim({"spec": {}}) == set()
    assert classes_of_volume({"spec": {"volumeAttributesClassName": "a"}}) == {"a"}
    assert classes_of_volume({"spec": {}}) == set()
