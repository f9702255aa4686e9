"""Which pods go first; facts of Kubernetes' TestSortingActivePodsWithRanks."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from hyperkube_controller_manager.deletionorder import active_order, deletion_cost, first_to_delete
from hyperkube_machinery.timestamps import format_seconds

NOW = 2_000_000_000.0
_numbers = itertools.count()


def pod(
    *,
    node: str = "n",
    phase: str = "Running",
    ready_for: float | None = None,
    age: float | None = 3600,
    cost: str = "",
    restarts: int = 0,
    sidecar_restarts: int = 0,
    uid: str = "",
) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": f"p{next(_numbers)}", "uid": uid or f"u{next(_numbers)}"}
    if age is not None:
        meta["creationTimestamp"] = format_seconds(NOW - age)
    if cost:
        meta["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": cost}
    status: dict[str, Any] = {"phase": phase, "containerStatuses": [{"restartCount": restarts}]}
    status["initContainerStatuses"] = [{"name": "side", "restartCount": sidecar_restarts}]
    if ready_for is not None:
        since = format_seconds(NOW - ready_for)
        status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    spec = {"nodeName": node, "initContainers": [{"name": "side", "restartPolicy": "Always"}]}
    return {"metadata": meta, "spec": spec, "status": status}


ORDERED = [
    pod(node=""),
    pod(phase="Pending"),
    pod(phase="Unknown"),
    pod(restarts=5),
    pod(sidecar_restarts=5),
    pod(age=60),
    pod(),
    pod(ready_for=10, cost="-5"),
    pod(ready_for=10),
    pod(ready_for=3000),
    pod(ready_for=10, cost="5"),
]


@pytest.mark.parametrize(("cheap", "dear"), list(itertools.combinations(ORDERED, 2)))
def test_what_is_lost_least_goes_first(cheap: dict[str, Any], dear: dict[str, Any]) -> None:
    assert first_to_delete([dear, cheap], [], 1, now=NOW) == [cheap]
    assert first_to_delete([cheap, dear], [], 1, now=NOW) == [cheap]


def test_of_equal_pods_the_one_in_company_goes() -> None:
    alone, crowded = pod(node="a", ready_for=10), pod(node="b", ready_for=10)
    sibling = pod(node="b", ready_for=10)
    assert first_to_delete([alone, crowded], [alone, crowded, sibling], 1, now=NOW) == [crowded]


def test_ages_of_one_magnitude_are_told_apart_by_chance_that_stays() -> None:
    older, younger = pod(ready_for=1000, uid="a"), pod(ready_for=900, uid="b")
    assert first_to_delete([younger, older], [], 1, now=NOW) == [older]


def test_all_go_if_all_must() -> None:
    pods = [pod(), pod()]
    assert first_to_delete(pods, [], 2, now=NOW) == pods


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("", 0),
        ("10", 10),
        ("-10", -10),
        ("+1", 0),
        ("01", 0),
        ("0", 0),
        ("1.5", 0),
        ("9999999999", 0),
        ("٣", 0),
    ],
)
def test_a_cost_that_cannot_be_read_is_none(text: str, cost: int) -> None:
    assert deletion_cost({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": text}}}) == cost


def test_a_job_gives_up_what_has_come_least_far() -> None:
    furthest, young, unready = pod(ready_for=100), pod(ready_for=5), pod()
    assert sorted([furthest, young, unready], key=active_order) == [unready, young, furthest]
