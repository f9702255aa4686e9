"""Whom to evict. The cases are upstream's, written anew."""

from __future__ import annotations

from typing import Any

import pytest
from _schedulable import NOW, REQUIRED, ZONE, Placement, node, pod

from hyperkube_machinery.selectors import EVERYTHING, label_selector
from hyperkube_machinery.timestamps import format_seconds
from hyperkube_scheduler.framework.diagnosis import Diagnosis
from hyperkube_scheduler.framework.interface import Nomination
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.nodeinfo import HOSTNAME
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.preemption import (
    Budget,
    Candidate,
    pick,
    read_budget,
    select_victims,
    why_not_eligible,
)
from hyperkube_scheduler.slices import finish
from hyperkube_scheduler.steps.defaultpreemption import DefaultPreemption

UNSCHEDULABLE = Verdict(Code.UNSCHEDULABLE, ("full",))


def victims(placement: Placement, wanted: PodInfo, *budgets: Budget, name: str = "one") -> list[str] | str:
    """Names of those who must leave, or why that is no way."""
    cycle = placement.cycle(wanted)
    found = select_victims(
        placement.pipeline, cycle.clone(), placement.node(name).copy(), placement.nominated, budgets, now=NOW
    )
    return found.message if isinstance(found, Verdict) else [victim.name for victim in found.victims]


def test_the_least_important_leave_and_no_more_than_needed() -> None:
    there = [pod(f"p{priority}", on="one", cpu="1", priority=priority) for priority in (1, 2, 3, 100)]
    placement = Placement([node("one", cpu="4")], there)
    assert victims(placement, pod("new", cpu="1", priority=50)) == ["p1"]
    assert victims(placement, pod("new", cpu="2", priority=50)) == ["p2", "p1"]
    assert victims(placement, pod("new", cpu="4", priority=50)) == "Insufficient cpu"
    assert victims(placement, pod("new", cpu="1", priority=1)) == "No preemption victims found for incoming pod"
    assert len(placement.node("one").pods) == 4, "nothing happened to the node itself"


def test_large_pods_leave_rather_than_several_that_are_more_important() -> None:
    there = [pod("large", on="one", cpu="3", priority=1), pod("small", on="one", cpu="1", priority=2)]
    assert victims(Placement([node("one", cpu="4")], there), pod("new", cpu="2", priority=9)) == ["large"]


def test_of_equals_who_started_last_leaves() -> None:
    there = [
        pod(name, on="one", cpu="2", started=format_seconds(NOW - age)) for name, age in (("old", 900), ("young", 10))
    ]
    assert victims(Placement([node("one", cpu="4")], there), pod("new", cpu="2", priority=9)) == ["young"]


def budget(app: str, allowed: int, *disrupted: str, namespace: str = "default") -> Budget:
    return Budget(namespace, label_selector({"matchLabels": {"app": app}}), allowed, frozenset(disrupted))


@pytest.mark.parametrize(
    ("budgets", "leaving"),
    [
        ([], ["b"]),
        ([budget("b", 0)], ["a"]),
        ([budget("b", 1)], ["b"]),
        ([budget("b", 0, "b")], ["b"]),
        ([budget("b", 0, namespace="other")], ["b"]),
        ([budget("a", 0), budget("b", 0)], ["b"]),
        ([Budget("default", EVERYTHING, 0, frozenset())], ["b"]),
    ],
)
def test_budgets_are_kept_where_others_can_leave(budgets: list[Budget], leaving: list[str]) -> None:
    there = [
        pod("a", on="one", cpu="2", priority=2, labels={"app": "a"}),
        pod("b", on="one", cpu="2", priority=1, labels={"app": "b"}),
    ]
    assert victims(Placement([node("one")], there), pod("new", cpu="2", priority=9), *budgets) == leaving


def test_a_pod_whose_leaving_frees_a_place_for_one_that_avoids_it() -> None:
    avoiding = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": HOSTNAME}
    affinity = {"podAntiAffinity": {REQUIRED: [avoiding]}}
    there = [pod("db", on="one", labels={"app": "db"}), pod("web", on="one")]
    assert victims(Placement([node("one")], there), pod("new", priority=9, affinity=affinity)) == ["db"]


def test_spreading_is_looked_at_as_it_would_be() -> None:
    constraint = {
        "maxSkew": 1,
        "topologyKey": ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    nodes = [node("one", zone="a"), node("two", zone="b", unschedulable=True)]
    there = [pod("web", on="one", labels={"app": "web"}), pod("other", on="one")]
    wanted = pod("new", priority=9, labels={"app": "web"}, topologySpreadConstraints=[constraint])
    assert victims(Placement(nodes, there), wanted) == ["web"]


def test_budgets_are_read() -> None:
    tree: dict[str, Any] = {
        "metadata": {"namespace": "ns"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}},
        "status": {"disruptionsAllowed": 2, "disruptedPods": {"p": "2026-01-01T00:00:00Z"}},
    }
    found = read_budget(tree)
    assert found == budget("a", 2, "p", namespace="ns")
    tree["spec"]["selector"] = {"matchExpressions": [{"key": "a", "operator": "Maybe"}]}
    assert read_budget(tree) is None


def candidate(name: str, *priorities: int, violations: int = 0, ages: tuple[float, ...] = ()) -> Candidate:
    started = [format_seconds(NOW - age) for age in ages] or [format_seconds(NOW)] * len(priorities)
    pods = [
        pod(f"{name}-{index}", priority=priority, started=start)
        for index, (priority, start) in enumerate(zip(priorities, started, strict=True))
    ]
    return Candidate(name, tuple(pods), violations)


@pytest.mark.parametrize(
    ("candidates", "best"),
    [
        ([candidate("a", 1, violations=1), candidate("b", 9)], "b"),
        ([candidate("a", 5), candidate("b", 4, 4)], "b"),
        ([candidate("a", 5, 3), candidate("b", 5, 2)], "b"),
        ([candidate("a", 5, -1), candidate("b", 5)], "b"),
        ([candidate("a", 0, 0), candidate("b", 0)], "b"),
        ([candidate("a", 5, ages=(900,)), candidate("b", 5, ages=(10,))], "b"),
        ([candidate("a", 5, 1, ages=(10, 900)), candidate("b", 5, 1, ages=(20, 10))], "a"),
        ([candidate("a", 5), candidate("b", 5)], "a"),
    ],
)
def test_the_node_with_the_least_harm_is_picked(candidates: list[Candidate], best: str) -> None:
    assert pick(candidates, NOW).node == best


def test_a_pod_that_never_preempts_does_not() -> None:
    wanted = pod("new", priority=9, preemptionPolicy="Never")
    assert why_not_eligible(wanted, UNSCHEDULABLE, None) == "not eligible due to preemptionPolicy=Never."


@pytest.mark.parametrize(
    ("reason", "verdict", "waits"),
    [
        ("PreemptionByScheduler", Code.UNSCHEDULABLE, True),
        ("PreemptionByScheduler", Code.UNRESOLVABLE, False),
        ("EvictionByEvictionAPI", Code.UNSCHEDULABLE, False),
    ],
)
def test_victims_that_are_going_are_waited_for(reason: str, verdict: Code, waits: bool) -> None:
    going = pod(
        "going",
        on="one",
        metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"},
        status={"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": reason}]},
    )
    placement = Placement([node("one")], [going])
    wanted = pod("new", priority=9, status={"nominatedNodeName": "one"})
    told = why_not_eligible(wanted, Verdict(verdict), placement.node("one"))
    assert bool(told) is waits
    assert not waits or told == "not eligible due to a terminating pod on the nominated node."


def post_filter(placement: Placement, wanted: PodInfo) -> tuple[Nomination | None, str]:
    choice = placement.choose(wanted)
    assert isinstance(choice.diagnosis, Diagnosis)
    step = next(step for step in placement.pipeline.post_filters if isinstance(step, DefaultPreemption))
    nomination, verdict = finish(step.post_filter(placement.cycle(wanted), choice.diagnosis))
    return nomination, verdict.message if verdict is not None else ""


def test_the_best_node_is_promised_and_its_victims_told() -> None:
    nodes = [node("cheap", cpu="2"), node("dear", cpu="2"), node("small", cpu="1")]
    there = [pod("low", on="cheap", cpu="2", priority=1), pod("mid", on="dear", cpu="2", priority=5)]
    placement = Placement(nodes, there)
    assert post_filter(placement, wanted := pod("new", cpu="2", priority=9)) == (Nomination("cheap"), "")
    [(preemptor, best)] = placement.eviction.begun
    assert (preemptor, best.node, [one.name for one in best.victims]) == (wanted, "cheap", ["low"])


def test_where_it_does_not_help_that_is_said_in_upstreams_words() -> None:
    nodes = [node("full", cpu="2"), node("small", cpu="1"), node("off", unschedulable=True)]
    placement = Placement(nodes, [pod("high", on="full", cpu="2", priority=99)])
    assert post_filter(placement, pod("new", cpu="2", priority=9)) == (
        Nomination(""),
        "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling.",
    )
    assert not placement.eviction.begun


def test_a_pod_whose_victims_are_being_told_stays_out_of_the_queue() -> None:
    placement = Placement([node("one", cpu="2")], [pod("low", on="one", cpu="2")])
    wanted = pod("new", cpu="2", priority=9)
    step = next(step for step in placement.pipeline.post_filters if isinstance(step, DefaultPreemption))
    assert step.pre_enqueue(wanted) is None
    post_filter(placement, wanted)
    verdict = step.pre_enqueue(wanted)
    assert verdict is not None
    assert verdict.message == "waiting for the preemption for this pod to be finished"
