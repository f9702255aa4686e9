"""How statuses may change; what they may say is in the tables of rules."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hyperkube_apiserver.registry.indexes import common_index, parse_indexes

Tree = dict[str, Any]

ENDED = "Forbidden: may not be transitioned to non-terminated state"


def _pod(writer: Any, **spec: Any) -> Tree:
    containers = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1", "a.b/gpu": "1"}}}]
    containers[0]["resources"]["limits"] = {"a.b/gpu": "1"}  # type: ignore[index]
    tree, errors = writer.create(
        writer.strategy("pods"), {"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}
    )
    assert errors == []
    return tree  # type: ignore[no-any-return]


def _causes(writer: Any, strategy: Any, old: Tree, status: Tree) -> list[tuple[str, str]]:
    _, errors = writer.update(strategy, old, {**copy.deepcopy(old), "status": {**old["status"], **status}}, "status")
    return [(error.field, error.message) for error in errors]


def test_linux_users_are_not_of_windows_pods(writer: Any) -> None:
    old = _pod(writer, os={"name": "windows"})
    status = {"containerStatuses": [{"name": "c", "user": {"linux": {"uid": 1, "gid": 1}}}]}
    path = "status.containerStatuses[0].user.linux"
    causes = _causes(writer, writer.strategy("pods"), old, status)
    assert causes == [(path, "Forbidden: cannot be set for a windows pod")]


@pytest.mark.parametrize(
    ("policy", "container", "exit_code", "refused"),
    [
        ("Always", {}, 0, False),
        ("OnFailure", {}, 1, False),
        ("OnFailure", {}, 0, True),
        ("Never", {}, 1, True),
        ("Never", {"restartPolicy": "Always"}, 1, False),
        ("Always", {"restartPolicy": "Never"}, 1, True),
        ("Never", {"restartPolicy": "Never", "rule": ("In", [42], "Restart")}, 42, False),
        ("Never", {"restartPolicy": "Never", "rule": ("In", [42], "Restart")}, 1, True),
        ("Never", {"restartPolicy": "Never", "rule": ("NotIn", [42], "Restart")}, 1, False),
        ("Never", {"restartPolicy": "Never", "rule": ("In", [42], "RestartAllContainers")}, 1, False),
    ],
)
def test_a_container_that_is_not_to_restart_stays_ended(
    writer: Any, policy: str, container: Tree, exit_code: int, refused: bool
) -> None:
    fields = {key: value for key, value in container.items() if key != "rule"}
    if "rule" in container:
        operator, values, action = container["rule"]
        fields["restartPolicyRules"] = [{"action": action, "exitCodes": {"operator": operator, "values": values}}]
    old = _pod(writer, restartPolicy=policy, containers=[{"name": "c", "image": "i", **fields}])
    old["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": exit_code}}}]
    running = {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}
    expected = [("status.containerStatuses[0].state", ENDED)] if refused else []
    assert _causes(writer, writer.strategy("pods"), old, running) == expected


def test_an_ephemeral_container_never_runs_again(writer: Any) -> None:
    old = _pod(writer)
    old["status"]["ephemeralContainerStatuses"] = [{"name": "e", "state": {"terminated": {"exitCode": 1}}}]
    causes = _causes(writer, writer.strategy("pods"), old, {"ephemeralContainerStatuses": [{"name": "e"}]})
    assert causes == [("status.ephemeralContainerStatuses[0].state", ENDED)]


def _condition(kind: str, status: str = "True") -> Tree:
    return {"type": kind, "status": status}


COMPLETE = [_condition("SuccessCriteriaMet"), _condition("Complete")]
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"
DONE = {"conditions": COMPLETE, "startTime": EARLY, "completionTime": LATE}


def _job(writer: Any, status: Tree, **spec: Any) -> Tree:
    template = {"spec": {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}
    given = {"metadata": {"name": "j"}, "spec": {"template": template, **spec}}
    tree, errors = writer.create(writer.strategy("jobs", "batch"), given)
    assert errors == []
    return {**tree, "status": status}


@pytest.mark.parametrize(
    ("before", "status"),
    [
        ({}, DONE),
        ({"failed": 1}, {"failed": 2, "active": 1, "ready": 1}),
        (
            {"conditions": [_condition("Suspended")], "startTime": EARLY},
            {"conditions": [_condition("Suspended", "False")]},
        ),
        ({**DONE, "active": 1}, {**DONE, "active": 1, "failed": 3}),  # what was wrong before doesn't stand in the way
    ],
)
def test_a_jobs_status_moves_on(writer: Any, before: Tree, status: Tree) -> None:
    old = _job(writer, dict(before))
    _, errors = writer.update(writer.strategy("jobs", "batch"), old, {**old, "status": dict(status)}, "status")
    assert errors == []


def test_indexes_in_a_jobs_status_are_read(writer: Any) -> None:
    old = _job(writer, {}, completions=5, completionMode="Indexed", backoffLimitPerIndex=1)
    status = {"completedIndexes": "1,3-9", "failedIndexes": "2-1"}
    _, errors = writer.update(writer.strategy("jobs", "batch"), old, {**old, "status": status}, "status")
    assert [error.detail for error in errors] == [
        'error parsing completedIndexes: too large index: "9"',
        "error parsing failedIndexes: non-increasing order, previous: 2, current: 1",
    ]
    status = {"completedIndexes": "0-2", "failedIndexes": "2"}
    _, errors = writer.update(writer.strategy("jobs", "batch"), old, {**old, "status": status}, "status")
    assert [error.detail for error in errors] == ["failedIndexes and completedIndexes overlap at index: 2"]


def test_intervals_of_indexes() -> None:
    assert parse_indexes("0,2-4", 5) == [(0, 0), (2, 4)]
    assert parse_indexes("", 5) == []
    assert common_index("0,2-4,9", "1,x,3", 5) == 3
    assert common_index("0,2", "1,3", 5) is None


def test_what_a_suspended_job_gives_its_pods_may_change(writer: Any) -> None:
    jobs = writer.strategy("jobs", "batch")
    new_resources = {"requests": {"cpu": "1"}}

    def changed(old: Tree, **container: Any) -> Tree:
        new = copy.deepcopy(old)
        new["spec"]["template"]["spec"]["containers"][0].update(container)
        return new

    idle = _job(writer, {}, suspend=True)
    assert writer.update(jobs, idle, changed(idle, resources=new_resources))[1] == []
    assert [error.field for error in writer.update(jobs, idle, changed(idle, image="x"))[1]] == ["spec.template.spec"]
    stopped = {**idle, "status": {"startTime": EARLY, "conditions": [_condition("Suspended")]}}
    assert writer.update(jobs, stopped, changed(stopped, resources=new_resources))[1] == []
    for status, spec in (({"startTime": EARLY}, {"suspend": True}), ({"active": 1}, {"suspend": True}), ({}, {})):
        old = _job(writer, status, **spec)
        found = writer.update(jobs, old, changed(old, resources=new_resources))[1]
        assert [error.field for error in found] == ["spec.template"]


@pytest.mark.parametrize(
    ("status", "field", "message"),
    [
        ({"capacity": {"storage": "-1"}}, "capacity[storage]", "Invalid value: -1: must be a valid resource quantity"),
        (
            {"allocatedResources": {"cpu": "1"}},
            "allocatedResources",
            'Unsupported value: "cpu": supported values: "storage"',
        ),
        (
            {"allocatedResources": {"storage": "-1"}},
            "allocatedResources[storage]",
            "Invalid value: -1: must be a valid resource quantity",
        ),
        (
            {"allocatedResourceStatuses": {"storage": "Resizing"}},
            "allocatedResourceStatuses",
            'Unsupported value: "storage": supported values: "ControllerResizeInProgress", '
            '"ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"',
        ),
    ],
)
def test_a_claims_status_is_refused(writer: Any, status: Tree, field: str, message: str) -> None:
    claims = writer.strategy("persistentvolumeclaims")
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    old, _ = writer.create(claims, {"metadata": {"name": "a"}, "spec": spec})
    assert _causes(writer, claims, old, status) == [(f"status.{field}", message)]
