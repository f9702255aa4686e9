"""Definitions of custom resources come, change and go, and what they define with them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hyperkube_apiserver.definitionstatus import keep_settled

pytestmark = pytest.mark.anyio

WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
SIZE = {"size": {"type": "integer"}}


def told(definition: Any) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in definition["status"]["conditions"] or ()}


@pytest.fixture
async def kept(api: Any) -> Any:
    """The API, in which definitions are settled as they come."""
    keeper = asyncio.create_task(keep_settled(api.api, api.clock))
    await asyncio.sleep(0)
    yield api
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)


async def until(api: Any, path: str, holds: Any) -> Any:
    """What is at `path` once that holds of it."""
    for _ in range(500):
        reply = await api.get(path)
        if holds(reply):
            return reply.json if reply.content_type == "application/json" else None
        await asyncio.sleep(0)
    raise AssertionError(reply.body)


async def test_a_definition_is_served_with_the_write_that_establishes_it(kept: Any, custom: Any) -> None:
    await kept.create(custom.PATH, custom.definition("widgets", "Widget"))
    made = await until(
        kept,
        f"{custom.PATH}/widgets.example.com",
        lambda reply: told(reply.json).get("Established") == ("True", "InitialNamesAccepted"),
    )
    assert made["status"]["acceptedNames"]["listKind"] == "WidgetList"
    assert (await kept.get(WIDGETS)).json["items"] == []


async def test_objects_go_before_their_definition(kept: Any, custom: Any) -> None:
    path = f"{custom.PATH}/widgets.example.com"
    await kept.create(custom.PATH, custom.definition("widgets", "Widget"))
    await until(kept, WIDGETS, lambda reply: reply.status == 200)
    held = custom.made("Widget", "held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await kept.create(WIDGETS, held)
    for number in range(3):
        await kept.create(WIDGETS, custom.made("Widget", f"w{number}"))
    async with kept.watch(f"{WIDGETS}?watch=1&resourceVersion=0") as stream:
        await stream.names(4)
        assert (await kept.delete(path)).json["metadata"]["deletionTimestamp"]
        left = await until(kept, WIDGETS, lambda reply: len(reply.json["items"]) == 1)
        assert left["items"][0]["metadata"]["deletionTimestamp"]
        assert told((await kept.get(path)).json)["Terminating"] == ("True", "InstanceDeletionInProgress")
        verbs = (await kept.get("/apis/example.com/v1")).json["resources"][0]["verbs"]
        assert verbs == ["delete", "deletecollection", "get", "list", "watch"]
        refused = await kept.call("POST", WIDGETS, custom.made("Widget", "new"))
        assert (refused.status, refused.json["message"]) == (
            403,
            'widgets.example.com "new" is forbidden: '
            "create not allowed while custom resource definition is terminating",
        )
        assert (await kept.merge(f"{WIDGETS}/held", {"metadata": {"finalizers": None}})).status == 200
        await until(kept, path, lambda reply: reply.status == 404)
        seen = []
        while (event := await stream.next()) is not None:
            seen.append((event["type"], event["object"]["metadata"]["name"]))
        assert sorted(name for kind, name in seen if kind == "DELETED") == ["held", "w0", "w1", "w2"]
    gone = await kept.get(WIDGETS)
    assert (gone.status, gone.body) == (404, b"404 page not found\n")
    assert not (await kept.store.range("/registry/example.com/")).entries


async def test_what_does_not_go_is_told_of_and_tried_again(kept: Any, custom: Any) -> None:
    path = f"{custom.PATH}/widgets.example.com"
    await kept.create(custom.PATH, custom.definition("widgets", "Widget"))
    await until(kept, WIDGETS, lambda reply: reply.status == 200)
    held = custom.made("Widget", "held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await kept.create(WIDGETS, held)
    await kept.delete(path)
    await until(kept, path, lambda reply: told(reply.json)["Terminating"][1] == "InstanceDeletionInProgress")
    for _ in range(20):
        await asyncio.sleep(0)
    await kept.clock.advance(60)
    found = await until(kept, path, lambda reply: told(reply.json)["Terminating"][1] == "InstanceDeletionCheck")
    (message,) = [one["message"] for one in found["status"]["conditions"] if one["type"] == "Terminating"]
    assert message == "could not confirm zero CustomResources remaining: context deadline exceeded"
    await kept.merge(f"{WIDGETS}/held", {"metadata": {"finalizers": None}})
    await kept.clock.advance(2)
    await until(kept, path, lambda reply: reply.status == 404)


async def test_objects_are_waited_for_though_the_definition_changes_as_it_ends(kept: Any, custom: Any) -> None:
    path = f"{custom.PATH}/widgets.example.com"
    await kept.create(custom.PATH, custom.definition("widgets", "Widget"))
    await until(kept, WIDGETS, lambda reply: reply.status == 200)
    held = custom.made("Widget", "held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await kept.create(WIDGETS, held)
    await kept.delete(path)
    await until(kept, f"{WIDGETS}/held", lambda reply: "deletionTimestamp" in reply.json["metadata"])
    changed = custom.definition("widgets", "Widget", custom.version(spec=SIZE))["spec"]["versions"]
    assert (await kept.merge(path, {"spec": {"versions": changed}})).status == 200
    for _ in range(50):
        assert (await kept.get(f"{WIDGETS}/held")).status == 200
    assert (await kept.merge(path, {"spec": {"names": {"categories": ["all"]}}})).status == 200
    await until(kept, path, lambda reply: reply.json["status"]["acceptedNames"].get("categories") == ["all"])
    assert (await kept.get(path)).json["metadata"]["finalizers"]
    assert (await kept.merge(f"{WIDGETS}/held", {"metadata": {"finalizers": None}})).status == 200
    await until(kept, path, lambda reply: reply.status == 404)
    assert not (await kept.store.range("/registry/example.com/")).entries


async def test_a_definition_that_is_made_again_begins_with_nothing(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget", custom.version(spec=SIZE))
    await api.create(WIDGETS, custom.made("Widget", "w", spec={"size": 1}))
    await api.delete(f"{custom.PATH}/widgets.example.com")
    await custom.settle()
    await custom.define("widgets", "Widget", custom.version(spec={"color": {"type": "string"}}))
    assert (await api.get(WIDGETS)).json["items"] == []
    made = await api.create(WIDGETS, custom.made("Widget", "w", spec={"size": 1, "color": "red"}))
    assert made["spec"] == {"color": "red"}


async def test_names_that_are_refused_are_not_served_until_they_are_free(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget")
    await custom.define("gadgets", "Widget")
    gadgets = WIDGETS.replace("widgets", "gadgets")
    assert (await api.get(gadgets)).status == 404
    await api.delete(f"{custom.PATH}/widgets.example.com")
    await custom.settle()
    assert (await api.get(gadgets)).json["kind"] == "WidgetList"


async def test_a_name_that_is_free_again_is_given_to_who_was_refused_it(kept: Any, custom: Any) -> None:
    gadgets = WIDGETS.replace("widgets", "gadgets")
    await kept.create(custom.PATH, custom.definition("widgets", "Widget"))
    await until(kept, WIDGETS, lambda reply: reply.status == 200)
    await kept.create(custom.PATH, custom.definition("gadgets", "Widget"))
    path = f"{custom.PATH}/gadgets.example.com"
    await until(kept, path, lambda reply: told(reply.json).get("NamesAccepted", ("",))[0] == "False")
    await kept.delete(f"{custom.PATH}/widgets.example.com")
    await until(kept, gadgets, lambda reply: reply.status == 200)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"scope": "Cluster"}, "spec.scope"),
        ({"names": {"plural": "widgets", "kind": "Other"}}, "spec.names.kind"),
        ({"group": "other.com"}, "spec.group"),
    ],
)
async def test_what_is_served_keeps_its_name_and_scope(
    api: Any, custom: Any, change: dict[str, Any], field: str
) -> None:
    await custom.define("widgets", "Widget")
    path = f"{custom.PATH}/widgets.example.com"
    reply = await api.merge(path, {"spec": change})
    assert reply.status == 422
    assert field in [cause["field"] for cause in reply.json["details"]["causes"]]


async def test_a_version_that_objects_may_be_stored_in_must_stay(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget", custom.version("v1"), custom.version("v2", stored=False))
    await custom.redefine("widgets", "Widget", custom.version("v1", stored=False), custom.version("v2"))
    path = f"{custom.PATH}/widgets.example.com"
    found = (await api.get(path)).json
    found["spec"]["versions"] = [custom.version("v2")]
    reply = await api.put(path, found)
    assert (reply.status, reply.json["details"]["causes"][0]["field"]) == (422, "status.storedVersions[0]")
    assert (await api.merge(f"{path}/status", {"status": {"storedVersions": ["v2"]}})).status == 200
    again = (await api.get(path)).json
    again["spec"]["versions"] = [custom.version("v2")]
    assert (await api.put(path, again)).status == 200
    await custom.settle()
    assert (await api.get(WIDGETS)).body == b"404 page not found\n"


async def test_caches_are_filled_when_they_are_asked_for(api: Any, custom: Any) -> None:
    before = len(api.api.hub.caches)
    for number in range(20):
        await custom.define(f"things{number}", f"Thing{number}")
    assert len(api.api.hub.caches) == before
    assert (await api.get(WIDGETS.replace("widgets", "things7"))).status == 200
    assert len(api.api.hub.caches) == before + 1
    await api.delete(f"{custom.PATH}/things7.example.com")
    await custom.settle()
    assert len(api.api.hub.caches) == before


async def test_many_who_ask_at_once_fill_a_cache_once_and_miss_nothing(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget", custom.version(spec=SIZE))
    for number in range(5):
        await api.create(WIDGETS, custom.made("Widget", f"w{number}"))
    await custom.redefine("widgets", "Widget", custom.version(spec={**SIZE, "more": {"type": "string"}}))
    asked = [api.get(WIDGETS) for _ in range(4)]
    made = [api.create(WIDGETS, custom.made("Widget", f"x{number}")) for number in range(4)]
    replies = await asyncio.gather(*asked, *made)
    for reply in replies[:4]:
        assert {f"w{number}" for number in range(5)} <= {one["metadata"]["name"] for one in reply.json["items"]}
    assert len((await api.get(WIDGETS)).json["items"]) == 9


async def test_served_custom_resources_outlive_the_server(api: Any, custom: Any) -> None:
    from hyperkube_apiserver.assembly import Settings, assemble, follow_holdings

    await custom.define("widgets", "Widget", custom.version(spec=SIZE))
    await api.create(WIDGETS, custom.made("Widget", "w", spec={"size": 1}))
    again = assemble(api.store, api.clock, Settings())
    async with again.hub.running():
        follow_holdings(again)
        served = again.resource("example.com", "widgets")
        await served.opened()
        (item,) = served.cache.items()
        assert served.shown(item)["spec"] == {"size": 1}


async def test_a_write_that_is_under_way_outlives_the_definition_it_began_with(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget", custom.version(spec=SIZE))
    await api.create(WIDGETS, custom.made("Widget", "w", spec={"size": 1}))
    served = api.api.resource("example.com", "widgets")
    served.enter()
    await custom.redefine("widgets", "Widget", custom.version(spec={**SIZE, "more": {"type": "string"}}))
    assert (await api.merge(f"{WIDGETS}/w", {"spec": {"size": 2}})).status == 200
    assert served.cache.live
    await api.api.hub.fresh()
    (item,) = served.cache.items()
    assert served.shown(item)["spec"] == {"size": 2}
    served.leave()
    assert not served.cache.live


async def test_a_watch_of_what_is_served_no_longer_ends(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget", custom.version(spec=SIZE))
    await api.create(WIDGETS, custom.made("Widget", "w", spec={"size": 1}))
    begun = await api.answer("GET", f"{WIDGETS}?watch=1")
    await custom.redefine("widgets", "Widget", custom.version(spec={**SIZE, "more": {"type": "string"}}))
    async with api.streaming(begun) as stream:
        assert [await stream.next(), await stream.next()][1] is None


async def test_a_definition_that_changes_while_its_cache_is_filled_is_asked_again(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget", custom.version(spec=SIZE))
    await api.create(WIDGETS, custom.made("Widget", "w", spec={"size": 1}))
    await custom.redefine("widgets", "Widget", custom.version(spec={**SIZE, "more": {"type": "string"}}))
    served = api.api.resource("example.com", "widgets")
    opening = asyncio.create_task(served.opened())
    await asyncio.sleep(0)
    api.api.custom._drop("widgets.example.com")
    await opening
    assert not served.open
    assert (await api.get(WIDGETS)).status == 404
