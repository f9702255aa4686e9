"""Lists: order, selectors, pages, and the revision that they show."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}}


def names(reply: Any) -> list[str]:
    assert reply.status == 200, reply.body
    return [item["metadata"]["name"] for item in reply.json["items"]]


@pytest.fixture
async def letters(api: Any) -> Any:
    for index, name in enumerate("dacbe"):
        await api.create(CONFIG_MAPS, config_map(name, parity=str(index % 2)))
    return api


async def test_items_come_in_order_of_their_keys_and_without_their_type(letters: Any) -> None:
    reply = await letters.get(CONFIG_MAPS)
    assert names(reply) == list("abcde")
    assert not any("kind" in item for item in reply.json["items"])
    assert reply.json["kind"] == "ConfigMapList"


async def test_a_namespace_that_begins_like_another_keeps_its_objects_apart(api: Any) -> None:
    for name in ("a", "a-b", "ab"):
        await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        await api.create(f"/api/v1/namespaces/{name}/configmaps", config_map(f"in-{name}"))
    assert names(await api.get("/api/v1/namespaces/a/configmaps")) == ["in-a"]
    everywhere = await api.get("/api/v1/configmaps")
    assert [item["metadata"]["namespace"] for item in everywhere.json["items"]] == ["a-b", "a", "ab"]


async def test_pages_together_are_the_list(letters: Any) -> None:
    found, token = [], ""
    for _ in range(3):
        reply = await letters.get(f"{CONFIG_MAPS}?limit=2&continue={token}")
        found += names(reply)
        token = reply.json["metadata"].get("continue", "")
    assert found == list("abcde")
    assert token == ""


async def test_a_page_tells_how_many_objects_follow_unless_a_selector_leaves_some_out(letters: Any) -> None:
    page = await letters.get(f"{CONFIG_MAPS}?limit=2")
    assert page.json["metadata"]["remainingItemCount"] == 3
    selected = await letters.get(f"{CONFIG_MAPS}?limit=1&labelSelector=parity%3D0")
    assert "remainingItemCount" not in selected.json["metadata"]
    assert selected.json["metadata"]["continue"]


async def test_later_pages_show_what_was_there_at_the_first(letters: Any) -> None:
    first = await letters.get(f"{CONFIG_MAPS}?limit=2")
    await letters.delete(f"{CONFIG_MAPS}/c")
    await letters.create(CONFIG_MAPS, config_map("cc"))
    await letters.merge(f"{CONFIG_MAPS}/d", {"data": {"late": "yes"}})
    token = first.json["metadata"]["continue"]
    rest = await letters.get(f"{CONFIG_MAPS}?limit=10&continue={token}")
    assert names(rest) == ["c", "d", "e"]
    assert "data" not in rest.json["items"][1]
    assert rest.json["metadata"]["resourceVersion"] == first.json["metadata"]["resourceVersion"]


async def test_a_token_whose_history_is_gone_offers_one_that_goes_on_inconsistently(letters: Any) -> None:
    first = await letters.get(f"{CONFIG_MAPS}?limit=2")
    await letters.delete(f"{CONFIG_MAPS}/d")
    await letters.store.compact(await letters.store.revision())
    expired = await letters.get(f"{CONFIG_MAPS}?limit=2&continue={first.json['metadata']['continue']}")
    assert (expired.status, expired.json["reason"]) == (410, "Expired")
    rest = await letters.get(f"{CONFIG_MAPS}?limit=5&continue={expired.json['metadata']['continue']}")
    assert names(rest) == ["c", "e"]


async def test_an_exact_revision_shows_the_past(letters: Any) -> None:
    then = (await letters.get(CONFIG_MAPS)).json["metadata"]["resourceVersion"]
    await letters.delete(f"{CONFIG_MAPS}/a")
    reply = await letters.get(f"{CONFIG_MAPS}?resourceVersion={then}&resourceVersionMatch=Exact")
    assert names(reply) == list("abcde")
    assert names(await letters.get(CONFIG_MAPS)) == list("bcde")


async def test_a_revision_in_the_future_is_refused_with_504(letters: Any) -> None:
    reply = await letters.get(f"{CONFIG_MAPS}?resourceVersion=999999&resourceVersionMatch=Exact")
    assert reply.status == 504
    assert reply.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert ("Retry-After", "1") in reply.headers


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("limit=", 400, "strconv.ParseInt"),
        ("resourceVersion=abc", 400, "invalid resource version"),
        ("resourceVersionMatch=Exact", 422, "forbidden unless resourceVersion is provided"),
        ("resourceVersion=1&resourceVersionMatch=Sometimes", 422, "Unsupported value"),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422, "exact"),
        ("sendInitialEvents=true", 422, "sendInitialEvents is forbidden for list"),
        ("continue=%25", 400, "continue key is not valid"),
        ("continue=abc", 400, "continue key is not valid: invalid character"),
        ("fieldSelector=spec.x%3D1", 400, "is not a known field selector"),
        ("labelSelector=%21%21", 400, "unable to parse requirement"),
        ("shardSelector=x", 501, "shardSelector"),
    ],
)
async def test_bad_parameters_are_named(letters: Any, query: str, status: int, word: str) -> None:
    reply = await letters.get(f"{CONFIG_MAPS}?{query}")
    assert reply.status == status
    assert word in reply.json["message"]


async def test_unknown_parameters_and_limits_below_zero_are_accepted(letters: Any) -> None:
    assert names(await letters.get(f"{CONFIG_MAPS}?bogus=1&limit=-1")) == list("abcde")
