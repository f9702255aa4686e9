"""Parts that objects share."""

from __future__ import annotations

from typing import Any

from hyperkube_machinery.sharing import SharedParts


def pod(name: str, image: str = "x") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app": "web"}, "finalizers": []},
        "spec": {"containers": [{"image": image}], "nodeName": "n"},
        "status": {"conditions": [{"type": "Ready"}]},
    }


def test_equal_parts_are_one_and_objects_stay_as_they_were() -> None:
    parts = SharedParts()
    first, second, third = pod("a"), pod("b"), pod("c", "y")
    for one in (first, second, third):
        parts.share(one)
    assert (first, second, third) == (pod("a"), pod("b"), pod("c", "y"))
    assert first["spec"]["containers"] is second["spec"]["containers"]
    assert first["metadata"]["labels"] is second["metadata"]["labels"] is third["metadata"]["labels"]
    assert first["spec"]["containers"] is not third["spec"]["containers"]
    assert first["spec"] is not second["spec"]
    assert first["status"]["conditions"] is not second["status"]["conditions"]


def test_what_looks_alike_but_is_not_stays_apart() -> None:
    parts = SharedParts()
    first: dict[str, Any] = {"spec": {"a": {"x": 1}, "b": {"x": True}, "c": {"x": 1.0}, "d": {"x": "1"}}}
    parts.share(first)
    assert [type(part["x"]) for part in first["spec"].values()] == [int, bool, float, str]


def test_what_is_large_and_what_has_no_parts_is_left_alone() -> None:
    parts = SharedParts()
    large = {"data": "x" * 20_000}
    first, second = {"spec": {"a": large}}, {"spec": {"a": dict(large)}}
    for one in (first, second, {"spec": None}, {"spec": "text"}, {}):
        parts.share(one)
    assert first["spec"]["a"] is not second["spec"]["a"]


def test_only_so_much_is_remembered() -> None:
    parts = SharedParts()
    first = pod("a")
    parts.share(first)
    for number in range(3000):
        parts.share({"spec": {"a": {"number": number}}})
    second = pod("b")
    parts.share(second)
    assert first["spec"]["containers"] is not second["spec"]["containers"]
