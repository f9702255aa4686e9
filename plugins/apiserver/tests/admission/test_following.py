"""What plugins keep of stored objects, and when it is made anew."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.admission.following import Readings
from hyperkube_apiserver.watchcache.item import Item

pytestmark = pytest.mark.anyio


def item(name: str, revision: int) -> Item:
    return Item(f"/registry/things/{name}", "", name, revision, b"{}", {}, {})


def test_an_object_is_read_once_until_it_changes() -> None:
    read: list[int] = []

    def revision(one: Item) -> int:
        read.append(one.revision)
        return one.revision

    readings = Readings(revision)
    first, second = item("a", 1), item("a", 2)
    assert [readings.of(first), readings.of(first), readings.of(second), readings.of(second)] == [1, 1, 2, 2]
    assert read == [1, 2]


def test_objects_are_kept_apart_and_no_more_of_them_than_fit() -> None:
    readings = Readings(lambda one: one.name)
    for number in range(5000):
        assert readings.of(item(f"a{number}", 1)) == f"a{number}"
    assert len(readings._kept) <= 1024


async def test_what_is_changed_counts_for_the_next_pod(world: Any) -> None:
    chain = world.chain("LimitRanger")
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}
    given = []
    for amount in ("1", "2"):
        world.add("limitranges", "l", "ns", spec={"limits": [{"type": "Container", "default": {"cpu": amount}}]})
        made = await world.ask(chain, "pods", pod)
        given.append(made["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert given == ["1", "2"]


async def test_a_new_default_class_counts_for_the_next_pod(world: Any) -> None:
    chain = world.chain("Priority")
    given = [(await world.ask(chain, "pods", {"metadata": {"name": "p"}}))["spec"]["priority"]]
    for name, value in (("low", 5), ("lower", 3)):
        world.add("priorityclasses.scheduling.k8s.io", name, value=value, globalDefault=True)
        given.append((await world.ask(chain, "pods", {"metadata": {"name": "p"}}))["spec"]["priority"])
    assert given == [0, 5, 3]


async def test_labels_of_a_namespace_and_what_an_account_says_count_for_the_next_pod(world: Any) -> None:
    chain = world.chain(("ServiceAccount", "PodSecurity"))
    pod = {"metadata": {"name": "p"}, "spec": {"hostNetwork": True, "containers": [{"name": "c", "image": "i"}]}}
    world.add("namespaces", "ns")
    world.add("serviceaccounts", "default", "ns")
    assert (await world.ask(chain, "pods", pod))["spec"]["volumes"], "the token"
    world.add("serviceaccounts", "default", "ns", automountServiceAccountToken=False)
    assert "volumes" not in (await world.ask(chain, "pods", pod))["spec"]
    world.add("namespaces", "ns", metadata={"labels": {"pod-security.kubernetes.io/enforce": "baseline"}})
    assert "violates PodSecurity" in await world.refusal(chain, "pods", pod)
