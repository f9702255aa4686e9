"""What becomes of objects when their owners are looked at, and of jobs and namespaces that have had their time."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_controller_manager.controllers.rootca import wanted
from hyperkube_controller_manager.controllers.ttlafterfinished import seconds_left
from hyperkube_controller_manager.disposal import Delete, Detach, Keep, Standing, Verdict, verdict, without_owners
from hyperkube_controller_manager.namespacestatus import Leftovers, conditions_after, grace_estimate
from hyperkube_machinery.builtin import CONFIG_MAPS, PODS
from hyperkube_machinery.timestamps import parse

SOLID, WAITING, DANGLING = Standing.SOLID, Standing.WAITING, Standing.DANGLING


@pytest.mark.parametrize(
    ("standings", "finalizers", "dependents", "cycle", "expected"),
    [
        ([], [], 0, False, Keep()),
        ([SOLID], [], 3, True, Keep()),
        ([SOLID, DANGLING], [], 0, False, Detach(("1",))),
        ([WAITING, SOLID, DANGLING], [], 0, False, Detach(("0", "2"))),
        ([DANGLING], [], 0, False, Delete("Background")),
        ([DANGLING], [], 3, False, Delete("Background")),
        ([DANGLING], ["orphan"], 0, False, Delete("Orphan")),
        ([DANGLING], ["foregroundDeletion"], 0, False, Delete("Foreground")),
        ([WAITING], [], 0, False, Delete("Background")),
        ([WAITING], [], 1, False, Delete("Foreground")),
        ([WAITING, DANGLING], [], 1, True, Delete("Foreground", unblocks=True)),
    ],
)
def test_owners_decide(
    standings: list[Standing], finalizers: list[str], dependents: int, cycle: bool, expected: Verdict
) -> None:
    owners = [(str(at), standing) for at, standing in enumerate(standings)]
    assert verdict(owners, finalizers, dependents=dependents, cycle=cycle) == expected


def test_other_owners_stay() -> None:
    obj = {"metadata": {"resourceVersion": "7", "ownerReferences": [{"uid": "a"}, {"uid": "b"}]}}
    assert without_owners(obj, ["a"]) == {"metadata": {"resourceVersion": "7", "ownerReferences": [{"uid": "b"}]}}


def test_nothing_left_is_told_as_upstream_tells_it() -> None:
    conditions = conditions_after([], Leftovers(), "now")
    assert conditions is not None
    assert {(one["status"], one["lastTransitionTime"]) for one in conditions} == {("False", "now")}
    assert conditions_after(conditions, Leftovers(), "later") is None


def test_what_is_left_is_counted_and_estimated() -> None:
    left = Leftovers()
    left.found("ns", CONFIG_MAPS, [{"metadata": {"finalizers": ["b", "a"]}}, {"metadata": {"finalizers": ["a"]}}], 0)
    left.found("ns", PODS, [{"metadata": {}}], 30)
    assert (left.estimate_seconds, left.failures) == (30, [])
    told = {one["type"]: one["message"] for one in conditions_after([], left, "now") or ()}
    assert told["NamespaceContentRemaining"] == (
        "Some resources are remaining: configmaps. has 2 resource instances, pods. has 1 resource instances"
    )
    assert told["NamespaceFinalizersRemaining"] == (
        "Some content in the namespace has finalizers remaining: a in 2 resource instances, b in 1 resource instances"
    )


def test_what_should_be_gone_and_is_not_is_a_failure() -> None:
    left = Leftovers()
    left.found("ns", CONFIG_MAPS, [{"metadata": {}}], 0)
    assert left.failures == ['unexpected items still remain in namespace: ns for gvr: "", v1, configmaps']
    told = {one["type"]: (one["status"], one["message"]) for one in conditions_after([], left, "now") or ()}
    message = f"Failed to delete all resource types, 1 remaining: {left.failures[0]}"
    assert told["NamespaceDeletionContentFailure"] == ("True", message)


def test_a_condition_that_changes_keeps_its_time_if_its_status_stays() -> None:
    first = Leftovers()
    first.found("ns", PODS, [{"metadata": {}}, {"metadata": {}}], 30)
    second = Leftovers()
    second.found("ns", PODS, [{"metadata": {}}], 30)
    before = conditions_after([{"type": "Other", "status": "True"}], first, "then") or []
    after = {one["type"]: one for one in conditions_after(before, second, "now") or ()}
    assert after["NamespaceContentRemaining"]["lastTransitionTime"] == "then"
    assert after["Other"] == {"type": "Other", "status": "True"}
    gone = {one["type"]: one for one in conditions_after(list(after.values()), Leftovers(), "now") or ()}
    assert gone["NamespaceContentRemaining"]["lastTransitionTime"] == "now"


def test_the_slowest_pod_sets_the_pace() -> None:
    def pod(grace: int, phase: str = "Running") -> dict[str, Any]:
        return {"spec": {"terminationGracePeriodSeconds": grace}, "status": {"phase": phase}}

    assert grace_estimate([pod(5), pod(30), pod(900, "Succeeded")], 10) == 30
    assert grace_estimate([pod(5), pod(30)], 31) == 0  # overdue
    assert grace_estimate([], 0) == 0


NOW = parse("2026-01-01T00:01:00Z")


@pytest.mark.parametrize(
    ("ttl", "condition", "deleted", "left"),
    [
        (30, ("Complete", "True"), False, -30),
        (90, ("Failed", "True"), False, 30),
        (0, ("Complete", "True"), False, -60),
        (None, ("Complete", "True"), False, None),
        (30, ("Complete", "False"), False, None),
        (30, ("Suspended", "True"), False, None),
        (30, ("Complete", "True"), True, None),
    ],
)
def test_jobs_have_their_time(ttl: int | None, condition: tuple[str, str], deleted: bool, left: float | None) -> None:
    finished = {"type": condition[0], "status": condition[1], "lastTransitionTime": "2026-01-01T00:00:00Z"}
    job: dict[str, Any] = {"metadata": {}, "spec": {}, "status": {"conditions": [finished]}}
    if ttl is not None:
        job["spec"]["ttlSecondsAfterFinished"] = ttl
    if deleted:
        job["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z"
    assert seconds_left(job, NOW) == left


def test_authorities_are_written_where_they_are_missing_or_wrong() -> None:
    first = wanted(None, "ns", "PEM")
    assert first is not None
    assert (first["metadata"]["namespace"], first["data"]) == ("ns", {"ca.crt": "PEM"})
    assert wanted(first, "ns", "PEM") is None
    other = {**first, "data": {"ca.crt": "OLD"}}
    assert (wanted(other, "ns", "PEM") or {})["data"] == {"ca.crt": "PEM"}
    bare = {**first, "metadata": {"name": "kube-root-ca.crt", "annotations": {"mine": "x"}}}
    assert set((wanted(bare, "ns", "PEM") or {})["metadata"]["annotations"]) == {"mine", "kubernetes.io/description"}
