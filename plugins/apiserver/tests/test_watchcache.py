"""What the watch cache keeps of objects beside their bytes."""

from __future__ import annotations

import orjson
import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.storage.interface import Entry, Revision
from hyperkube_apiserver.watchcache.cache import WatchCache

KIND = load_kinds()["", "v1", "configmaps"]


@pytest.fixture
def cache() -> WatchCache:
    return WatchCache(KIND, lambda tree: {})


def entry(cache: WatchCache, name: str, labels: dict[str, str] | None) -> Entry:
    metadata = {"name": name, "namespace": "ns", "uid": "u", **({"labels": labels} if labels is not None else {})}
    stored = cache.prefix + orjson.dumps({"metadata": metadata})[1:]
    return Entry(KIND.key("ns", name), stored, Revision(1), Revision(1), 1)


def test_objects_with_the_same_labels_share_them(cache: WatchCache) -> None:
    one, same, other, without = (
        cache.item_of(entry(cache, name, labels))
        for name, labels in (("a", {"app": "x"}), ("b", {"app": "x"}), ("c", {"app": "y"}), ("d", None))
    )
    assert one.labels is same.labels
    assert (one.labels, other.labels, without.labels) == ({"app": "x"}, {"app": "y"}, {})


def test_objects_of_a_namespace_share_its_name(cache: WatchCache) -> None:
    one, other = (cache.item_of(entry(cache, name, None)) for name in ("a", "b"))
    assert one.namespace == "ns"
    assert one.namespace is other.namespace
    assert one.fields == {"metadata.name": "a", "metadata.namespace": "ns"}


def test_very_many_different_labels_are_right_and_not_all_remembered(cache: WatchCache) -> None:
    items = [cache.item_of(entry(cache, f"n{number}", {"app": str(number)})) for number in range(1000)]
    assert [item.labels["app"] for item in items] == [str(number) for number in range(1000)]
    assert len(cache._known_labels) < 1000
