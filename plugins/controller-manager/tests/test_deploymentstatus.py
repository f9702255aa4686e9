"""Cases are facts of Kubernetes' own tests: pkg/controller/deployment/progress_test.go and util."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_controller_manager.conditions import find
from hyperkube_controller_manager.deploymentstatus import (
    is_complete,
    pause_conditions,
    rollout_status,
    seconds_to_deadline,
)
from hyperkube_machinery.timestamps import format_seconds

BEGAN = 1_000_000.0
NOW = BEGAN + 61
WHEN = format_seconds(BEGAN)


def deployment(
    replicas: int, status: tuple[int, int, int, int], *conditions: dict[str, Any], deadline: int | None = 60
) -> dict[str, Any]:
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    spec: dict[str, Any] = {"replicas": replicas, "strategy": {"type": "Recreate"}}
    if deadline is not None:
        spec["progressDeadlineSeconds"] = deadline
    told = dict(zip(names, status, strict=True))
    return {"metadata": {"name": "web"}, "spec": spec, "status": {**told, "conditions": list(conditions)}}


def replica_set(name: str, replicas: int, ready: int, available: int, **status: Any) -> dict[str, Any]:
    told = {"replicas": replicas, "readyReplicas": ready, "availableReplicas": available, "observedGeneration": 1}
    return {"metadata": {"name": name}, "spec": {"replicas": replicas}, "status": {**told, **status}}


def progressing(status: str, reason: str) -> dict[str, Any]:
    times = {"lastUpdateTime": WHEN, "lastTransitionTime": WHEN}
    return {"type": "Progressing", "status": status, "reason": reason, "message": "", **times}


TIMED_OUT = progressing("False", "ProgressDeadlineExceeded")
AVAILABLE = progressing("True", "NewReplicaSetAvailable")
UPDATED = progressing("True", "ReplicaSetUpdated")


@pytest.mark.parametrize(
    ("before", "new", "old", "expected", "message"),
    [
        (deployment(3, (3, 2, 2, 2), UPDATED, deadline=None), (3, 2, 2), [(0, 1, 1)], None, ""),
        (deployment(3, (3, 3, 3, 3), AVAILABLE), (3, 3, 3), [], ("True", "NewReplicaSetAvailable", WHEN, WHEN), ""),
        (
            deployment(3, (3, 1, 3, 3), UPDATED),
            (2, 2, 2),
            [(1, 1, 1)],
            ("True", "ReplicaSetUpdated", format_seconds(NOW), WHEN),
            'ReplicaSet "web-new" is progressing.',
        ),
        (
            deployment(3, (3, 1, 3, 3), TIMED_OUT),
            (2, 2, 2),
            [(1, 1, 1)],
            ("True", "ReplicaSetUpdated", format_seconds(NOW), format_seconds(NOW)),
            'ReplicaSet "web-new" is progressing.',
        ),
        (
            deployment(3, (3, 1, 3, 3)),
            (2, 2, 2),
            [(1, 1, 1)],
            ("True", "ReplicaSetUpdated", format_seconds(NOW), format_seconds(NOW)),
            'ReplicaSet "web-new" is progressing.',
        ),
        (
            deployment(3, (3, 3, 3, 3), UPDATED),
            (3, 3, 3),
            [],
            ("True", "NewReplicaSetAvailable", format_seconds(NOW), WHEN),
            'ReplicaSet "web-new" has successfully progressed.',
        ),
        (
            deployment(3, (3, 3, 3, 3), TIMED_OUT),
            (3, 3, 3),
            [],
            ("True", "NewReplicaSetAvailable", format_seconds(NOW), format_seconds(NOW)),
            'ReplicaSet "web-new" has successfully progressed.',
        ),
        (
            deployment(0, (3, 3, 3, 3), UPDATED),
            None,
            [(0, 0, 0)],
            ("True", "NewReplicaSetAvailable", format_seconds(NOW), WHEN),
            'Deployment "web" has successfully progressed.',
        ),
        (
            deployment(3, (3, 3, 2, 2), UPDATED),
            (3, 2, 2),
            [],
            ("False", "ProgressDeadlineExceeded", format_seconds(NOW), format_seconds(NOW)),
            'ReplicaSet "web-new" has timed out progressing.',
        ),
        (
            deployment(3, (3, 3, 2, 2), TIMED_OUT),
            (3, 2, 2),
            [],
            ("False", "ProgressDeadlineExceeded", WHEN, WHEN),
            "",
        ),
    ],
)
def test_progress_is_told_with_its_time(before: Any, new: Any, old: Any, expected: Any, message: Any) -> None:
    newest = replica_set("web-new", *new) if new else None
    status = rollout_status(before, newest, [replica_set(f"web-{n}", *one) for n, one in enumerate(old)], NOW)
    found = find(status["conditions"], "Progressing")
    shown = found and (found["status"], found["reason"], found["lastUpdateTime"], found["lastTransitionTime"])
    assert shown == expected
    assert not message or (found is not None and found["message"] == message)


@pytest.mark.parametrize(
    ("replicas", "status", "expected"),
    [
        (5, (5, 5, 4, 4), False),
        (5, (5, 5, 5, 5), True),
        (5, (5, 4, 5, 5), False),
        (1, (2, 1, 1, 1), False),
        (1, (1, 1, 0, 0), False),
        (0, (0, 0, 0, 0), True),
    ],
)
def test_a_rollout_is_complete_when_all_is_new_and_available(replicas: Any, status: Any, expected: Any) -> None:
    obj = deployment(replicas, status)
    assert is_complete(obj, obj["status"]) is expected
    obj["metadata"]["generation"] = 2
    assert not is_complete(obj, obj["status"])  # what was looked at was another generation


def test_what_the_replica_sets_add_up_to() -> None:
    new = replica_set("web-new", 2, 1, 1, terminatingReplicas=0)
    old = replica_set("web-old", 1, 1, 1, terminatingReplicas=2)
    status = rollout_status(deployment(3, (0, 0, 0, 0)), new, [old], NOW)
    del status["conditions"]
    assert status == {
        "replicas": 3,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "unavailableReplicas": 1,
        "terminatingReplicas": 2,
    }


def test_the_number_of_those_on_their_way_out_is_unknown_while_a_replica_set_does_not_tell() -> None:
    new, old = replica_set("web-new", 2, 1, 1, terminatingReplicas=0), replica_set("web-old", 1, 1, 1)
    assert "terminatingReplicas" not in rollout_status(deployment(3, (0, 0, 0, 0)), new, [old], NOW)


def test_a_replica_set_that_cannot_make_pods_speaks_through_its_deployment() -> None:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    failure["lastTransitionTime"] = WHEN
    new = replica_set("web-new", 1, 0, 0, conditions=[failure])
    status = rollout_status(deployment(3, (0, 0, 0, 0)), new, [], NOW)
    assert find(status["conditions"], "ReplicaFailure") == {**failure, "lastUpdateTime": WHEN}
    before = {**deployment(3, (0, 0, 0, 0)), "status": status}
    after = rollout_status(before, replica_set("web-new", 3, 3, 3), [], NOW)
    assert find(after["conditions"], "ReplicaFailure") is None


def test_a_stuck_rollout_is_looked_at_again_when_its_deadline_is_over() -> None:
    obj = deployment(3, (3, 2, 2, 2), UPDATED)
    assert seconds_to_deadline(obj, BEGAN + 10) == 51
    assert seconds_to_deadline(obj, BEGAN + 100) == 1
    assert seconds_to_deadline(deployment(3, (3, 2, 2, 2), TIMED_OUT), NOW) is None
    assert seconds_to_deadline(deployment(3, (3, 3, 3, 3), AVAILABLE), NOW) is None
    assert seconds_to_deadline(deployment(3, (3, 2, 2, 2), UPDATED, deadline=None), NOW) is None


@pytest.mark.parametrize(
    ("paused", "held", "expected"),
    [
        (True, [UPDATED], ("Unknown", "DeploymentPaused")),
        (True, [progressing("Unknown", "DeploymentPaused")], None),
        (False, [progressing("Unknown", "DeploymentPaused")], ("Unknown", "DeploymentResumed")),
        (False, [UPDATED], None),
        (True, [TIMED_OUT], None),
        (True, [], ("Unknown", "DeploymentPaused")),
    ],
)
def test_pausing_and_resuming_are_told_once(paused: Any, held: Any, expected: Any) -> None:
    obj = deployment(3, (3, 2, 2, 2), *held)
    obj["spec"]["paused"] = paused
    conditions = pause_conditions(obj, NOW)
    found = conditions and find(conditions, "Progressing")
    assert (found and (found["status"], found["reason"])) == expected
