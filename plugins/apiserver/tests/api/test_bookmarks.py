"""Bookmarks: when they come, to whom, and where the initial events end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hyperkube_apiserver.versions import WAIT_SECONDS

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
WATCHED = "/api/v1/watch/namespaces/default/configmaps"
END = {"k8s.io/initial-events-end": "true"}
ALLOWED = "watch=1&allowWatchBookmarks=true"
INITIAL = f"{ALLOWED}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
LATER = f"{ALLOWED}&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}}


def metadata(event: Any) -> dict[str, Any]:
    assert event["type"] == "BOOKMARK", event
    found: dict[str, Any] = event["object"]["metadata"]
    return found


@pytest.mark.parametrize("query", [INITIAL, f"{INITIAL}&resourceVersion=0", ALLOWED, f"{ALLOWED}&resourceVersion=0"])
async def test_what_exists_ends_in_a_marked_bookmark_asked_for_or_not(api: Any, query: str) -> None:
    for name, env in (("a", "prod"), ("b", "test")):
        await api.create(CONFIG_MAPS, config_map(name, env=env))
    async with api.watch(f"{CONFIG_MAPS}?{query}&labelSelector=env%3Dprod") as stream:
        assert await stream.names(1) == [("ADDED", "a")]
        marked = metadata(await stream.next())
        assert marked == {"annotations": END, "resourceVersion": str(await api.store.revision())}
        await api.create(CONFIG_MAPS, config_map("c", env="prod"))
        assert await stream.names(1) == [("ADDED", "c")]


async def test_what_a_revision_has_is_among_the_initial_events(api: Any) -> None:
    made = [await api.create(CONFIG_MAPS, config_map(name)) for name in "ab"]
    revision = made[0]["metadata"]["resourceVersion"]
    async with api.watch(f"{CONFIG_MAPS}?{INITIAL}&resourceVersion={revision}") as stream:
        assert await stream.names(2) == [("ADDED", "a"), ("ADDED", "b")]
        assert int(metadata(await stream.next())["resourceVersion"]) >= int(revision)


@pytest.mark.parametrize("revision", ["", "0", "made"])
async def test_a_watch_may_begin_without_initial_events(api: Any, revision: str) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    if revision == "made":
        revision = made["metadata"]["resourceVersion"]
    async with api.watch(f"{CONFIG_MAPS}?{LATER}&resourceVersion={revision}") as stream:
        await api.create(CONFIG_MAPS, config_map("b"))
        assert await stream.names(1) == [("ADDED", "b")]


@pytest.mark.parametrize("revision", ["", "0"])
async def test_what_changes_before_the_answer_begins_is_told(api: Any, revision: str) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    answer = await api.answer("GET", f"{CONFIG_MAPS}?{LATER}&resourceVersion={revision}")
    await api.create(CONFIG_MAPS, config_map("b"))
    async with api.streaming(answer) as stream:
        assert await stream.names(1) == [("ADDED", "b")]


@pytest.mark.parametrize("query", ["watch=1", INITIAL.replace("allowWatchBookmarks=true&", "")])
async def test_no_bookmark_comes_to_who_allows_none(api: Any, query: str) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with api.watch(f"{CONFIG_MAPS}?{query}&timeoutSeconds=100") as stream:
        assert await stream.names(1) == [("ADDED", "a")]
        await api.clock.advance(101)
        assert await stream.next() is None


async def test_rows_and_metadata_have_their_bookmarks_too(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    form = "application/json;as={};v=v1;g=meta.k8s.io"
    async with api.watch(f"{CONFIG_MAPS}?{ALLOWED}", accept=form.format("PartialObjectMetadata")) as stream:
        assert await stream.names(1) == [("ADDED", "a")]
        event = await stream.next()
        assert metadata(event)["annotations"] == END
        assert event["object"]["kind"] == "PartialObjectMetadata"
    async with api.watch(f"{CONFIG_MAPS}?{ALLOWED}", accept=form.format("Table")) as stream:
        await stream.next()
        event = await stream.next()
        (row,) = event["object"]["rows"]
        assert event["type"] == "BOOKMARK"
        assert row["object"]["metadata"]["annotations"] == END
        assert event["object"]["metadata"]["resourceVersion"] == row["object"]["metadata"]["resourceVersion"]


async def test_a_revision_that_does_not_come_ends_the_watch_by_its_first_event(api: Any) -> None:
    async def wait() -> None:
        await api.clock.until_sleeping(WAIT_SECONDS)
        await api.clock.advance(WAIT_SECONDS)

    waiting = asyncio.create_task(wait())
    async with api.watch(f"{CONFIG_MAPS}?{INITIAL}&resourceVersion=999999") as stream:
        await waiting
        event = await stream.next()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 504, "Timeout")
        assert event["object"]["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
        assert await stream.next() is None


async def test_a_bookmark_comes_each_minute_and_right_before_the_end(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with api.watch(f"{CONFIG_MAPS}?{LATER}&timeoutSeconds=100") as stream:
        for seconds in (61, 37):
            made = await api.create("/api/v1/namespaces/default/secrets", {"metadata": {"generateName": "s"}})
            await api.clock.advance(seconds)
            assert metadata(await stream.next()) == {"resourceVersion": made["metadata"]["resourceVersion"]}
        await api.clock.advance(3)
        assert await stream.next() is None


async def test_a_watch_that_is_too_short_for_it_has_no_farewell(api: Any) -> None:
    async with api.watch(f"{CONFIG_MAPS}?{LATER}&timeoutSeconds=2") as stream:
        await api.clock.advance(3)
        assert await stream.next() is None


async def test_a_watch_whose_time_is_negative_ends_at_once(api: Any) -> None:
    async with api.watch(f"{CONFIG_MAPS}?{LATER}&timeoutSeconds=-5") as stream:
        await api.clock.advance(1)
        assert await stream.next() is None


async def test_a_path_that_watches_begins_with_what_exists_and_knows_no_initial_events(api: Any) -> None:
    for name in "ab":
        await api.create(CONFIG_MAPS, config_map(name))
    async with api.watch(f"{WATCHED}/a?allowWatchBookmarks=true") as stream:
        assert await stream.names(1) == [("ADDED", "a")]
        await api.create(CONFIG_MAPS, config_map("c"))
        await api.delete(f"{CONFIG_MAPS}/a")
        assert await stream.names(1) == [("DELETED", "a")]
    refused = await api.get(f"{WATCHED}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
    assert refused.status == 422
    assert "sendInitialEvents is forbidden for list" in refused.json["message"]
    other = await api.get(f"{WATCHED}/a?fieldSelector=metadata.name%3Db")
    assert (other.status, other.json["message"]) == (
        400,
        "fieldSelector metadata.name doesn't match requested name",
    )
    async with api.watch(f"{WATCHED}/a?{INITIAL}") as stream:
        assert metadata(await stream.next())["annotations"] == END


@pytest.mark.parametrize(
    ("query", "causes"),
    [
        (
            "sendInitialEvents=true",
            [("FieldValueForbidden", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")],
        ),
        (
            "resourceVersionMatch=NotOlderThan",
            [
                (
                    "FieldValueForbidden",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                )
            ],
        ),
        (
            "sendInitialEvents=false&resourceVersionMatch=Exact&continue=x",
            [
                ("FieldValueForbidden", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
                ("FieldValueNotSupported", 'Unsupported value: "Exact": supported values: "NotOlderThan"'),
                ("FieldValueForbidden", "resourceVersionMatch is forbidden when continue is provided"),
            ],
        ),
    ],
)
async def test_what_does_not_go_together_is_named(api: Any, query: str, causes: list[tuple[str, str]]) -> None:
    reply = await api.get(f"{CONFIG_MAPS}?watch=1&{query}")
    assert reply.status == 422
    found = reply.json["details"]["causes"]
    assert [(one["reason"], one["message"].removeprefix("Forbidden: ")) for one in found] == causes


async def test_a_watch_is_never_compressed(api: Any) -> None:
    await api.create(CONFIG_MAPS, {**config_map("large"), "data": {"k": "x" * 200_000}})
    listed = await api.get(CONFIG_MAPS, accept_encoding="gzip")
    assert ("Content-Encoding", "gzip") in listed.headers
    answer = await api.answer("GET", f"{CONFIG_MAPS}?watch=1", accept_encoding="gzip")
    assert "Content-Encoding" not in dict(answer.headers)
    async with api.watch(f"{CONFIG_MAPS}?watch=1", accept_encoding="gzip") as stream:
        assert await stream.names(1) == [("ADDED", "large")]


async def test_a_watch_from_the_future_is_silent_until_then(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    future = int(made["metadata"]["resourceVersion"]) + 2
    async with api.watch(f"{CONFIG_MAPS}?{ALLOWED}&resourceVersion={future}&timeoutSeconds=600") as stream:
        await api.clock.advance(61)  # a bookmark now would lead the client back
        for name in "bcd":
            await api.create(CONFIG_MAPS, config_map(name))
        assert await stream.names(1) == [("ADDED", "d")]
        await api.clock.advance(61)
        assert int(metadata(await stream.next())["resourceVersion"]) > future


@pytest.mark.parametrize(
    ("path", "created"),
    [
        ("/api/v1/watch/configmaps", CONFIG_MAPS),
        ("/api/v1/watch/namespaces/default/configmaps", CONFIG_MAPS),
        ("/api/v1/watch/namespaces/default/configmaps/mine", CONFIG_MAPS),
        ("/api/v1/watch/namespaces", "/api/v1/namespaces"),
        ("/api/v1/watch/namespaces/mine", "/api/v1/namespaces"),
        ("/api/v1/watch/nodes/mine", "/api/v1/nodes"),
    ],
)
async def test_old_paths_watch_what_they_name(api: Any, path: str, created: str) -> None:
    revision = await api.store.revision()
    async with api.watch(f"{path}?resourceVersion={revision}") as stream:
        if path.endswith("/mine"):
            await api.create(created, {"metadata": {"name": "another"}})
        await api.create(created, {"metadata": {"name": "mine"}})
        assert await stream.names(1) == [("ADDED", "mine")]
