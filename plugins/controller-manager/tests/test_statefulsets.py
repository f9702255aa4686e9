"""Stateful sets: the order of pods, and who owns claims; facts of Kubernetes' pkg/controller/statefulset tests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hyperkube_controller_manager.controllerrevisions import HELD_HASH, held_template, holds, new_revision
from hyperkube_controller_manager.statefulhistory import outdated
from hyperkube_controller_manager.statefulpods import (
    claims_for,
    has_identity,
    has_storage,
    kept_owners,
    ordinal_of,
    pod_of,
    with_identity,
)
from hyperkube_controller_manager.statefulrollout import StatefulView, next_steps, stateful_status
from hyperkube_machinery.builtin import STATEFUL_SETS
from hyperkube_machinery.timestamps import format_seconds

NOW = 2_000_000_000.0
HASH = "controller-revision-hash"


def stateful_set(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "replicas": replicas,
        "serviceName": "svc",
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"volumes": [{"name": "data"}, {"name": "x"}]}},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "volumeClaimTemplates": [{"metadata": {"name": "data", "labels": {"l": "m"}}, "spec": {}}],
        **spec,
    }
    return {"metadata": {"name": "db", "namespace": "ns", "uid": "s", "generation": 2}, "spec": body}


def pod(
    number: int,
    revision: str = "new",
    *,
    ready_for: float | None = 100,
    phase: str = "Running",
    deleted: bool = False,
) -> dict[str, Any]:
    made = pod_of(stateful_set(), stateful_set()["spec"]["template"], revision, number)
    made["metadata"]["uid"] = f"p{number}"
    if deleted:
        made["metadata"]["deletionTimestamp"] = format_seconds(NOW)
    made["status"] = {"phase": phase}
    if ready_for is not None:
        since = format_seconds(NOW - ready_for)
        made["status"]["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    return made


def view(*pods: dict[str, Any], of: dict[str, Any] | None = None) -> StatefulView:
    return StatefulView(of or stateful_set(), pods, "old", "new", NOW)


def taken(*pods: dict[str, Any], of: dict[str, Any] | None = None) -> tuple[list[int], list[str]]:
    steps = next_steps(view(*pods, of=of))
    return [ordinal for ordinal, _ in steps.create], [one["metadata"]["name"] for one in steps.delete]


PARALLEL: dict[str, Any] = {"podManagementPolicy": "Parallel"}
ON_DELETE: dict[str, Any] = {"updateStrategy": {"type": "OnDelete"}}
HELD: dict[str, Any] = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}


@pytest.mark.parametrize(
    ("of", "pods", "expected"),
    [
        (stateful_set(), [], ([0], [])),
        (stateful_set(), [pod(0)], ([1], [])),
        (stateful_set(), [pod(0, ready_for=None)], ([], [])),
        (stateful_set(), [pod(0, phase="Pending", ready_for=None)], ([], [])),
        (stateful_set(), [pod(1), pod(2)], ([0], [])),
        (stateful_set(), [pod(0), pod(1), pod(2)], ([], [])),
        (stateful_set(), [pod(0, phase="Failed")], ([], ["db-0"])),
        (stateful_set(), [pod(0, phase="Succeeded")], ([], ["db-0"])),
        (stateful_set(), [pod(0, phase="Failed", deleted=True)], ([], [])),
        (stateful_set(), [pod(0), pod(1, deleted=True), pod(2)], ([], [])),
        (stateful_set(minReadySeconds=200), [pod(0)], ([], [])),
        (stateful_set(ordinals={"start": 5}), [], ([5], [])),
        (stateful_set(1), [pod(0), pod(1), pod(2)], ([], ["db-2"])),
        (stateful_set(1), [pod(0), pod(1), pod(2, deleted=True)], ([], [])),
        (stateful_set(1), [pod(0), pod(1), pod(2, ready_for=None)], ([], ["db-2"])),
        (stateful_set(1), [pod(0), pod(1, ready_for=None), pod(2, ready_for=None)], ([], [])),
        (stateful_set(1), [pod(0, ready_for=None), pod(1)], ([], [])),
        (stateful_set(0), [pod(0)], ([], ["db-0"])),
        (stateful_set(**PARALLEL), [], ([0, 1, 2], [])),
        (stateful_set(**PARALLEL), [pod(1, ready_for=None)], ([0, 2], [])),
        (stateful_set(1, **PARALLEL), [pod(0, ready_for=None), pod(1), pod(2)], ([], ["db-2", "db-1"])),
        (stateful_set(), [pod(0, "old"), pod(1, "old"), pod(2, "old")], ([], ["db-2"])),
        (stateful_set(), [pod(0, "old"), pod(1, "old"), pod(2)], ([], ["db-1"])),
        (stateful_set(), [pod(0, "old"), pod(1, "old"), pod(2, ready_for=None)], ([], [])),
        (stateful_set(**HELD), [pod(0, "old"), pod(1, "old"), pod(2)], ([], [])),
        (stateful_set(**ON_DELETE), [pod(0, "old"), pod(1, "old"), pod(2, "old")], ([], [])),
        (stateful_set(**PARALLEL), [pod(0, "old"), pod(1, "old", ready_for=None), pod(2, "old")], ([], ["db-2"])),
    ],
)
def test_pods_come_and_go_in_their_order(of: dict[str, Any], pods: list[Any], expected: Any) -> None:
    assert taken(*pods, of=of) == expected


def test_a_set_that_is_deleted_does_nothing() -> None:
    gone = stateful_set()
    gone["metadata"]["deletionTimestamp"] = format_seconds(NOW)
    assert taken(of=gone) == ([], [])


def test_below_the_partition_pods_are_made_of_the_current_revision() -> None:
    steps = next_steps(view(of=stateful_set(3, **PARALLEL, **HELD)))
    assert steps.create == [(0, False), (1, False), (2, True)]


def test_the_status_becomes_current_when_all_are_updated_and_ready() -> None:
    between = stateful_status(view(pod(0, "old"), pod(1, "old"), pod(2)), [], 0)
    assert between == {
        "replicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "currentReplicas": 2,
        "updatedReplicas": 1,
        "currentRevision": "old",
        "updateRevision": "new",
        "collisionCount": 0,
        "observedGeneration": 2,
    }
    gone = pod(1, "old")
    assert stateful_status(view(pod(0, "old"), gone, pod(2)), [gone], 0)["currentReplicas"] == 1
    done = stateful_status(view(pod(0), pod(1), pod(2)), [], 0)
    assert (done["currentRevision"], done["currentReplicas"]) == ("new", 3)
    assert stateful_status(view(pod(0), pod(1), pod(2, ready_for=None)), [], 0)["currentRevision"] == "old"


@pytest.mark.parametrize(
    ("text", "expected"), [("db-0", ("db", 0)), ("my-db-12", ("my-db", 12)), ("db", ("", -1)), ("db-x", ("", -1))]
)
def test_a_pods_number_is_in_its_name(text: str, expected: tuple[str, int]) -> None:
    assert ordinal_of(text) == expected


def test_a_pod_is_told_who_it_is_and_has_the_claim_of_its_number() -> None:
    made = pod(1)
    assert made["metadata"]["name"] == "db-1"
    assert made["metadata"]["generateName"] == "db-"
    assert (made["spec"]["hostname"], made["spec"]["subdomain"]) == ("db-1", "svc")
    assert made["spec"]["volumes"] == [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}},
        {"name": "x"},
    ]
    assert has_identity(stateful_set(), made)
    assert has_storage(stateful_set(), made)
    strange = {**made, "metadata": {**made["metadata"], "labels": {}}}
    assert not has_identity(stateful_set(), strange)
    assert has_identity(stateful_set(), with_identity(stateful_set(), strange))
    claim = claims_for(stateful_set(), 1)["data"]
    assert claim["metadata"]["labels"] == {"l": "m", "app": "db"}


def owner(kind: str, uid: str, *, controls: bool = True) -> dict[str, Any]:
    version, name = ("apps/v1", "db") if kind == "StatefulSet" else ("v1", "db-1")
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": controls}


SET, POD = owner("StatefulSet", "s"), owner("Pod", "p1")


@pytest.mark.parametrize(
    ("when_scaled", "when_deleted", "is_condemned", "held", "expected"),
    [
        ("Retain", "Retain", False, [], None),
        ("Retain", "Retain", False, [SET], []),
        ("Retain", "Delete", False, [], ["s"]),
        ("Retain", "Delete", False, [SET], None),
        ("Retain", "Delete", True, [SET], None),
        ("Delete", "Retain", False, [], None),
        ("Delete", "Retain", True, [], ["p1"]),
        ("Delete", "Retain", False, [POD], []),
        ("Delete", "Delete", False, [], ["s"]),
        ("Delete", "Delete", True, [SET], ["p1"]),
        ("Delete", "Delete", False, [POD], ["s"]),
        ("Retain", "Delete", False, [owner("StatefulSet", "s", controls=False)], ["s"]),
        ("Delete", "Delete", False, [owner("Pod", "earlier")], None),
        ("Delete", "Delete", False, [{"kind": "Other", "uid": "o", "controller": True}], None),
        ("Delete", "Delete", False, [{"kind": "Other", "uid": "o", "controller": True}, SET], ["o"]),
        ("Retain", "Delete", False, [{"kind": "Other", "uid": "o"}], ["o", "s"]),
    ],
)
def test_claims_go_with_those_that_the_policy_says(
    when_scaled: str, when_deleted: str, is_condemned: bool, held: list[Any], expected: list[str] | None
) -> None:
    of = stateful_set(persistentVolumeClaimRetentionPolicy={"whenScaled": when_scaled, "whenDeleted": when_deleted})
    owners = kept_owners({"metadata": {"ownerReferences": held}}, of, pod(1), is_condemned=is_condemned)
    assert (None if owners is None else [one["uid"] for one in owners]) == expected


def test_a_revision_holds_a_template() -> None:
    of = stateful_set()
    revision = new_revision(of, STATEFUL_SETS, "abc", 4, label=HELD_HASH)
    assert revision["metadata"]["name"] == "db-abc"
    assert (revision["revision"], revision["metadata"]["labels"]["controller.kubernetes.io/hash"]) == (4, "abc")
    assert held_template(revision) == of["spec"]["template"]
    assert holds(revision, of)
    of["spec"]["template"] = {**of["spec"]["template"], "spec": {"hostname": "other"}}
    assert not holds(revision, of)


def test_a_revision_is_written_in_the_order_in_which_upstream_compares_it() -> None:
    of = stateful_set(template={"spec": {"z": [{"b": 1, "a": 2}]}, "metadata": {"labels": {"y": "", "x": ""}}})
    written = json.dumps(new_revision(of, STATEFUL_SETS, "abc", 4, label=HELD_HASH)["data"], separators=(",", ":"))
    assert written == (
        '{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"x":"","y":""}},"spec":{"z":[{"a":2,"b":1}]}}}}'
    )


@pytest.mark.parametrize(("limit", "gone"), [(0, ["r1", "r2"]), (1, ["r1"]), (2, []), (5, [])])
def test_history_beyond_the_limit_goes_unless_it_lives(limit: int, gone: list[str]) -> None:
    found = [{"metadata": {"name": f"r{number}"}, "revision": number} for number in (3, 2, 1)]
    assert [one["metadata"]["name"] for one in outdated(found, {"r3"}, limit)] == gone
