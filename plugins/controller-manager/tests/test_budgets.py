"""How many pods a disruption budget lets go."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_controller_manager.budgets import (
    budget_status,
    counts,
    disrupted_since,
    failed_status,
    needs_scale,
    stale_disruption,
)
from hyperkube_controller_manager.budgetwords import several_budgets, unmanaged_pods
from hyperkube_machinery.timestamps import format_seconds, parse

NOW = parse("2026-01-01T00:10:00Z")


def budget(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "b", "namespace": "ns", "generation": 2}, "spec": spec, "status": status or {}}


def pod(name: str, *, ready: bool = True, deleted: bool = False, **condition: str) -> dict[str, Any]:
    about: dict[str, Any] = {"name": name, "namespace": "ns"}
    if deleted:
        about["deletionTimestamp"] = format_seconds(NOW)
    conditions: list[dict[str, str]] = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": about, "status": {"phase": "Running", "conditions": conditions + [condition] * bool(condition)}}


@pytest.mark.parametrize(
    ("spec", "pods", "scale", "expected"),
    [
        ({"minAvailable": 2}, 3, 0, (3, 2)),
        ({"minAvailable": 0}, 3, 0, (3, 0)),
        ({"minAvailable": "50%"}, 3, 5, (5, 3)),
        ({"maxUnavailable": 1}, 3, 5, (5, 4)),
        ({"maxUnavailable": "30%"}, 3, 5, (5, 3)),
        ({"maxUnavailable": 9}, 3, 5, (5, 0)),
        ({}, 3, 0, (0, 0)),
    ],
)
def test_what_is_wanted(spec: dict[str, Any], pods: int, scale: int, expected: tuple[int, int]) -> None:
    assert counts(budget(**spec), pods, scale) == expected
    assert needs_scale(budget(**spec)) is (scale > 0)


@pytest.mark.parametrize(
    ("pods", "counted", "awaited", "allowed", "healthy"),
    [
        ([pod("a"), pod("b"), pod("c")], (3, 2), {}, 1, 3),
        ([pod("a"), pod("b"), pod("c", ready=False)], (3, 2), {}, 0, 2),
        ([pod("a"), pod("b"), pod("c", deleted=True)], (3, 1), {}, 1, 2),
        ([pod("a"), pod("b"), pod("c")], (3, 1), {"c": "then"}, 1, 2),
        ([pod("a")], (3, 2), {}, 0, 1),
        ([], (0, 0), {}, 0, 0),
    ],
)
def test_what_may_go(pods: Any, counted: Any, awaited: dict[str, str], allowed: int, healthy: int) -> None:
    status = budget_status(budget(), pods, counted, awaited, "now")
    assert status is not None
    assert (status["disruptionsAllowed"], status["currentHealthy"]) == (allowed, healthy)
    assert status["observedGeneration"] == 2
    (condition,) = status["conditions"]
    assert condition["reason"] == ("SufficientPods" if allowed else "InsufficientPods")
    assert budget_status(budget(status), pods, counted, awaited, "later") is None


def test_the_time_of_a_condition_is_that_of_its_status() -> None:
    first = budget_status(budget(), [pod("a")], (1, 0), {}, "then")
    again = budget_status(budget(first), [pod("a"), pod("b")], (2, 0), {}, "now")
    assert again is not None
    assert again["conditions"][0]["lastTransitionTime"] == "then"
    spent = budget_status(budget(again), [], (2, 0), {}, "now")
    assert spent is not None
    assert spent["conditions"][0]["lastTransitionTime"] == "now"


def test_what_cannot_be_counted_lets_nothing_go() -> None:
    first = budget_status(budget(), [pod("a")], (1, 0), {}, "then")
    failed = failed_status(budget(first), "no idea", "now")
    assert failed["disruptionsAllowed"] == 0
    assert failed["conditions"] == [
        {
            "type": "DisruptionAllowed",
            "status": "False",
            "observedGeneration": 2,
            "lastTransitionTime": "now",
            "reason": "SyncFailed",
            "message": "no idea",
        }
    ]


def test_evictions_are_awaited_for_two_minutes() -> None:
    noted = {"early": format_seconds(NOW - 121), "late": format_seconds(NOW - 60), "going": format_seconds(NOW - 1)}
    pods = [pod("early"), pod("late"), pod("going", deleted=True), pod("other")]
    awaited, failed, wait = disrupted_since(budget({"disruptedPods": noted}), pods, NOW)
    assert awaited == {"late": noted["late"]}
    assert [one["metadata"]["name"] for one in failed] == ["early"]
    assert wait == 60


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (pod("p"), None),
        (pod("p", type="DisruptionTarget", status="True", lastTransitionTime=format_seconds(NOW - 30)), 90),
        (pod("p", type="DisruptionTarget", status="True", lastTransitionTime=format_seconds(NOW - 300)), 0),
        (pod("p", type="DisruptionTarget", status="False", lastTransitionTime=format_seconds(NOW - 300)), None),
        (pod("p", deleted=True, type="DisruptionTarget", status="True", lastTransitionTime=format_seconds(NOW)), None),
        (pod("p", type="DisruptionTarget", status="True", reason="TerminationByKubelet"), None),
    ],
)
def test_a_pod_that_stays_says_so_after_two_minutes(given: Any, seconds: float | None) -> None:
    assert stale_disruption(given, NOW) == seconds


@pytest.mark.parametrize(
    ("selector", "shown"),
    [
        (None, "nil"),
        ({}, "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{},}"),
        (
            {"matchLabels": {"b": "2", "a": "1"}},
            "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:[]LabelSelectorRequirement{},}",
        ),
        (
            {
                "matchExpressions": [
                    {"key": "x", "operator": "In", "values": ["y", "z"]},
                    {"key": "w", "operator": "Exists"},
                ]
            },
            "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{"
            "LabelSelectorRequirement{Key:x,Operator:In,Values:[y z],},"
            "LabelSelectorRequirement{Key:w,Operator:Exists,Values:[],},},}",
        ),
    ],
)
def test_a_selector_is_told_as_go_prints_it(selector: dict[str, Any] | None, shown: str) -> None:
    assert f"(selector: {shown}) were found" in unmanaged_pods({"spec": {"selector": selector}})


def test_a_pod_of_several_budgets_is_told_of_one() -> None:
    pod = {"metadata": {"namespace": "ns", "name": "one"}}
    expected = 'Pod "ns"/"one" matches multiple PodDisruptionBudgets.  Chose "a" arbitrarily.'
    assert several_budgets(pod, ["b", "a"]) == expected
