"""What lies between the store, the cache and those who wait for either."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hyperkube_apiserver.assembly import Settings, assemble
from hyperkube_apiserver.handlers.list import read_list
from hyperkube_apiserver.parameters import ListOptions
from hyperkube_apiserver.selection import ALL

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


async def test_a_list_at_a_revision_shows_what_was_deleted_between_it_and_a_restart(api: Any) -> None:
    for name in "abc":
        await api.create(CONFIG_MAPS, {"metadata": {"name": name}})
    revision = await api.store.revision()
    await api.delete(f"{CONFIG_MAPS}/b")
    again = assemble(api.store, api.clock, Settings())
    async with again.hub.running():
        options = ListOptions(resource_version=str(revision), resource_version_match="Exact")
        listing = await read_list(again.resource("", "configmaps"), again.hub, "default", options, ALL)
    assert [item.name for item in listing.items] == ["a", "b", "c"]


async def test_pages_go_on_after_a_restart_as_if_there_had_been_none(api: Any) -> None:
    for name in "abc":
        await api.create(CONFIG_MAPS, {"metadata": {"name": name}})
    page = await api.get(f"{CONFIG_MAPS}?limit=1")
    await api.delete(f"{CONFIG_MAPS}/b")
    again = assemble(api.store, api.clock, Settings())
    async with again.hub.running():
        options = ListOptions(continue_token=page.json["metadata"]["continue"])
        listing = await read_list(again.resource("", "configmaps"), again.hub, "default", options, ALL)
    assert [item.name for item in listing.items] == ["b", "c"]


async def test_readers_of_the_far_future_leave_nothing_behind(api: Any) -> None:
    for _ in range(3):
        reading = asyncio.create_task(api.get(f"{CONFIG_MAPS}?resourceVersion=99999999"))
        await asyncio.sleep(0)
        await api.clock.advance(5)
        assert (await reading).status == 504
    gone = asyncio.create_task(api.get(f"{CONFIG_MAPS}?resourceVersion=99999999"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await asyncio.sleep(0)
    assert not api.api.hub._waiting


async def test_a_namespace_can_be_used_as_soon_as_it_is_stored(api: Any) -> None:
    default = await api.store.get("/registry/namespaces/default")
    stored = default.value.replace(b'"default"', b'"fresh"')
    # The second begins when the first is stored, and before the cache has heard of that.
    _, made = await asyncio.gather(
        api.store.create("/registry/namespaces/fresh", stored),
        api.call("POST", "/api/v1/namespaces/fresh/configmaps", {"metadata": {"name": "x"}}),
    )
    assert made.status == 201, made.body


async def test_a_watch_that_begins_when_the_server_stops_ends_at_once(api: Any) -> None:
    api.api.hub.finish_watchers()
    async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion=0") as stream:
        while (event := await stream.next()) is not None:
            assert event["type"] == "ADDED"


@pytest.mark.parametrize("resource_version", ["", "12345"])
async def test_a_lease_that_was_deleted_is_not_made_anew_by_who_held_it(api: Any, resource_version: str) -> None:
    held = await api.create(LEASES, {"metadata": {"name": "x"}})
    await api.delete(f"{LEASES}/x")
    if resource_version:
        held["metadata"]["resourceVersion"] = resource_version
    reply = await api.put(f"{LEASES}/x", held)
    uid = held["metadata"]["uid"]
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert reply.json["message"].endswith(f"Precondition failed: UID in precondition: {uid}, UID in object meta: ")
    assert (await api.get(f"{LEASES}/x")).status == 404


async def test_an_update_makes_what_is_not_there_whatever_revision_it_names(api: Any) -> None:
    made = await api.put(f"{LEASES}/x", {"metadata": {"name": "x", "resourceVersion": "12345"}})
    assert made.status == 201, made.body
    assert made.json["metadata"]["resourceVersion"] == str(await api.store.revision())


async def test_of_two_updates_that_make_an_object_the_second_updates_it(api: Any) -> None:
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
    role = {"metadata": {"name": "x"}, "rules": []}
    replies = await asyncio.gather(*(api.put(f"{roles}/x", role) for _ in range(2)))
    assert sorted(reply.status for reply in replies) == [200, 201]
