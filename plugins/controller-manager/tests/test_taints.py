"""Taints, tolerations, and what a node's conditions come to."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_controller_manager.taints import (
    NO_EXECUTE,
    NOT_READY,
    UNREACHABLE,
    has_taint,
    no_execute,
    scheduling_taints,
    seconds_tolerated,
    swapped,
    tolerates,
)


def node(*taints: dict[str, Any], conditions: dict[str, str] | None = None, unschedulable: bool = False) -> Any:
    listed = [{"type": kind, "status": status} for kind, status in (conditions or {}).items()]
    return {"spec": {"taints": list(taints), "unschedulable": unschedulable}, "status": {"conditions": listed}}


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> dict[str, Any]:
    return {"key": key, "effect": effect, "value": value}


P = "node.kubernetes.io/"


@pytest.mark.parametrize(
    ("given", "lacking", "excess"),
    [
        (node(conditions={"Ready": "True", "MemoryPressure": "False"}), [], []),
        (node(conditions={"Ready": "False"}), [P + "not-ready"], []),
        (node(conditions={"Ready": "Unknown"}), [P + "unreachable"], []),
        (node(taint(P + "not-ready"), conditions={"Ready": "Unknown"}), [P + "unreachable"], [P + "not-ready"]),
        (node(taint(P + "not-ready"), conditions={"Ready": "False"}), [], []),
        (node(taint(P + "not-ready", NO_EXECUTE), conditions={"Ready": "True"}), [], []),  # another effect
        (node(taint("somebody.else/s"), conditions={"Ready": "True"}), [], []),
        (
            node(conditions=dict.fromkeys(("MemoryPressure", "DiskPressure", "PIDPressure"), "True")),
            [P + "memory-pressure", P + "disk-pressure", P + "pid-pressure"],
            [],
        ),
        (node(conditions={"NetworkUnavailable": "True"}), [P + "network-unavailable"], []),
        (node(unschedulable=True), [P + "unschedulable"], []),
        (node(taint(P + "unschedulable")), [], [P + "unschedulable"]),
    ],
)
def test_conditions_come_to_taints(given: Any, lacking: list[str], excess: list[str]) -> None:
    assert scheduling_taints(given) == (lacking, excess)


def test_swapping_keeps_what_others_put_there() -> None:
    before = node(taint("mine", NO_EXECUTE), taint(NOT_READY, NO_EXECUTE), taint(NOT_READY))
    after = swapped(before, NO_EXECUTE, add=[UNREACHABLE], remove=[NOT_READY], now="then")
    assert after == [
        taint("mine", NO_EXECUTE),
        taint(NOT_READY),
        {"key": UNREACHABLE, "effect": NO_EXECUTE, "timeAdded": "then"},
    ]
    assert before["spec"]["taints"][1]["key"] == NOT_READY  # the node itself is left alone


def test_swapping_for_what_is_there_changes_nothing() -> None:
    before = node(taint(UNREACHABLE, NO_EXECUTE))
    assert swapped(before, NO_EXECUTE, add=[UNREACHABLE], remove=[NOT_READY], now="then") is None


def test_taints_are_found_by_key_and_effect() -> None:
    given = node(taint(NOT_READY), taint("x", NO_EXECUTE))
    assert has_taint(given, NOT_READY)
    assert not has_taint(given, NOT_READY, NO_EXECUTE)
    assert [one["key"] for one in no_execute(given)] == ["x"]


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "v", "operator": "Equal", "effect": "NoExecute"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "l", "operator": "Exists"}, False),
        ({"value": "v"}, False),
        ({"key": "k", "value": "v", "operator": "Gt"}, False),
    ],
)
def test_tolerations_fit_taints(toleration: dict[str, Any], fits: bool) -> None:
    assert tolerates(toleration, taint("k", NO_EXECUTE, "v")) is fits


A, B = taint("a", NO_EXECUTE), taint("b", NO_EXECUTE)


@pytest.mark.parametrize(
    ("taints", "tolerations", "seconds"),
    [
        ([], [], None),
        ([A], [], 0),
        ([A], [{"key": "a", "operator": "Exists"}], None),
        ([A], [{"key": "a", "operator": "Exists", "tolerationSeconds": 300}], 300),
        ([A], [{"key": "a", "operator": "Exists", "tolerationSeconds": -1}], 0),
        ([A, B], [{"key": "a", "operator": "Exists", "tolerationSeconds": 300}], 0),
        (
            [A, B],
            [{"key": "a", "operator": "Exists", "tolerationSeconds": 300}, {"key": "b", "operator": "Exists"}],
            300,
        ),
        (
            [A, B],
            [
                {"key": "a", "operator": "Exists", "tolerationSeconds": 300},
                {"key": "b", "operator": "Exists", "tolerationSeconds": 20},
            ],
            20,
        ),
        # The first toleration that fits counts, not the longest.
        ([A], [{"operator": "Exists", "tolerationSeconds": 5}, {"key": "a", "operator": "Exists"}], 5),
    ],
)
def test_how_long_a_pod_may_stay(taints: Any, tolerations: Any, seconds: float | None) -> None:
    assert seconds_tolerated(taints, tolerations) == seconds
