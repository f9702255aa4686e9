"""Lists: order, selectors, pages, and the revision that they show."""

from __future__ import annotations

import base64
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
    assert expired.json["message"].startswith("The provided continue parameter is too old to display a consistent list")
    assert list(expired.json["metadata"]) == ["continue"]
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
        ("continue=x&resourceVersionMatch=Exact&resourceVersion=1", 422, "forbidden when continue is provided"),
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


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("%25", ": illegal base64 data at input byte 0"),
        ("abcd%3D", ": illegal base64 data at input byte 4"),
        ("abcde", ": illegal base64 data at input byte 4"),
        ("abc", ": invalid character 'i' looking for beginning of value"),
        (token("[]"), ": json: cannot unmarshal array into Go value of type storage.continueToken"),
        (
            token('{"v":1}'),
            ": json: cannot unmarshal number into Go struct field continueToken.v of type string",
        ),
        (
            token('{"rv":1.5}'),
            ": json: cannot unmarshal number 1.5 into Go struct field continueToken.rv of type int64",
        ),
        (token('{"v":"v2","rv":1,"start":"a"}'), ": server does not recognize this encoded version v2"),
        (
            token('{"v":"meta.k8s.io/v1","start":"a"}'),
            ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        (token('{"v":"meta.k8s.io/v1","rv":1}'), ": encoded start key empty (version meta.k8s.io/v1)"),
        (token('{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets/a"}'), ": ../secrets/a"),
    ],
)
async def test_a_token_that_is_none_is_told_why(api: Any, given: str, why: str) -> None:
    reply = await api.get(f"{CONFIG_MAPS}?continue={given}")
    assert (reply.status, reply.json["message"]) == (400, f"invalid continue token: continue key is not valid{why}")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("limit=2", "ab"),
        ("limit=2&resourceVersion=0", "abcdef"),  # a limit is for later states
        ("limit=2&resourceVersion=0&resourceVersionMatch=NotOlderThan", "abcdef"),
        ("limit=2&resourceVersion=THEN&resourceVersionMatch=NotOlderThan", "ab"),
        ("resourceVersion=THEN", "abcdef"),
        ("resourceVersion=THEN&resourceVersionMatch=NotOlderThan", "abcdef"),
        ("resourceVersion=THEN&resourceVersionMatch=Exact", "abcde"),
        ("limit=9&resourceVersion=THEN", "abcde"),  # a limit makes it exact
        ("limit=9&resourceVersion=THEN&resourceVersionMatch=NotOlderThan", "abcdef"),
    ],
)
async def test_which_state_is_listed_goes_by_the_version_its_match_and_the_limit(
    letters: Any, query: str, found: str
) -> None:
    then = (await letters.get(CONFIG_MAPS)).json["metadata"]["resourceVersion"]
    await letters.create(CONFIG_MAPS, config_map("f"))
    reply = await letters.get(f"{CONFIG_MAPS}?{query.replace('THEN', then)}")
    assert names(reply) == list(found)
    paged = len(found) == 2
    assert ("continue" in reply.json["metadata"]) == paged
    assert reply.json["metadata"].get("remainingItemCount") == (4 if paged else None)


@pytest.mark.parametrize("form", ["PartialObjectMetadataList", "Table"])
async def test_pages_of_another_form_together_are_the_list(letters: Any, form: str) -> None:
    accept = f"application/json;as={form};v=v1;g=meta.k8s.io"
    found, given, remaining = [], "", []
    for _ in range(3):
        page = (await letters.get(f"{CONFIG_MAPS}?limit=2&continue={given}", accept=accept)).json
        objects = page["items"] if form != "Table" else [row["object"] for row in page["rows"]]
        found += [one["metadata"]["name"] for one in objects]
        given = page["metadata"].get("continue", "")
        remaining.append(page["metadata"].get("remainingItemCount"))
        await letters.create(CONFIG_MAPS, {"metadata": {"generateName": "e-"}})
    assert found == list("abcde")
    assert remaining == [3, 1, None]


async def test_a_page_after_the_first_may_ask_for_any_version_but_for_none_in_particular(letters: Any) -> None:
    first = (await letters.get(f"{CONFIG_MAPS}?limit=2")).json["metadata"]["continue"]
    assert names(await letters.get(f"{CONFIG_MAPS}?continue={first}&resourceVersion=0")) == list("cde")
    refused = await letters.get(f"{CONFIG_MAPS}?continue={first}&resourceVersion=1")
    assert (refused.status, refused.json["message"]) == (
        400,
        "specifying resource version is not allowed when using continue",
    )
