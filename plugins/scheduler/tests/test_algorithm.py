"""How many nodes are looked at, in which order, and which of them is taken."""

from __future__ import annotations

from collections import Counter

import pytest
from _schedulable import Placement, node, pod

from hyperkube_scheduler.algorithm import count_to_find
from hyperkube_scheduler.configuration import PluginSet, ProfileSettings


@pytest.mark.parametrize(
    ("nodes", "percentage", "count"),
    [
        (10, 0, 10),
        (99, 10, 99),
        (100, 0, 100),
        (1000, 0, 420),
        (5000, 0, 500),
        (6000, 0, 300),
        (10000, 0, 500),
        (1000, 40, 400),
        (1000, 5, 100),
        (1000, 100, 1000),
    ],
)
def test_fewer_of_more_nodes_are_enough(nodes: int, percentage: int, count: int) -> None:
    assert count_to_find(nodes, percentage) == count


def test_each_search_begins_where_the_last_one_ended() -> None:
    placement = Placement([node(f"n{index:03}", pods=1) for index in range(300)], percentage=40)
    found = [placement.choose(pod(f"p{index}")) for index in range(3)]
    assert [choice.evaluated for choice in found] == [120, 120, 120]
    assert [placement.place(pod(f"q{index}")) != "" for index in range(300)] == [True] * 300
    assert Counter(len(one.pods) for one in placement.cache.nodes) == {1: 300}


def test_the_emptiest_nodes_are_filled_first() -> None:
    placement = Placement([node(f"n{index}") for index in range(5)])
    for index in range(20):
        placement.place(pod(f"p{index}", cpu="500m", memory="1Gi"))
    assert [len(one.pods) for one in placement.cache.nodes] == [4] * 5


def test_of_equal_nodes_any_is_taken() -> None:
    taken = {Placement([node(f"n{index}") for index in range(5)], seed=seed).place(pod("p")) for seed in range(40)}
    assert taken == {f"n{index}" for index in range(5)}


def test_a_promised_node_is_taken_without_looking_further() -> None:
    placement = Placement([node(f"n{index}", cpu=str(index + 1)) for index in range(5)])
    promised = pod("p", cpu="1", status={"nominatedNodeName": "n0"})
    choice = placement.choose(promised)
    assert (choice.node, choice.evaluated) == ("n0", 1)
    too_large = pod("q", cpu="2", status={"nominatedNodeName": "n0"})
    assert placement.choose(too_large).node != "n0"


def test_room_that_was_promised_is_left_for_those_who_go_before() -> None:
    placement = Placement([node("one", cpu="2")])
    placement.nominated["one"] = [pod("waiting", cpu="2", priority=10)]
    assert placement.choose(pod("less", cpu="1", priority=5)).node == ""
    assert placement.choose(pod("more", cpu="1", priority=20)).node == "one"
    assert placement.choose(pod("waiting", cpu="2", priority=10)).node == "one", "the promise is its own"


def test_a_pod_may_not_depend_on_one_that_was_only_promised() -> None:
    near = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}
    placement = Placement([node("one")])
    placement.nominated["one"] = [pod("db", labels={"app": "db"}, priority=10)]
    assert placement.choose(pod("web", affinity=affinity)).node == ""


def test_reasons_are_counted_over_all_nodes() -> None:
    nodes = [node("full", cpu="1"), node("barred", taints=[{"key": "k", "effect": "NoExecute"}])]
    nodes += [node(f"off{index}", unschedulable=True) for index in range(10)]
    found = Placement(nodes).choose(pod("p", cpu="2"))
    assert found.diagnosis is not None
    assert found.diagnosis.message == (
        "0/12 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), "
        "10 node(s) were unschedulable."
    )
    assert found.diagnosis.steps == {"NodeResourcesFit", "TaintToleration", "NodeUnschedulable"}


def test_a_filter_that_is_disabled_refuses_nothing() -> None:
    disabled = PluginSet(disabled=frozenset({"TaintToleration"}))
    settings = ProfileSettings(plugins={"filter": disabled})
    nodes = [node("one", taints=[{"key": "k", "effect": "NoSchedule"}])]
    assert Placement(nodes, settings=settings).choose(pod("p")).node == "one"


def test_without_scores_the_first_node_that_will_do_is_taken() -> None:
    settings = ProfileSettings(plugins={"score": PluginSet(disabled=frozenset("*"))})
    choice = Placement([node(f"n{index}") for index in range(9)], settings=settings).choose(pod("p"))
    assert (choice.evaluated, choice.feasible) == (1, 1)
