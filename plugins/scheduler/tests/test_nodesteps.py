"""Filters and scores that look at a node alone. The cases are upstream's, written anew."""

from __future__ import annotations

from typing import Any

import pytest
from _schedulable import PREFERRED, REQUIRED, Placement, node, pod

from hyperkube_scheduler.configuration import ProfileSettings
from hyperkube_scheduler.framework.verdicts import Code
from hyperkube_scheduler.nodeinfo import NodeInfo
from hyperkube_scheduler.steps.noderesources import (
    BalancedAllocation,
    Fit,
    Resource,
    least_allocated,
    most_allocated,
    requested_to_capacity_ratio,
)

Tree = dict[str, Any]

GPU = "example.com/gpu"


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"cpu": "2"}, ""),
        ({"cpu": "3"}, "Insufficient cpu"),
        ({"memory": "7Gi"}, "Insufficient memory"),
        ({"cpu": "3", "memory": "7Gi"}, "Insufficient cpu, Insufficient memory"),
        ({}, ""),
    ],
)
def test_a_node_needs_enough_left(wanted: dict[str, str], reason: str) -> None:
    placement = Placement([node("one")], [pod("there", on="one", cpu="2", memory="2Gi")])
    assert placement.reasons(pod("new", **wanted)) == {"one": reason}  # type: ignore[arg-type]


def test_a_node_takes_so_many_pods() -> None:
    placement = Placement([node("one", pods=1)], [pod("there", on="one")])
    assert placement.reasons(pod("new")) == {"one": "Too many pods"}


def test_an_overcommitted_node_takes_a_pod_that_asks_for_nothing() -> None:
    placement = Placement([node("one", cpu="1")], [pod("there", on="one", cpu="2")])
    assert placement.reasons(pod("new")) == {"one": ""}


def test_extended_resources_are_counted_unless_they_are_ignored() -> None:
    asked = [{"name": "c", "image": "x", "resources": {"requests": {GPU: "2"}}}]
    nodes = [node("few", more={GPU: "1"}), node("many", more={GPU: "2"}), node("none")]
    said = f"Insufficient {GPU}"
    assert Placement(nodes).reasons(pod("new", containers=asked)) == {"few": said, "many": "", "none": said}
    settings = ProfileSettings(arguments={"NodeResourcesFit": {"ignoredResourceGroups": ["example.com"]}})
    assert set(Placement(nodes, settings=settings).reasons(pod("new", containers=asked)).values()) == {""}


@pytest.mark.parametrize(("cpu", "code"), [("3", Code.UNSCHEDULABLE), ("5", Code.UNRESOLVABLE)])
def test_what_is_beyond_the_whole_node_is_hopeless(cpu: str, code: Code) -> None:
    placement = Placement([node("one")], [pod("there", on="one", cpu="2")])
    verdict = Fit().filter(placement.cycle(pod("new", cpu=cpu)), placement.node("one"))
    assert verdict is not None
    assert verdict.code is code


@pytest.mark.parametrize(
    ("strategy", "taken", "score"),
    [
        (least_allocated, 0, 100),
        (least_allocated, 3000, 25),
        (least_allocated, 5000, 0),
        (most_allocated, 3000, 75),
        (most_allocated, 5000, 100),
        (requested_to_capacity_ratio([(0, 0), (100, 100)]), 1000, 25),
        (requested_to_capacity_ratio([(0, 100), (50, 0), (100, 100)]), 1000, 50),
        (requested_to_capacity_ratio([(20, 10), (80, 90)]), 4000, 90),
        (requested_to_capacity_ratio([(20, 10), (80, 90)]), 100, 10),
    ],
)
def test_strategies(strategy: Any, taken: int, score: int) -> None:
    assert strategy(taken, 4000) == score


def test_the_emptier_node_is_liked_better() -> None:
    placement = Placement(
        [node("empty", cpu="4", memory="10000"), node("half", cpu="4", memory="10000")],
        [pod("there", on="half", cpu="2", memory="5000")],
    )
    # (4000-1000)*100/4000 and (10000-5000)*100/10000, and the same of half
    scores = placement.scores("NodeResourcesFit", pod("new", cpu="1", memory="5000"))
    assert scores == {"empty": (75 + 50) // 2, "half": (25 + 0) // 2}


def test_a_resource_that_the_pod_does_not_ask_for_is_left_out() -> None:
    fit = Fit(resources=[Resource("cpu"), Resource(GPU, 3)])
    placement = Placement([node("one", more={GPU: "4"})])
    nodes = [placement.node("one")]
    assert fit.score(placement.cycle(pod("new", cpu="2")), nodes) == [50]
    asked = [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "2", GPU: "4"}}}]
    assert fit.score(placement.cycle(pod("new", containers=asked)), nodes) == [(50 + 0 * 3) // 4]


def test_balance_is_liked() -> None:
    there = [pod("there", on="cpu-heavy", cpu="3"), pod("other", on="memory-heavy", memory="6000")]
    placement = Placement([node("cpu-heavy", memory="8000"), node("memory-heavy", memory="8000")], there)
    scores = placement.scores("NodeResourcesBalancedAllocation", pod("new", cpu="1", memory="200"))
    assert scores["memory-heavy"] > 75 > scores["cpu-heavy"]


def test_balance_says_nothing_of_pods_that_ask_for_nothing() -> None:
    assert Placement([node("one")]).scores("NodeResourcesBalancedAllocation", pod("new")) == {}


def test_balance_of_three_resources_is_their_deviation() -> None:
    placement = Placement([node("one", more={GPU: "4"})])
    asked = [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "4", GPU: "4"}}}]
    cycle = placement.cycle(pod("new", containers=asked))
    balanced = BalancedAllocation([Resource("cpu"), Resource("memory"), Resource(GPU)])
    # Shares 1, 0, 1: deviation 0.471, so 52 after and 100 before.
    assert balanced.score(cycle, [placement.node("one")]) == [50 + (50 + 52 - 100) // 2]


NO_SCHEDULE = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({}, False),
        ({"operator": "Exists"}, True),
        ({"key": "dedicated", "value": "db", "effect": "NoSchedule"}, True),
        ({"key": "dedicated", "operator": "Equal", "value": "db"}, True),
        ({"key": "dedicated", "value": "web"}, False),
        ({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_taints_must_be_tolerated(toleration: Tree, fits: bool) -> None:
    placement = Placement([node("one", taints=[NO_SCHEDULE])])
    wanted = pod("new", tolerations=[toleration] if toleration else [])
    assert placement.reasons(wanted) == {"one": "" if fits else "node(s) had untolerated taint(s)"}


def test_nodes_that_would_rather_have_no_pods_are_liked_less() -> None:
    soft = [{"key": key, "effect": "PreferNoSchedule"} for key in ("a", "b")]
    placement = Placement([node("none"), node("one", taints=soft[:1]), node("two", taints=soft)])
    assert placement.scores("TaintToleration", pod("new")) == {"none": 100, "one": 50, "two": 0}
    tolerant = pod("new", tolerations=[{"key": "b", "operator": "Exists", "effect": "PreferNoSchedule"}])
    assert placement.scores("TaintToleration", tolerant) == {"none": 100, "one": 0, "two": 0}
    assert set(placement.reasons(pod("new")).values()) == {""}


def test_a_cordoned_node_is_left_out_unless_that_is_tolerated() -> None:
    placement = Placement([node("one", unschedulable=True)])
    assert placement.reasons(pod("new")) == {"one": "node(s) were unschedulable"}
    tolerant = pod("new", tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}])
    assert placement.reasons(tolerant) == {"one": ""}


def term(*expressions: tuple[str, str, list[str]], fields: list[tuple[str, str, list[str]]] | None = None) -> Tree:
    def listed(which: Any) -> list[Tree]:
        return [{"key": key, "operator": operator, "values": values} for key, operator, values in which]

    return {"matchExpressions": listed(expressions), "matchFields": listed(fields or [])}


@pytest.mark.parametrize(
    ("terms", "fits"),
    [
        ([term(("disk", "In", ["ssd", "hdd"]))], True),
        ([term(("disk", "In", ["hdd"]))], False),
        ([term(("disk", "NotIn", ["hdd"]))], True),
        ([term(("rack", "Exists", []))], False),
        ([term(("rack", "DoesNotExist", []))], True),
        ([term(("cores", "Gt", ["7"]))], True),
        ([term(("cores", "Lt", ["8"]))], False),
        ([term(("cores", "Gt", ["many"]))], False),
        ([term(("disk", "In", ["ssd"]), ("rack", "Exists", []))], False),
        ([term(("rack", "Exists", [])), term(("disk", "In", ["ssd"]))], True),
        ([term(fields=[("metadata.name", "In", ["one"])])], True),
        ([term(fields=[("metadata.name", "NotIn", ["one"])])], False),
        ([term(("disk", "In", ["ssd"]), fields=[("metadata.name", "In", ["two"])])], False),
        ([], False),
        ([term()], False),
    ],
)
def test_required_node_affinity(terms: list[Tree], fits: bool) -> None:
    placement = Placement([node("one", labels={"disk": "ssd", "cores": "8"})])
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}
    assert (placement.choose(pod("new", affinity=affinity)).node == "one") is fits


def test_node_selector_and_affinity_must_both_match() -> None:
    placement = Placement([node("one", labels={"disk": "ssd"}), node("two")])
    said = "node(s) didn't match Pod's node affinity/selector"
    assert placement.reasons(pod("new", nodeSelector={"disk": "ssd"})) == {"one": "", "two": said}


def test_affinity_to_names_leaves_other_nodes_unseen() -> None:
    placement = Placement([node(f"n{index}") for index in range(5)])
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term(fields=[("metadata.name", "In", ["n3"])])]}}}
    found = placement.choose(pod("new", affinity=affinity))
    assert (found.node, found.evaluated) == ("n3", 1)
    crowded = placement.choose(pod("new", affinity=affinity, cpu="9"))
    assert crowded.diagnosis is not None
    assert crowded.diagnosis.message == (
        "0/5 nodes are available: 1 Insufficient cpu, 4 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_affinity_to_names_that_exclude_each_other_is_told() -> None:
    names = [("metadata.name", "In", ["n0"]), ("metadata.name", "In", ["n1"])]
    affinity = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term(fields=names)]}}}
    found = Placement([node("n0"), node("n1")]).choose(pod("new", affinity=affinity))
    assert found.diagnosis is not None
    assert found.diagnosis.message == "0/2 nodes are available: pod affinity terms conflict."


def test_preferred_nodes_are_liked_by_weight() -> None:
    nodes = [node("both", labels={"a": "1", "b": "1"}), node("one", labels={"b": "1"}), node("none")]
    preferred = [{"weight": weight, "preference": term((key, "Exists", []))} for key, weight in (("a", 6), ("b", 4))]
    wanted = pod("new", affinity={"nodeAffinity": {PREFERRED: preferred}})
    assert Placement(nodes).scores("NodeAffinity", wanted) == {"both": 100, "one": 40, "none": 0}
    assert Placement(nodes).scores("NodeAffinity", pod("new")) == {}


def test_a_profile_may_ask_for_nodes_itself() -> None:
    added = {REQUIRED: {"nodeSelectorTerms": [term(("pool", "In", ["batch"]))]}}
    settings = ProfileSettings(arguments={"NodeAffinity": {"addedAffinity": added}})
    placement = Placement([node("one"), node("two", labels={"pool": "batch"})], settings=settings)
    said = "node(s) didn't match scheduler-enforced node affinity"
    assert placement.reasons(pod("new")) == {"one": said, "two": ""}


def port(number: int, ip: str = "", protocol: str = "TCP") -> list[Tree]:
    return [{"name": "c", "image": "x", "ports": [{"hostPort": number, "hostIP": ip, "protocol": protocol}]}]


@pytest.mark.parametrize(
    ("taken", "wanted", "fits"),
    [
        (port(80), port(81), True),
        (port(80), port(80), False),
        (port(80), port(80, protocol="UDP"), True),
        (port(80, "127.0.0.1"), port(80, "127.0.0.2"), True),
        (port(80, "127.0.0.1"), port(80, "127.0.0.1"), False),
        (port(80, "0.0.0.0"), port(80, "127.0.0.1"), False),
        (port(80, "127.0.0.1"), port(80), False),
    ],
)
def test_ports_of_the_node(taken: list[Tree], wanted: list[Tree], fits: bool) -> None:
    placement = Placement([node("one")], [pod("there", on="one", containers=taken)])
    said = "" if fits else "node(s) didn't have free ports for the requested pod ports"
    assert placement.reasons(pod("new", containers=wanted)) == {"one": said}


def test_ports_are_free_again_once_their_pod_is_gone() -> None:
    placement = Placement([node("one")], [there := pod("there", on="one", containers=port(80))])
    placement.cache.remove_pod(there.uid)
    assert placement.reasons(pod("new", containers=port(80))) == {"one": ""}


def test_images_that_are_there_count_by_their_size_and_spread() -> None:
    large = 600 * (1 << 20)
    nodes = [node("has", images={"app:1": large}), node("has-not"), node("has-another", images={"app:2": large})]
    # Half of it, for of three nodes one has it: 200 MiB of 23 … 1000.
    expected = 100 * (large // 3 - 23 * (1 << 20)) // (977 * (1 << 20))
    placement = Placement(nodes)
    assert placement.scores("ImageLocality", pod("new")) == {"has": expected, "has-not": 0, "has-another": 0}
    assert placement.scores("ImageLocality", pod("new", containers=[{"name": "c", "image": "none"}])) == {}


def test_an_image_without_a_tag_is_the_latest() -> None:
    placement = Placement([node("has", images={"registry:5000/app:latest": 1 << 30}), node("has-not")])
    scores = placement.scores("ImageLocality", pod("new", containers=[{"name": "c", "image": "registry:5000/app"}]))
    assert scores["has"] > scores["has-not"] == 0


def test_the_node_that_a_pod_names_is_the_only_one() -> None:
    placement = Placement([node("one"), node("two")])
    said = "node(s) didn't match the requested node name"
    assert placement.reasons(pod("new", on="two")) == {"one": said, "two": ""}


def test_a_copy_of_a_node_is_changed_alone() -> None:
    placement = Placement([node("one")], [pod("there", on="one", cpu="1", containers=port(80))])
    original = placement.node("one")
    copied: NodeInfo = original.copy()
    copied.remove(next(iter(copied.pods.values())))
    assert (len(copied.pods), copied.ports) == (0, {})
    assert (len(original.pods), len(original.ports)) == (1, 1)
