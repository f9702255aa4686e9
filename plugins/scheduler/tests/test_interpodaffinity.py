"""Pods near each other and far from each other. The cases are upstream's, written anew."""

from __future__ import annotations

from typing import Any

import pytest
from _schedulable import PREFERRED, REQUIRED, ZONE, Placement, node, pod

from hyperkube_scheduler.configuration import ProfileSettings
from hyperkube_scheduler.framework.events import Action, Event, Kind
from hyperkube_scheduler.nodeinfo import HOSTNAME, NodeFacts
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.steps.interpodaffinity import InterPodAffinity

Tree = dict[str, Any]

DB = {"app": "db"}
NOT_NEAR = "node(s) didn't match pod affinity rules"
NOT_FAR = "node(s) didn't match pod anti-affinity rules"
UNWANTED = "node(s) didn't satisfy existing pods anti-affinity rules"

NODES = [node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b"), node("bare")]


def term(labels: dict[str, str] | None = None, key: str = ZONE, **more: Any) -> Tree:
    return {"labelSelector": {"matchLabels": labels or DB}, "topologyKey": key, **more}


def near(*terms: Tree) -> Tree:
    return {"podAffinity": {REQUIRED: list(terms)}}


def far(*terms: Tree) -> Tree:
    return {"podAntiAffinity": {REQUIRED: list(terms)}}


def test_a_pod_goes_near_another() -> None:
    placement = Placement(NODES, [pod("db", on="a1", labels=DB)])
    reasons = placement.reasons(pod("new", affinity=near(term())))
    assert reasons == {"a1": "", "a2": "", "b1": NOT_NEAR, "bare": NOT_NEAR}
    onto = placement.reasons(pod("new", affinity=near(term(key=HOSTNAME))))
    assert onto == {"a1": "", "a2": NOT_NEAR, "b1": NOT_NEAR, "bare": NOT_NEAR}


def test_all_terms_mean_one_and_the_same_pod() -> None:
    there = [pod("db", on="a1", labels=DB), pod("fast", on="a1", labels={"tier": "fast"})]
    both = near(term(), term({"tier": "fast"}))
    assert set(Placement(NODES, there).reasons(pod("new", affinity=both)).values()) == {NOT_NEAR}
    there.append(pod("fast-db", on="b1", labels={**DB, "tier": "fast"}))
    assert Placement(NODES, there).reasons(pod("new", affinity=both))["b1"] == ""


def test_the_first_of_its_kind_may_go_anywhere_that_has_the_label() -> None:
    placement = Placement(NODES)
    first = pod("first", labels=DB, affinity=near(term()))
    assert placement.reasons(first) == {"a1": "", "a2": "", "b1": "", "bare": NOT_NEAR}
    stranger = pod("stranger", affinity=near(term()))
    assert set(placement.reasons(stranger).values()) == {NOT_NEAR}


def test_a_pod_stays_far_from_another() -> None:
    placement = Placement(NODES, [pod("db", on="a1", labels=DB)])
    reasons = placement.reasons(pod("new", affinity=far(term())))
    assert reasons == {"a1": NOT_FAR, "a2": NOT_FAR, "b1": "", "bare": ""}


def test_pods_that_are_there_keep_others_away() -> None:
    placement = Placement(NODES, [pod("lonely", on="a1", affinity=far(term()))])
    assert placement.reasons(pod("new", labels=DB)) == {"a1": UNWANTED, "a2": UNWANTED, "b1": "", "bare": ""}
    assert set(placement.reasons(pod("other")).values()) == {""}


def test_namespaces_are_the_pods_own_unless_it_says_others() -> None:
    there = [pod("db", on="a1", labels=DB, namespace="other")]
    placement = Placement(NODES, there)
    placement.cache.set_namespace("other", {"team": "data"})
    assert placement.choose(pod("own", affinity=near(term()))).node == ""
    elsewhere: list[Tree] = [
        {"namespaces": ["other"]},
        {"namespaceSelector": {}},
        {"namespaceSelector": {"matchLabels": {"team": "data"}}},
    ]
    for more in elsewhere:
        assert placement.choose(pod("new", affinity=near(term(**more)))).node, more
    placement.cache.set_namespace("other", {"team": "web"})
    selecting = near(term(namespaceSelector={"matchLabels": {"team": "data"}}))
    assert placement.choose(pod("late", affinity=selecting)).node == "", "its labels have changed"


def test_pods_that_are_there_may_mean_other_namespaces() -> None:
    avoiding = far(term(namespaceSelector={"matchLabels": {"team": "data"}}))
    placement = Placement(NODES, [pod("lonely", on="a1", affinity=avoiding)])
    placement.cache.set_namespace("other", {"team": "data"})
    assert placement.reasons(pod("new", labels=DB, namespace="other"))["a2"] == UNWANTED
    assert placement.reasons(pod("new", labels=DB))["a2"] == ""


def test_a_pod_that_was_only_tried_on_is_forgotten_with_its_copy() -> None:
    placement = Placement(NODES, [there := pod("db", on="a1", labels=DB, affinity=far(term()))])
    step = next(step for step in placement.pipeline.filters if isinstance(step, InterPodAffinity))
    cycle = placement.cycle(pod("new", labels=DB, affinity=far(term())))
    tried, second, other = cycle.clone(), placement.node("a2"), placement.node("b1")
    step.remove_pod(tried, there, placement.node("a1"))
    assert step.filter(tried, second) is None
    step.add_pod(tried, pod("more", on="b1", labels=DB), other)
    assert step.filter(tried, other) is step.not_far
    assert step.filter(cycle, second) is step.not_far
    assert step.filter(cycle, other) is None


def test_a_pod_that_is_tried_on_may_keep_others_away_by_a_label_that_nobody_else_means() -> None:
    placement = Placement(NODES, [pod("db", on="a1", labels=DB)])
    step = next(step for step in placement.pipeline.filters if isinstance(step, InterPodAffinity))
    tried = placement.cycle(pod("new", labels={"app": "web"}, affinity=far(term()))).clone()
    lonely = pod("lonely", on="b1", affinity=far(term({"app": "web"}, HOSTNAME)))
    step.add_pod(tried, lonely, placement.node("b1"))
    assert step.filter(tried, placement.node("b1")) is step.unwanted


def test_preferences_of_the_pod_and_of_others_are_weighed() -> None:
    weighted = {"weight": 10, "podAffinityTerm": term()}
    there = [pod("db", on="a1", labels=DB)]
    liking = pod("new", affinity={"podAffinity": {PREFERRED: [weighted]}})
    assert Placement(NODES, there).scores("InterPodAffinity", liking) == {"a1": 100, "a2": 100, "b1": 0, "bare": 0}
    disliking = pod("new", affinity={"podAntiAffinity": {PREFERRED: [weighted]}})
    assert Placement(NODES, there).scores("InterPodAffinity", disliking) == {"a1": 0, "a2": 0, "b1": 100, "bare": 100}


def test_what_others_prefer_of_the_pod_counts_too() -> None:
    hated = {"weight": 1, "podAffinityTerm": term(key=HOSTNAME)}
    there = [
        pod("likes", on="a1", affinity={"podAffinity": {PREFERRED: [{"weight": 4, "podAffinityTerm": term()}]}}),
        pod("needs", on="b1", affinity=near(term())),
        pod("hates", on="bare", affinity={"podAntiAffinity": {PREFERRED: [hated]}}),
    ]
    scores = Placement(NODES, there).scores("InterPodAffinity", pod("new", labels=DB))
    # 4, 4, 1 (the weight of what is required) and -1, of which the lowest becomes 0 and the highest 100
    assert scores == {"a1": 100, "a2": 100, "b1": 40, "bare": 0}
    settings = ProfileSettings(arguments={"InterPodAffinity": {"ignorePreferredTermsOfExistingPods": True}})
    assert Placement(NODES, there, settings=settings).scores("InterPodAffinity", pod("new", labels=DB)) == {}


def test_replicas_that_avoid_each_other_get_a_node_each() -> None:
    placement = Placement([node(f"n{index}") for index in range(4)])
    wanted = [pod(f"p{index}", labels=DB, affinity=far(term(key=HOSTNAME))) for index in range(5)]
    nodes = [placement.place(one) for one in wanted]
    assert sorted(nodes) == ["", "n0", "n1", "n2", "n3"]
    assert nodes[-1] == ""
    placement.cache.remove_pod(wanted[0].uid)
    assert placement.place(wanted[-1]) == nodes[0]


def test_a_label_of_a_node_that_changes_moves_its_pods() -> None:
    placement = Placement(NODES, [pod("db", on="a1", labels=DB, affinity=far(term({"app": "web"})))])
    assert placement.reasons(pod("new", affinity=near(term())))["a2"] == ""
    placement.cache.set_node(NodeFacts(node("a1", zone="b")))
    reasons = placement.reasons(pod("new", affinity=near(term())))
    assert (reasons["a2"], reasons["b1"]) == (NOT_NEAR, "")
    kept_away = placement.reasons(pod("web", labels={"app": "web"}))
    assert (kept_away["a2"], kept_away["b1"]) == ("", UNWANTED)


def pods_event(action: Action, old: PodInfo | None, new: PodInfo | None) -> Event:
    return Event(Kind.POD, action, old=old, new=new)


@pytest.mark.parametrize(
    ("affinity", "what", "helps"),
    [
        (near(term()), pods_event(Action.ADD, None, pod("a", on="n", labels=DB)), True),
        (near(term()), pods_event(Action.ADD, None, pod("a", on="n")), False),
        (near(term()), pods_event(Action.ADD, None, pod("a", labels=DB)), False),
        (near(term()), pods_event(Action.UPDATE_POD_LABEL, pod("a", on="n"), pod("a", on="n", labels=DB)), True),
        (near(term()), pods_event(Action.DELETE, pod("a", on="n", labels=DB), None), False),
        (far(term()), pods_event(Action.DELETE, pod("a", on="n", labels=DB), None), True),
        (far(term()), pods_event(Action.UPDATE_POD_LABEL, pod("a", on="n", labels=DB), pod("a", on="n")), True),
        (far(term()), pods_event(Action.ADD, None, pod("a", on="n", labels=DB)), False),
        ({}, pods_event(Action.DELETE, pod("a", on="n", affinity=far(term())), None), True),
        (near(term()), Event(Kind.NODE, Action.ADD, new=NodeFacts(node("n", zone="z"))), True),
        (near(term()), Event(Kind.NODE, Action.ADD, new=NodeFacts(node("n"))), False),
        (far(term()), Event(Kind.NODE, Action.ADD, new=NodeFacts(node("n"))), True),
        (
            far(term()),
            Event(Kind.NODE, Action.UPDATE_NODE_LABEL, old=NodeFacts(node("n", zone="z")), new=NodeFacts(node("n"))),
            True,
        ),
    ],
)
def test_events_that_may_help(affinity: Tree, what: Event, helps: bool) -> None:
    waiting = pod("waiting", labels=DB, affinity=affinity)
    asked = [concern for concern in InterPodAffinity().concerns() if concern.covers(what)]
    assert any(concern.hint(waiting, what) for concern in asked) is helps
