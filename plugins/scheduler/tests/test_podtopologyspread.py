"""Spreading of pods. The cases are upstream's, written anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from _schedulable import ZONE, Placement, node, pod

from hyperkube_machinery.selectors import LabelSelector, label_selector
from hyperkube_scheduler.configuration import ProfileSettings
from hyperkube_scheduler.framework.events import Action, Event, Kind
from hyperkube_scheduler.nodeinfo import HOSTNAME, NodeFacts
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.steps.podtopologyspread import PodTopologySpread

WEB = {"app": "web"}
TOO_MANY = "node(s) didn't match pod topology spread constraints"
NO_LABEL = f"{TOO_MANY} (missing required label)"


def constraint(key: str = ZONE, *, skew: int = 1, hard: bool = True, **more: Any) -> dict[str, Any]:
    return {
        "maxSkew": skew,
        "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        "labelSelector": {"matchLabels": WEB},
        **more,
    }


def web(name: str, *constraints: dict[str, Any], **more: Any) -> PodInfo:
    return pod(name, labels=more.pop("labels", WEB), topologySpreadConstraints=list(constraints), **more)


def zones(counts: Sequence[int]) -> tuple[list[Any], list[PodInfo]]:
    """A node in each of so many zones, with as many pods of the kind as told."""
    nodes = [node(f"n{index}", zone=f"z{index}", pods=100) for index in range(len(counts))]
    pods = [pod(f"p{i}-{j}", on=f"n{i}", labels=WEB) for i, count in enumerate(counts) for j in range(count)]
    return nodes, pods


@pytest.mark.parametrize(
    ("counts", "skew", "fitting"),
    [
        ([0, 0, 0], 1, {0, 1, 2}),
        ([1, 0, 0], 1, {1, 2}),
        ([1, 1, 0], 1, {2}),
        ([3, 2, 1], 1, {2}),
        ([3, 2, 1], 2, {1, 2}),
        ([3, 2, 1], 3, {0, 1, 2}),
    ],
)
def test_no_zone_gets_further_ahead_than_the_skew(counts: list[int], skew: int, fitting: set[int]) -> None:
    placement = Placement(*zones(counts))
    reasons = placement.reasons(web("new", constraint(skew=skew)))
    assert {index for index in range(len(counts)) if not reasons[f"n{index}"]} == fitting
    assert set(reasons.values()) <= {"", TOO_MANY}


def test_a_pod_that_is_not_of_the_kind_itself_adds_nothing() -> None:
    placement = Placement(*zones([1, 0]))
    assert set(placement.reasons(web("new", constraint(), labels={})).values()) == {""}


def test_pods_of_other_namespaces_and_those_that_are_leaving_do_not_count() -> None:
    nodes, _ = zones([0, 0])
    leaving = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    there = [pod("a", on="n0", labels=WEB, namespace="other"), pod("b", on="n0", labels=WEB, metadata=leaving)]
    assert set(Placement(nodes, there).reasons(web("new", constraint())).values()) == {""}


def test_a_node_without_the_label_is_out_of_the_question_and_counts_no_pods() -> None:
    nodes, pods = zones([1, 1])
    there = [*pods, pod("lost", on="nowhere-in-particular", labels=WEB)]
    placement = Placement([*nodes, node("nowhere-in-particular")], there)
    reasons = placement.reasons(web("new", constraint()))
    assert reasons == {"n0": "", "n1": "", "nowhere-in-particular": NO_LABEL}


def test_all_constraints_must_be_met() -> None:
    nodes = [node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b")]
    there = [pod("p1", on="a1", labels=WEB), pod("p2", on="b1", labels=WEB), pod("p3", on="b1", labels=WEB)]
    reasons = Placement(nodes, there).reasons(web("new", constraint(), constraint(HOSTNAME)))
    assert reasons == {"a1": TOO_MANY, "a2": "", "b1": TOO_MANY}


@pytest.mark.parametrize(("least", "fits"), [(None, True), (2, True), (3, False)])
def test_with_too_few_zones_the_least_is_none(least: int | None, fits: bool) -> None:
    placement = Placement(*zones([1, 1]))
    more: dict[str, Any] = {"minDomains": least} if least else {}
    wanted = web("new", constraint(**more))
    assert bool(placement.choose(wanted).node) is fits


@pytest.mark.parametrize(("policy", "fits"), [("Honor", True), ("Ignore", False)])
def test_zones_that_the_pod_may_not_go_to_count_or_not_as_it_says(policy: str, fits: bool) -> None:
    nodes, pods = zones([1, 0])
    wanted = web("new", constraint(nodeAffinityPolicy=policy), nodeSelector={ZONE: "z0"})
    assert bool(Placement(nodes, pods).choose(wanted).node) is fits


@pytest.mark.parametrize(("policy", "fits"), [("Honor", True), ("Ignore", False)])
def test_the_same_of_taints(policy: str, fits: bool) -> None:
    nodes = [node("n0", zone="z0"), node("n1", zone="z1", taints=[{"key": "k", "effect": "NoSchedule"}])]
    wanted = web("new", constraint(nodeTaintsPolicy=policy))
    assert bool(Placement(nodes, [pod("p", on="n0", labels=WEB)]).choose(wanted).node) is fits


def test_labels_tell_revisions_apart() -> None:
    nodes, _ = zones([0, 0])
    there = [pod("old", on="n0", labels={**WEB, "revision": "1"})]
    wanted = web("new", constraint(matchLabelKeys=["revision"]), labels={**WEB, "revision": "2"})
    assert set(Placement(nodes, there).reasons(wanted).values()) == {""}
    older = web("newer", constraint(matchLabelKeys=["revision"]), labels={**WEB, "revision": "1"})
    assert Placement(nodes, there).reasons(older) == {"n0": TOO_MANY, "n1": ""}


def test_what_is_tried_on_changes_the_least() -> None:
    placement = Placement(*zones([2, 1, 1]))
    step = next(step for step in placement.pipeline.filters if isinstance(step, PodTopologySpread))
    cycle = placement.cycle(web("new", constraint()))
    tried = cycle.clone()
    first = placement.node("n0")
    for other in ("n1", "n2"):
        step.add_pod(tried, pod(f"extra-{other}", on=other, labels=WEB), placement.node(other))
    assert step.filter(tried, first) is None
    step.remove_pod(tried, pod("p1-0", on="n1", labels=WEB), placement.node("n1"))
    assert step.filter(tried, first) is step.too_many
    assert step.filter(cycle, first) is step.too_many, "the original knows nothing of it"


def test_fewer_are_liked_better() -> None:
    placement = Placement(*zones([3, 1, 0]))
    scores = placement.scores("PodTopologySpread", web("new", constraint(hard=False)))
    # Weighed with log(3 + 2): 4.8, 1.6 and 0 are rounded, and 100 * (5 + 0 - s) / 5.
    assert scores == {"n0": 0, "n1": 60, "n2": 100}


def test_nodes_without_the_label_are_not_liked_at_all() -> None:
    nodes, pods = zones([1, 0])
    placement = Placement([*nodes, node("elsewhere")], pods)
    scores = placement.scores("PodTopologySpread", web("new", constraint(hard=False)))
    assert scores["elsewhere"] == 0
    assert scores["n1"] == 100


def selecting(_: PodInfo) -> LabelSelector:
    return label_selector({"matchLabels": WEB})


def test_pods_that_say_nothing_are_spread_over_nodes_and_zones_all_the_same() -> None:
    nodes = [node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b")]
    placement = Placement(nodes, [pod("p", on="a1", labels=WEB)], selector_of=selecting)
    scores = placement.scores("PodTopologySpread", pod("new", labels=WEB))
    assert scores["b1"] > scores["a2"] > scores["a1"]
    nobody = Placement(nodes, [pod("p", on="a1", labels=WEB)])
    assert nobody.scores("PodTopologySpread", pod("new", labels=WEB)) == {}, "nobody owns it"


def test_defaults_of_a_profile_may_refuse() -> None:
    defaults = [{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"}]
    arguments = {"PodTopologySpread": {"defaultingType": "List", "defaultConstraints": defaults}}
    settings = ProfileSettings(arguments=arguments)
    placement = Placement(*zones([1, 0]), settings=settings, selector_of=selecting)
    assert placement.reasons(pod("new", labels=WEB)) == {"n0": TOO_MANY, "n1": ""}


def test_placing_many_keeps_the_counts_in_step() -> None:
    nodes = [node(f"n{index}", zone=f"z{index % 3}", pods=100) for index in range(6)]
    placement = Placement(nodes)
    for index in range(30):
        assert placement.place(web(f"p{index}", constraint(), constraint(HOSTNAME)))
    assert [len(placement.node(f"n{index}").pods) for index in range(6)] == [5] * 6


def event(action: Action, *, kind: Kind = Kind.POD, old: Any = None, new: Any = None) -> Event:
    return Event(kind, action, old=old, new=new)


@pytest.mark.parametrize(
    ("what", "helps"),
    [
        (event(Action.ADD, new=pod("a", on="n", labels=WEB)), True),
        (event(Action.ADD, new=pod("a", on="n")), False),
        (event(Action.ADD, new=pod("a", on="n", labels=WEB, namespace="other")), False),
        (event(Action.ADD, new=pod("a", labels=WEB)), False),
        (event(Action.DELETE, old=pod("a", on="n", labels=WEB)), True),
        (event(Action.UPDATE_POD_LABEL, old=pod("a", on="n", labels=WEB), new=pod("a", on="n")), True),
        (event(Action.UPDATE_POD_LABEL, old=pod("a", on="n"), new=pod("a", on="n", labels={"x": "y"})), False),
        (event(Action.ADD, kind=Kind.NODE, new=NodeFacts(node("n", zone="z"))), True),
        (event(Action.ADD, kind=Kind.NODE, new=NodeFacts(node("n"))), False),
        (event(Action.DELETE, kind=Kind.NODE, old=NodeFacts(node("n", zone="z"))), True),
        (
            event(
                Action.UPDATE_NODE_LABEL,
                kind=Kind.NODE,
                old=NodeFacts(node("n", zone="a")),
                new=NodeFacts(node("n", zone="b")),
            ),
            True,
        ),
        (
            event(
                Action.UPDATE_NODE_LABEL,
                kind=Kind.NODE,
                old=NodeFacts(node("n", zone="a")),
                new=NodeFacts(node("n", zone="a", labels={"x": "y"})),
            ),
            False,
        ),
    ],
)
def test_events_that_may_help(what: Event, helps: bool) -> None:
    step = PodTopologySpread(selecting)
    waiting = web("waiting", constraint())
    asked = [concern for concern in step.concerns() if concern.covers(what)]
    assert any(concern.hint(waiting, what) for concern in asked) is helps
