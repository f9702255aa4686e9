"""What the scheduler knows of the cluster, and that its counts stay true."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from _schedulable import REQUIRED, ZONE, Placement, node, pod

from hyperkube_scheduler.cache import Cache
from hyperkube_scheduler.nodeinfo import HOSTNAME, NodeFacts
from hyperkube_scheduler.podinfo import PodInfo
from hyperkube_scheduler.slices import finish

WEB = {"app": "web"}


def cache_of(*names: str) -> Cache:
    cache = Cache()
    for name in names:
        cache.set_node(NodeFacts(node(name)))
    return cache


def taken(cache: Cache, name: str) -> tuple[int, int]:
    """Pods on a node, and thousandths of a core."""
    found = cache.node(name)
    assert found is not None
    return len(found.pods), found.cpu


def test_an_assumed_pod_takes_room_until_it_is_forgotten() -> None:
    cache = cache_of("one")
    wanted = pod("p", cpu="1")
    assert cache.assume(wanted, "one").node_name == "one"
    assert taken(cache, "one") == (1, 1000)
    assert cache.is_assumed(wanted.uid)
    cache.forget(wanted.uid)
    assert taken(cache, "one") == (0, 0)
    cache.forget(wanted.uid)
    assert taken(cache, "one") == (0, 0)


def test_a_pod_that_is_bound_where_it_was_assumed_changes_nothing() -> None:
    cache = cache_of("one")
    cache.assume(pod("p", cpu="1"), "one")
    epoch, changed = cache.epoch, len(cache.changed)
    bound = pod("p", cpu="1", on="one")
    cache.set_pod(bound)
    assert not cache.is_assumed(bound.uid)
    assert (cache.epoch, len(cache.changed)) == (epoch, changed)
    assert cache.pod(bound.uid) is bound
    cache.forget(bound.uid)
    assert taken(cache, "one") == (1, 1000), "what is bound isn't forgotten"


def test_a_pod_that_somebody_else_bound_elsewhere_moves() -> None:
    cache = cache_of("one", "two")
    cache.assume(pod("p", cpu="1"), "one")
    cache.set_pod(pod("p", cpu="1", on="two"))
    assert (taken(cache, "one"), taken(cache, "two")) == ((0, 0), (1, 1000))


def test_a_resized_pod_takes_what_it_has_now() -> None:
    cache = cache_of("one")
    cache.set_pod(pod("p", cpu="1", on="one"))
    cache.set_pod(pod("p", cpu="2", on="one"))
    assert taken(cache, "one") == (1, 2000)


def test_pods_may_be_there_before_their_node_and_after_it() -> None:
    cache = cache_of()
    cache.set_pod(pod("p", cpu="1", on="late"))
    cache.set_node(NodeFacts(node("late")))
    assert taken(cache, "late") == (1, 1000)
    cache.remove_node("late")
    assert cache.nodes == []
    cache.set_pod(pod("q", cpu="1", on="late"))
    cache.remove_pod("uid-p")
    cache.set_node(NodeFacts(node("late")))
    assert taken(cache, "late") == (1, 1000)


def test_nodes_are_tried_zone_by_zone() -> None:
    cache = Cache()
    for name, zone in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c"), ("c2", "c")):
        cache.set_node(NodeFacts(node(name, zone=zone)))
    assert [one.name for one in cache.nodes] == ["a1", "b1", "c1", "a2", "c2", "a3"]
    assert [one.index for one in cache.nodes] == list(range(6))


def test_the_heartbeat_of_a_node_leaves_the_list_alone() -> None:
    cache = cache_of("one", "two")
    listed, epoch = cache.nodes, cache.epoch
    cache.set_node(NodeFacts(node("two", cpu="8")))
    assert cache.nodes is listed
    assert (cache.epoch, cache.changed) == (epoch, [1])
    cache.remove_node("one")
    assert [one.name for one in cache.nodes] == ["two"]
    assert cache.epoch > epoch


def test_images_are_counted_by_the_nodes_that_have_them() -> None:
    cache = Cache()
    cache.set_node(NodeFacts(node("one", images={"app:1": 10})))
    cache.set_node(NodeFacts(node("two", images={"app:1": 10, "app:2": 10})))
    assert [cache.nodes_with_image(image) for image in ("app:1", "app:2", "app:3")] == [2, 1, 0]
    cache.set_node(NodeFacts(node("two", images={"app:2": 10})))
    cache.remove_node("one")
    assert [cache.nodes_with_image(image) for image in ("app:1", "app:2")] == [0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_counts_stay_what_counting_anew_would_give(seed: int) -> None:
    random = Random(seed)
    cache = Cache()
    zones = {f"n{index}": f"z{index % 2}" for index in range(5)}
    known: dict[str, PodInfo] = {}
    nodes: dict[str, str] = {}

    def counts(one: PodInfo) -> bool:
        return one.labels.get("app") == "web"

    avoiding = {"labelSelector": {"matchLabels": WEB}, "topologyKey": ZONE}
    affinity = {"podAntiAffinity": {REQUIRED: [avoiding]}}
    for step in range(300):
        match random.randrange(5):
            case 0:
                name = random.choice(list(zones))
                zone = random.choice(["z0", "z1", ""])
                cache.set_node(NodeFacts(node(name, zone=zone)))
                nodes[name] = zone
            case 1:
                name = random.choice(list(zones))
                cache.remove_node(name)
                nodes.pop(name, None)
            case 2 if known:
                uid = random.choice(list(known))
                cache.remove_pod(uid)
                del known[uid]
            case _:
                name = f"p{random.randrange(step + 1)}"
                on = known[f"uid-{name}"].node_name if f"uid-{name}" in known else random.choice(list(zones))
                labels = random.choice([WEB, {"app": "db"}])
                more: dict[str, Any] = {"affinity": affinity} if random.random() < 0.5 else {}
                one = pod(name, on=on, labels=labels, **more)
                cache.set_pod(one)
                known[one.uid] = one
        tally = finish(cache.tally("web", "default", counts))
        matching = [one for one in known.values() if counts(one)]
        assert tally.by_node == {
            name: number for name in zones if (number := sum(one.node_name == name for one in matching))
        }
        expected: dict[str, int] = {}
        for name, zone in nodes.items():
            if zone:
                expected[zone] = expected.get(zone, 0) + tally.by_node.get(name, 0)
        assert finish(tally.places((ZONE, (ZONE, HOSTNAME)), cache.nodes)) == expected
        lonely = [one for one in known.values() if one.template.anti_affinity]
        told = {
            place: number
            for _, places in cache.anti_affinity.matching(pod("new", labels=WEB), {}, cache.node)
            for place, number in places.items()
            if number
        }
        by_zone = {
            zone: number for zone in ("z0", "z1") if (number := sum(nodes.get(one.node_name) == zone for one in lonely))
        }
        assert told == by_zone


def test_a_placement_forgets_nothing_of_a_full_cluster() -> None:
    placement = Placement([node(f"n{index}", cpu="2") for index in range(3)])
    assert all(placement.place(pod(f"p{index}", cpu="1")) for index in range(6))
    assert placement.place(pod("late", cpu="1")) == ""
    placement.cache.remove_pod("uid-p2")
    assert placement.place(pod("late", cpu="1"))
