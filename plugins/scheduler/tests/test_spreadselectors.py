"""Which pods count as of the same kind."""

from __future__ import annotations

from typing import Any

import pytest
from _schedulable import pod

from hyperkube_machinery.cache import Cache, key_of
from hyperkube_scheduler.spreadselectors import SpreadSelectors

Tree = dict[str, Any]


def cache_of(*objects: Tree) -> Cache:
    cache = Cache()
    for one in objects:
        cache.put(key_of(one), one)
    return cache


def thing(name: str, selector: Tree | None, namespace: str = "default") -> Tree:
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"}, "spec": {"selector": selector}}


def owned(kind: str, name: str, api_version: str = "apps/v1") -> Tree:
    return {"ownerReferences": [{"apiVersion": api_version, "kind": kind, "name": name, "controller": True}]}


SELECTORS = SpreadSelectors(
    services=cache_of(
        thing("web", {"app": "web"}),
        thing("fast", {"tier": "fast"}),
        thing("headless", None),
        thing("elsewhere", {"app": "db"}, "other"),
    ),
    controllers=cache_of(thing("old", {"app": "old"})),
    replica_sets=cache_of(thing("rs", {"matchLabels": {"hash": "1"}})),
    stateful_sets=cache_of(
        thing("ss", {"matchExpressions": [{"key": "role", "operator": "In", "values": ["a", "b"]}]})
    ),
)


@pytest.mark.parametrize(
    ("labels", "metadata", "selector"),
    [
        ({}, {}, ""),
        ({"app": "db"}, {}, ""),
        ({"app": "web"}, {}, "app=web"),
        ({"app": "web", "tier": "fast"}, {}, "app=web,tier=fast"),
        ({"app": "old"}, owned("ReplicationController", "old", "v1"), "app=old"),
        ({"hash": "1"}, owned("ReplicaSet", "rs"), "hash=1"),
        ({"hash": "1", "app": "web"}, owned("ReplicaSet", "rs"), "app=web,hash=1"),
        ({"role": "a"}, owned("StatefulSet", "ss"), "role in (a,b)"),
        ({}, owned("ReplicaSet", "gone"), ""),
        ({}, owned("DaemonSet", "rs"), ""),
    ],
)
def test_services_and_owners_say_what_is_of_one_kind(labels: dict[str, str], metadata: Tree, selector: str) -> None:
    found = SELECTORS.of(pod("p", labels=labels, metadata=metadata))
    assert str(found) == selector
    assert found.empty is (selector == "")
