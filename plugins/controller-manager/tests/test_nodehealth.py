"""When a node counts as dead, and how fast the dead lose their pods."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_controller_manager.nodehealth import (
    Bucket,
    Rates,
    ZoneState,
    is_counted,
    missing_labels,
    pod_not_ready,
    seen,
    silenced,
    zone_of,
    zone_state,
)
from hyperkube_machinery.timestamps import parse

WALL = parse("2026-01-01T00:00:30Z")


def node(*conditions: dict[str, Any], **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": labels},
        "status": {"conditions": list(conditions)},
    }


def ready(heartbeat: str = "2026-01-01T00:00:05Z", status: str = "True") -> dict[str, Any]:
    return {"type": "Ready", "status": status, "lastHeartbeatTime": heartbeat, "lastTransitionTime": "t0"}


def lease(renewed: str) -> dict[str, Any]:
    return {"spec": {"renewTime": renewed}}


def test_a_node_is_heard_by_its_status_and_by_its_lease() -> None:
    health = seen(None, node(ready()), None, now=100.0, wall=WALL)
    assert health.heard == 100.0
    health = seen(health, node(ready()), None, now=105.0, wall=WALL)
    assert health.heard == 100.0  # nothing new
    health = seen(health, node(ready("2026-01-01T00:01:00Z")), None, now=110.0, wall=WALL)
    assert health.heard == 110.0
    health = seen(
        health, node(ready("2026-01-01T00:01:00Z")), lease("2026-01-01T00:01:10.000000Z"), now=115.0, wall=WALL
    )
    assert health.heard == 115.0
    health = seen(
        health, node(ready("2026-01-01T00:01:00Z")), lease("2026-01-01T00:01:10.000000Z"), now=120.0, wall=WALL
    )
    assert health.heard == 115.0


def test_a_lease_that_goes_back_says_nothing() -> None:
    health = seen(None, node(ready()), lease("2026-01-01T00:01:10.000000Z"), now=100.0, wall=WALL)
    assert seen(health, node(ready()), lease("2026-01-01T00:01:09.000000Z"), now=110.0, wall=WALL).heard == 100.0


def test_a_clock_that_runs_behind_does_not_make_a_node_dead() -> None:
    old = "2020-01-01T00:00:00Z"
    assert seen(None, node(ready(old)), lease(old), now=100.0, wall=WALL).heard == 100.0


def test_a_node_that_never_told_of_itself_is_as_old_as_it_is() -> None:
    health = seen(None, node(), None, now=100.0, wall=WALL)
    assert health.heard == 70.0
    assert seen(health, node(), None, now=130.0, wall=WALL + 30).heard == 70.0
    assert seen(health, node(ready()), None, now=130.0, wall=WALL).heard == 130.0


def test_what_a_silent_node_reported_becomes_unknown() -> None:
    kept = {"type": "NetworkUnavailable", "status": "False"}
    after = silenced(node(ready(), kept), "now")
    assert after is not None
    by_type = {condition["type"]: condition for condition in after}
    assert by_type["NetworkUnavailable"] == kept
    assert by_type["Ready"] == {
        **ready(),
        "status": "Unknown",
        "lastTransitionTime": "now",
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
    }
    assert by_type["PIDPressure"] == {
        "type": "PIDPressure",
        "status": "Unknown",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z",
        "lastTransitionTime": "now",
        "reason": "NodeStatusNeverUpdated",
        "message": "Kubelet never posted node status.",
    }
    assert silenced({**node(), "status": {"conditions": after}}, "later") is None


def test_pods_of_a_dead_node_are_not_ready() -> None:
    initialized = {"type": "Initialized", "status": "True"}
    assert pod_not_ready(node(initialized, ready()), "now") == [
        initialized,
        {**ready(status="False"), "lastTransitionTime": "now"},
    ]
    assert pod_not_ready(node(ready(status="False")), "now") is None
    assert pod_not_ready(node(initialized), "now") is None


def test_zones_are_told_by_labels_new_and_old() -> None:
    assert zone_of(node()) == ""
    new = node(**{"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"})
    old = node(
        **{"failure-domain.beta.kubernetes.io/zone": "z", "failure-domain.beta.kubernetes.io/region": "r"},
    )
    assert zone_of(new) == zone_of(old) != ""
    assert zone_of(node(**{"topology.kubernetes.io/zone": "z"})) not in ("", zone_of(new))
    assert is_counted(new)
    assert not is_counted(node(**{"node.kubernetes.io/exclude-disruption": ""}))


@pytest.mark.parametrize(
    ("ready", "unready", "state"),
    [
        (0, 0, ZoneState.NORMAL),
        (3, 0, ZoneState.NORMAL),
        (0, 1, ZoneState.FULL),
        (1, 2, ZoneState.NORMAL),  # two nodes may always fail
        (1, 3, ZoneState.PARTIAL),
        (5, 4, ZoneState.NORMAL),
        (9, 11, ZoneState.PARTIAL),
    ],
)
def test_zones_are_disrupted_by_how_many_nodes_failed(ready: int, unready: int, state: ZoneState) -> None:
    assert zone_state([True] * ready + [False] * unready, 0.55) is state


def test_a_small_disrupted_zone_is_left_alone_and_a_large_one_emptied_slowly() -> None:
    rates = Rates(normal=0.1, secondary=0.01, large_zone=50)
    assert rates.of(ZoneState.NORMAL, 10) == 0.1
    assert rates.of(ZoneState.PARTIAL, 50) == 0
    assert rates.of(ZoneState.PARTIAL, 51) == 0.01
    assert rates.of(ZoneState.FULL, 10) == 0.1


def test_a_bucket_gives_one_at_a_time() -> None:
    bucket = Bucket(0.1, 0.0)
    assert bucket.take(0.0)
    assert not bucket.take(9.9)
    assert bucket.take(10.0)


def test_a_bucket_whose_rate_changes_gives_nothing_for_free() -> None:
    bucket = Bucket(0.1, 0.0)
    assert bucket.take(0.0)
    bucket.change(0.0, 1.0)
    assert not bucket.take(1000.0)
    bucket.change(0.1, 1000.0)
    assert not bucket.take(1009.0)
    assert bucket.take(1010.0)
    bucket.change(1.0, 1030.0)  # it was full
    assert bucket.take(1030.0)


def test_labels_of_old_names_follow_those_of_today() -> None:
    assert missing_labels(node(**{"kubernetes.io/os": "linux"})) == {"beta.kubernetes.io/os": "linux"}
    both = {"kubernetes.io/arch": "amd64", "beta.kubernetes.io/arch": "arm"}
    assert missing_labels(node(**both)) == {"beta.kubernetes.io/arch": "amd64"}
    assert missing_labels(node(**{"beta.kubernetes.io/arch": "arm"})) == {}
