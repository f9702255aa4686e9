"""Watches: from where they begin, what they tell, and how they end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from hyperkube_apiserver.watchcache.hub import SLICE_SECONDS

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
END = "k8s.io/initial-events-end"


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}}


async def test_a_watch_from_nowhere_begins_with_what_exists(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("old"))
    async with api.watch(f"{CONFIG_MAPS}?watch=1") as stream:
        assert await stream.names(1) == [("ADDED", "old")]
        await api.create(CONFIG_MAPS, config_map("new"))
        await api.merge(f"{CONFIG_MAPS}/new", {"data": {"a": "1"}})
        await api.delete(f"{CONFIG_MAPS}/new")
        assert await stream.names(3) == [("ADDED", "new"), ("MODIFIED", "new"), ("DELETED", "new")]


async def test_a_deletion_shows_the_object_at_the_revision_of_its_deletion(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map("x"))
    async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}") as stream:
        await api.delete(f"{CONFIG_MAPS}/x")
        event = await stream.next()
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert event["object"]["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_write_that_changes_nothing_sends_nothing(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map("x", a="b"))
    async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}") as stream:
        same = await api.merge(f"{CONFIG_MAPS}/x", {"metadata": {"labels": {"a": "b"}}})
        assert same.json["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        await api.create(CONFIG_MAPS, config_map("y"))
        assert await stream.names(1) == [("ADDED", "y")]


async def test_a_watch_from_a_revision_tells_all_that_came_later(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map("x"))
    await api.create(CONFIG_MAPS, config_map("y"))
    await api.delete(f"{CONFIG_MAPS}/x")
    async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}") as stream:
        assert await stream.names(2) == [("ADDED", "y"), ("DELETED", "x")]


async def test_history_older_than_the_cache_is_replayed_from_the_store(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map("x"))
    await api.create(CONFIG_MAPS, config_map("y"))
    cache = api.api.resource("", "configmaps").cache
    cache.start(api.api.hub.revision)  # as after a restart: the ring is empty and begins here
    assert cache.since(int(made["metadata"]["resourceVersion"])) is None
    async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}") as stream:
        assert await stream.names(1) == [("ADDED", "y")]
        await api.create(CONFIG_MAPS, config_map("z"))
        assert await stream.names(1) == [("ADDED", "z")]


async def test_history_that_is_gone_ends_the_watch_with_410(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map("x"))
    await api.create(CONFIG_MAPS, config_map("y"))
    api.api.resource("", "configmaps").cache.start(api.api.hub.revision)
    await api.store.compact(await api.store.revision())
    async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}") as stream:
        event = await stream.next()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await stream.next() is None


async def test_initial_events_end_in_an_annotated_bookmark(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    async with api.watch(f"{CONFIG_MAPS}?{query}") as stream:
        assert await stream.names(1) == [("ADDED", "a")]
        bookmark = await stream.next()
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["metadata"]["annotations"] == {END: "true"}
        await api.create(CONFIG_MAPS, config_map("b"))
        assert await stream.names(1) == [("ADDED", "b")]


async def test_bookmarks_come_now_and_then_to_those_who_want_them(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with (
        api.watch(f"{CONFIG_MAPS}?watch=1&allowWatchBookmarks=true") as wants,
        api.watch(f"{CONFIG_MAPS}?watch=1") as plain,
    ):
        await wants.names(1)
        await wants.next()  # ends the initial events
        await plain.names(1)
        await api.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "elsewhere"}})
        await api.clock.advance(61)
        bookmark = await wants.next()
        newest = str(await api.store.revision())
        assert (bookmark["type"], bookmark["object"]["metadata"]["resourceVersion"]) == ("BOOKMARK", newest)
        await api.create(CONFIG_MAPS, config_map("b"))
        assert await plain.names(1) == [("ADDED", "b")]


async def test_a_selector_turns_changes_into_additions_and_deletions(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("x", env="test"))
    async with api.watch(f"{CONFIG_MAPS}?watch=1&labelSelector=env%3Dprod") as stream:
        await api.merge(f"{CONFIG_MAPS}/x", {"metadata": {"labels": {"env": "prod"}}})
        await api.merge(f"{CONFIG_MAPS}/x", {"data": {"k": "v"}})
        await api.merge(f"{CONFIG_MAPS}/x", {"metadata": {"labels": {"env": "gone"}}})
        events = [await stream.next() for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert events[2]["object"]["metadata"]["labels"] == {"env": "prod"}, "what left is shown as it last matched"


async def test_a_watch_of_one_name_hears_of_no_other(api: Any) -> None:
    async with api.watch(f"{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Dmine") as stream:
        for name in ("other", "mine", "another"):
            await api.create(CONFIG_MAPS, config_map(name))
        await api.delete(f"{CONFIG_MAPS}/mine")
        assert await stream.names(2) == [("ADDED", "mine"), ("DELETED", "mine")]


async def test_a_watch_ends_after_its_timeout(api: Any) -> None:
    async with api.watch(f"{CONFIG_MAPS}?watch=1&timeoutSeconds=5") as stream:
        await api.clock.advance(4)
        await api.create(CONFIG_MAPS, config_map("in-time"))
        assert await stream.names(1) == [("ADDED", "in-time")]
        await api.clock.advance(3)
        assert await stream.next() is None


async def test_a_client_that_does_not_read_is_let_go_and_costs_its_neighbours_nothing(api: Any) -> None:
    async with api.watch(f"{CONFIG_MAPS}?watch=1") as slow, api.watch(f"{CONFIG_MAPS}?watch=1") as quick:
        await api.create(CONFIG_MAPS, config_map("first"))
        await slow.names(1)
        await quick.names(1)
        slow.buffered = 1 << 30
        await api.create(CONFIG_MAPS, config_map("second"))
        assert await slow.names(1) == [("ADDED", "second")]
        assert await slow.next() is None
        await api.create(CONFIG_MAPS, config_map("third"))
        assert await quick.names(2) == [("ADDED", "second"), ("ADDED", "third")]
    assert not len(api.api.resource("", "configmaps").cache.watchers)


@pytest.mark.parametrize("revision", ["abc", "-5"])
async def test_a_revision_that_is_none_is_a_500_as_upstream_has_it(api: Any, revision: str) -> None:
    reply = await api.get(f"{CONFIG_MAPS}?watch=1&resourceVersion={revision}")
    assert reply.status == 500
    assert "strconv.ParseUint" in reply.json["message"]


async def test_tables_carry_their_columns_in_the_first_event_only(api: Any) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    async with api.watch(f"{CONFIG_MAPS}?watch=1", accept=accept) as stream:
        for name in ("a", "b"):
            await api.create(CONFIG_MAPS, config_map(name))
        first, second = await stream.next(), await stream.next()
    assert first["object"]["kind"] == second["object"]["kind"] == "Table"
    assert [column["name"] for column in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "b"


async def test_watches_end_one_after_another_when_they_may_take_their_time(api: Any) -> None:
    async with AsyncExitStack() as opened:
        for _ in range(30):
            await opened.enter_async_context(api.watch(f"{CONFIG_MAPS}?watch=1"))
        await api.create(CONFIG_MAPS, config_map("all"))
        cache = api.api.resource("", "configmaps").cache
        ending = asyncio.create_task(api.api.hub.finish_watchers_over(3.0, per_second=5))
        left = [len(cache.watchers)]
        for _ in range(3):
            await api.clock.until_sleeping(SLICE_SECONDS)
            await api.clock.advance(1)
            left.append(len(cache.watchers))
        await api.clock.advance(1)
        await ending
    assert left[0] > left[1] > left[2] > left[3]
    assert left[3] < 10
    assert not len(cache.watchers)
