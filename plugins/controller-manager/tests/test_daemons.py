"""Which nodes have a daemon, and how one version follows another; facts of Kubernetes' pkg/controller/daemon tests."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from hyperkube_controller_manager.daemonhistory import outdated_revisions
from hyperkube_controller_manager.daemonnodes import (
    Eligibility,
    daemon_template,
    is_current,
    on_node,
    target_node,
)
from hyperkube_controller_manager.daemonrollout import Daemons, daemon_status, next_placement, next_update
from hyperkube_machinery.timestamps import format_seconds

NOW = 2_000_000_000.0
HASH = "controller-revision-hash"
_numbers = itertools.count()


def daemon_set(strategy: dict[str, Any] | None = None, min_ready: int = 0, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": spec}
    body = {"template": template, "updateStrategy": strategy or rolling(1, 0), "minReadySeconds": min_ready}
    return {"metadata": {"name": "agent", "generation": 3}, "spec": body, "status": {"observedGeneration": 2}}


def rolling(unavailable: int | str, surge: int | str) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}


def node(name: str = "n1", *taints: tuple[str, str], **labels: str) -> dict[str, Any]:
    listed = [{"key": key, "effect": effect} for key, effect in taints]
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": listed}}


def pod(
    version: str = "new",
    *,
    ready_for: float | None = 1000,
    phase: str = "Running",
    on: str = "n",
    age: float = 100,
    deleted: bool = False,
) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": f"{version}-{next(_numbers)}", "labels": {HASH: version}}
    meta["creationTimestamp"] = format_seconds(NOW - age)
    if deleted:
        meta["deletionTimestamp"] = format_seconds(NOW)
    status: dict[str, Any] = {"phase": phase}
    if ready_for is not None:
        since = format_seconds(NOW - ready_for)
        status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    return {"metadata": meta, "spec": {"nodeName": on}, "status": status}


def names(pods: list[Any]) -> set[str]:
    return {one["metadata"]["name"] for one in pods}


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    selector = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"nodeAffinity": selector}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "on", "expected"),
    [
        ({}, node(), (True, True)),
        ({"nodeName": "other"}, node(), (False, False)),
        ({"nodeName": "n1"}, node(), (True, True)),
        ({"nodeSelector": {"a": "b"}}, node(), (False, False)),
        ({"nodeSelector": {"a": "b"}}, node(a="b"), (True, True)),
        ({"affinity": required(expression("type", "In", "test"))}, node(type="production"), (False, False)),
        ({"affinity": required(expression("type", "In", "test"))}, node(type="test"), (True, True)),
        (
            {"affinity": required(expression("x", "Exists"), expression("type", "In", "t"))},
            node(type="t"),
            (True, True),
        ),
        ({"affinity": required({})}, node(), (False, False)),
        ({"affinity": required(expression("cores", "Gt", "4"))}, node(cores="8"), (True, True)),
        ({"affinity": {"nodeAffinity": {}}}, node(), (True, True)),
        ({}, node("n1", ("key", "NoSchedule")), (False, True)),
        ({}, node("n1", ("key", "NoExecute")), (False, False)),
        ({}, node("n1", ("key", "PreferNoSchedule")), (True, True)),
        ({"tolerations": [{"operator": "Exists"}]}, node("n1", ("key", "NoExecute")), (True, True)),
        ({}, node("n1", ("node.kubernetes.io/unschedulable", "NoSchedule")), (True, True)),
        ({}, node("n1", ("node.kubernetes.io/not-ready", "NoExecute")), (True, True)),
        ({}, node("n1", ("node.kubernetes.io/network-unavailable", "NoSchedule")), (False, True)),
        ({"hostNetwork": True}, node("n1", ("node.kubernetes.io/network-unavailable", "NoSchedule")), (True, True)),
    ],
)
def test_a_daemon_runs_where_its_node_fits(
    spec: dict[str, Any], on: dict[str, Any], expected: tuple[bool, bool]
) -> None:
    assert Eligibility(daemon_set(**spec)).of(on) == expected


def test_a_daemon_is_bound_to_its_node_by_affinity_and_stays_what_it_was_otherwise() -> None:
    preferred = [{"weight": 1, "preference": expression("x", "Exists")}]
    affinity = required(expression("a", "Exists"))
    affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    made = on_node(daemon_template(daemon_set(affinity=affinity), "h1"), "n7")
    node_affinity = made["spec"]["affinity"]["nodeAffinity"]
    assert node_affinity["preferredDuringSchedulingIgnoredDuringExecution"] == preferred
    assert target_node(made) == "n7"
    assert made["metadata"]["labels"] == {"app": "agent", HASH: "h1"}
    assert len(made["spec"]["tolerations"]) == 6
    assert target_node({"spec": {}}) is None
    assert target_node(pod(on="n3")) == "n3"


def test_a_toleration_that_is_there_is_not_added_again() -> None:
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9}
    tolerations = daemon_template(daemon_set(tolerations=[own]), "h")["spec"]["tolerations"]
    assert len(tolerations) == 6
    assert "tolerationSeconds" not in tolerations[0]


def test_a_pod_of_the_time_before_hashes_is_known_by_its_number() -> None:
    old = daemon_set()
    old["metadata"]["annotations"] = {"deprecated.daemonset.template.generation": "4"}
    assert is_current({"metadata": {"labels": {"pod-template-generation": "4"}}}, old, "h")
    assert not is_current({"metadata": {"labels": {}}}, old, "h")


def daemons(
    pods: dict[str, list[Any]], *, strategy: dict[str, Any] | None = None, min_ready: int = 0, nodes: str = "abcde"
) -> Daemons:
    eligible = {name: (name != "e", True) for name in nodes}  # on e none should run, though one may stay
    return Daemons(daemon_set(strategy, min_ready), eligible, pods, "new", NOW)


def test_pods_come_where_they_miss_and_go_where_they_are_too_many() -> None:
    oldest, younger = pod(age=50), pod(age=10)
    failed, going, stray = pod(phase="Failed"), pod(deleted=True), pod(on="")
    step = next_placement(
        daemons({"a": [younger, oldest], "b": [failed], "c": [going], "e": [pod()], "gone": [stray, pod(on="gone")]})
    )
    assert step.create == ["d"]
    assert names(step.delete) == names([younger, stray])
    assert step.ended == [("b", failed)]


def test_pods_leave_a_node_that_they_may_not_stay_on() -> None:
    there, going = pod(), pod(deleted=True)
    step = next_placement(Daemons(daemon_set(), {"a": (False, False)}, {"a": [there, going]}, "new", NOW))
    assert (step.create, step.delete) == ([], [there])


@pytest.mark.parametrize(
    ("old_ready", "new_ready", "min_ready", "gone"),
    [
        (1000, None, 0, []),
        (None, None, 0, ["old"]),
        (1000, 1000, 0, ["old"]),
        (1000, 5, 10, []),
        (1000, 15, 10, ["old"]),
    ],
)
def test_a_surging_node_keeps_the_old_pod_until_the_new_one_serves(
    old_ready: Any, new_ready: Any, min_ready: Any, gone: Any
) -> None:
    pods = [pod("old", ready_for=old_ready, age=100), pod("new", ready_for=new_ready, age=10), pod("new", age=5)]
    step = next_placement(daemons({"a": pods}, strategy=rolling(0, 1), min_ready=min_ready, nodes="a"))
    assert [one["metadata"]["labels"][HASH] for one in step.delete] == ["new", *gone]


def test_a_surging_node_whose_pod_is_deleted_gets_another_at_once() -> None:
    pods = {"a": [pod(deleted=True)]}
    assert next_placement(daemons(pods, strategy=rolling(0, 1), nodes="a")).create == ["a"]
    assert next_placement(daemons(pods, nodes="a")).create == []


@pytest.mark.parametrize(
    ("unavailable", "versions", "count"),
    [
        (1, {"a": ["old"], "b": ["old"], "c": ["old"], "d": ["old"]}, 1),
        ("50%", {"a": ["old"], "b": ["old"], "c": ["old"], "d": ["old"]}, 2),
        ("30%", {"a": ["old"], "b": ["old"], "c": ["old"], "d": ["old"]}, 2),
        (0, {"a": ["old"], "b": ["old"], "c": ["old"], "d": ["old"]}, 1),
        (1, {"a": ["new"], "b": ["old"], "c": ["old"], "d": []}, 0),
        (2, {"a": ["new"], "b": ["old"], "c": ["old"], "d": []}, 1),
        (1, {"a": ["new"], "b": ["new"], "c": ["old", "old"], "d": ["old"]}, 0),
        (1, {"a": ["new"], "b": ["new"], "c": ["new"], "d": ["new"]}, 0),
    ],
)
def test_old_pods_go_as_long_as_few_nodes_miss_theirs(unavailable: Any, versions: Any, count: Any) -> None:
    pods = {name: [pod(version) for version in listed] for name, listed in versions.items()}
    step = next_update(daemons(pods, strategy=rolling(unavailable, 0), nodes="abcd"))
    assert len(step.delete) == count
    assert all(one["metadata"]["labels"][HASH] == "old" for one in step.delete)


def test_an_old_pod_that_does_not_serve_goes_however_many_miss() -> None:
    broken = pod("old", ready_for=None)
    step = next_update(daemons({"a": [broken], "b": [pod("old")], "c": [], "d": []}, nodes="abcd"))
    assert step.delete == [broken]


def test_new_pods_come_beside_old_ones_up_to_the_surge() -> None:
    pods = {name: [pod("old")] for name in "abcd"}
    step = next_update(daemons(pods, strategy=rolling(0, 2), nodes="abcd"))
    assert (len(step.create), step.delete) == (2, [])
    pods["a"].append(pod("new", ready_for=None))
    assert len(next_update(daemons(pods, strategy=rolling(0, 2), nodes="abcd")).create) == 1
    pods["b"].append(pod("new"))
    step = next_update(daemons(pods, strategy=rolling(0, 2), nodes="abcd"))
    assert names(step.delete) == names([pods["b"][0]])


def test_a_node_whose_old_pod_does_not_serve_needs_no_room_in_the_surge() -> None:
    pods = {"a": [pod("old", ready_for=None)], "b": [pod("old"), pod("new", ready_for=None)]}
    assert next_update(daemons(pods, strategy=rolling(0, 1), nodes="ab")).create == ["a"]


def test_a_misplaced_pod_goes_only_when_others_serve_in_its_place() -> None:
    misplaced = pod("old")
    pods = {"a": [pod("new", ready_for=None)], "e": [misplaced]}
    assert next_update(daemons(pods, strategy=rolling(0, 1), nodes="ae")).delete == []
    pods["a"] = [pod("new")]
    assert next_update(daemons(pods, strategy=rolling(0, 1), nodes="ae")).delete == [misplaced]


def test_the_status_speaks_of_the_oldest_pod_of_each_node() -> None:
    pods = {"a": [pod("new", ready_for=None, age=1), pod("old", age=9)], "b": [pod("new")], "e": [pod("old")]}
    status = daemon_status(daemons(pods), acted=False)
    assert status == {
        "currentNumberScheduled": 2,
        "desiredNumberScheduled": 4,
        "numberMisscheduled": 1,
        "numberReady": 2,
        "numberAvailable": 2,
        "numberUnavailable": 2,
        "updatedNumberScheduled": 1,
        "observedGeneration": 2,
    }
    assert daemon_status(daemons(pods), acted=True)["observedGeneration"] == 3


@pytest.mark.parametrize(("limit", "gone"), [(0, ["r1", "r3"]), (1, ["r1", "r3"]), (2, ["r1"]), (3, [])])
def test_history_beyond_the_limit_goes_unless_pods_are_of_it(limit: int, gone: list[str]) -> None:
    old = [
        {"metadata": {"name": f"r{number}", "labels": {HASH: f"h{number}"}}, "revision": number} for number in (3, 2, 1)
    ]
    found = outdated_revisions(old, [{"metadata": {"labels": {HASH: "h2"}}}], limit)
    assert [one["metadata"]["name"] for one in found] == gone
