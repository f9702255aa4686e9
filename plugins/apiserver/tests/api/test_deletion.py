"""Deleting: at once, gracefully, after finalizers, with preconditions, and whole collections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, **metadata}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec}}


async def test_a_plain_object_goes_at_once_and_a_status_tells_which_it_was(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    reply = await api.delete(f"{CONFIG_MAPS}/a")
    assert reply.json["status"] == "Success"
    assert reply.json["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (await api.get(f"{CONFIG_MAPS}/a")).status == 404
    assert (await api.delete(f"{CONFIG_MAPS}/a")).status == 404


async def test_finalizers_keep_an_object_until_the_last_is_gone(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a", finalizers=["ex.com/one", "ex.com/two"]))
    marked = await api.delete(f"{CONFIG_MAPS}/a")
    assert marked.json["metadata"]["deletionTimestamp"]
    added = await api.merge(f"{CONFIG_MAPS}/a", {"metadata": {"finalizers": ["ex.com/one", "ex.com/new"]}})
    assert added.status == 422
    taken = await api.call("POST", CONFIG_MAPS, config_map("a"))
    assert taken.json["message"].startswith("object is being deleted: ")
    await api.merge(f"{CONFIG_MAPS}/a", {"metadata": {"finalizers": ["ex.com/two"]}})
    assert (await api.get(f"{CONFIG_MAPS}/a")).status == 200
    last = await api.merge(f"{CONFIG_MAPS}/a", {"metadata": {"finalizers": None}})
    assert last.status == 200
    assert (await api.get(f"{CONFIG_MAPS}/a")).status == 404


async def test_a_bound_pod_is_given_its_grace_which_can_only_shrink(api: Any) -> None:
    await api.create(PODS, pod("p", nodeName="n1"))
    assert (await api.delete(f"{PODS}/p")).json["metadata"]["deletionGracePeriodSeconds"] == 30
    longer = await api.delete(f"{PODS}/p?gracePeriodSeconds=60")
    assert longer.json["metadata"]["deletionGracePeriodSeconds"] == 30
    shorter = await api.delete(f"{PODS}/p?gracePeriodSeconds=5")
    assert shorter.json["metadata"]["deletionGracePeriodSeconds"] == 5
    forced = await api.delete(f"{PODS}/p", {"gracePeriodSeconds": 0})
    assert forced.json["kind"] == "Pod"
    assert (await api.get(f"{PODS}/p")).status == 404


async def test_an_unbound_pod_goes_at_once(api: Any) -> None:
    await api.create(PODS, pod("p"))
    reply = await api.delete(f"{PODS}/p")
    assert (reply.json["kind"], reply.json["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 0)
    assert (await api.get(f"{PODS}/p")).status == 404


@pytest.mark.parametrize("precondition", [{"uid": "00000000-0000-0000-0000-000000000000"}, {"resourceVersion": "1"}])
async def test_a_precondition_that_fails_leaves_the_object(api: Any, precondition: dict[str, str]) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    reply = await api.delete(f"{CONFIG_MAPS}/a", {"preconditions": precondition})
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert (await api.get(f"{CONFIG_MAPS}/a")).status == 200


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
async def test_what_the_garbage_collector_has_to_see_to_is_left_as_a_finalizer(
    api: Any, policy: str, finalizer: str
) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    marked = await api.delete(f"{CONFIG_MAPS}/a?propagationPolicy={policy}")
    assert marked.json["metadata"]["finalizers"] == [finalizer]
    gone = await api.delete(f"{CONFIG_MAPS}/a?propagationPolicy=Background")
    assert gone.json["status"] == "Success"


async def test_a_collection_is_deleted_as_far_as_it_is_selected(api: Any) -> None:
    for name, app in (("a", "x"), ("b", "y"), ("c", "x")):
        await api.create(CONFIG_MAPS, config_map(name, labels={"app": app}))
    reply = await api.delete(f"{CONFIG_MAPS}?labelSelector=app%3Dx")
    assert [item["metadata"]["name"] for item in reply.json["items"]] == ["a", "c"]
    left = (await api.get(CONFIG_MAPS)).json["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


async def test_a_namespace_ends_when_its_finalizers_are_taken_from_it(api: Any) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    ending = await api.delete("/api/v1/namespaces/n")
    assert ending.json["status"] == {"phase": "Terminating"}
    ignored = await api.merge("/api/v1/namespaces/n", {"spec": {"finalizers": []}})
    assert ignored.json["spec"]["finalizers"] == ["kubernetes"]
    finalized = await api.put("/api/v1/namespaces/n/finalize", {"metadata": {"name": "n"}, "spec": {"finalizers": []}})
    assert finalized.status == 200
    assert (await api.get("/api/v1/namespaces/n")).status == 404


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_namespaces_that_everything_needs_are_not_deleted(api: Any, name: str) -> None:
    reply = await api.delete(f"/api/v1/namespaces/{name}")
    assert reply.status == 403
    assert "this namespace may not be deleted" in reply.json["message"]


@pytest.mark.parametrize(
    ("query", "body", "status", "word"),
    [
        ("?propagationPolicy=Bogus", None, 422, "propagationPolicy"),
        ("?gracePeriodSeconds=x", None, 400, "strconv.ParseInt"),
        ("", {"dryRun": ["Some"]}, 422, "dryRun"),
        ("", {"propagationPolicy": "Orphan", "orphanDependents": True}, 422, "cannot be both set"),
        ("", {"kind": "ConfigMap", "apiVersion": "v1"}, 400, 'no kind "ConfigMap" is registered'),
        ("", b"{bad", 400, "invalid character"),
    ],
)
async def test_bad_options_are_named_and_delete_nothing(
    api: Any, query: str, body: Any, status: int, word: str
) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    reply = await api.delete(f"{CONFIG_MAPS}/a{query}", body)
    assert reply.status == status
    assert word in reply.json["message"]
    assert (await api.get(f"{CONFIG_MAPS}/a")).status == 200


async def test_a_service_takes_its_endpoints_along(api: Any) -> None:
    services, endpoints = "/api/v1/namespaces/default/services", "/api/v1/namespaces/default/endpoints"
    await api.create(services, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    await api.create(endpoints, {"metadata": {"name": "s"}})
    await api.delete(f"{services}/s?dryRun=All")
    assert (await api.get(f"{endpoints}/s")).status == 200
    await api.delete(f"{services}/s")
    assert (await api.get(f"{endpoints}/s")).status == 404


@pytest.mark.parametrize(
    ("options", "finalizers"),
    [
        ({"propagationPolicy": "Orphan"}, ["ex.com/f", "orphan"]),
        ({"propagationPolicy": "Foreground"}, ["ex.com/f", "foregroundDeletion"]),
        ({"orphanDependents": False}, ["ex.com/f", "foregroundDeletion"]),
        ({"propagationPolicy": "Background"}, ["ex.com/f"]),
        ({}, ["ex.com/f"]),
    ],
)
async def test_a_namespace_is_marked_as_it_was_asked_and_then_left_alone(
    api: Any, options: dict[str, Any], finalizers: list[str]
) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "n", "finalizers": ["ex.com/f"]}})
    marked = await api.delete("/api/v1/namespaces/n", options)
    assert marked.json["metadata"].get("finalizers") == finalizers
    again = await api.delete("/api/v1/namespaces/n", {"propagationPolicy": "Orphan"})
    assert again.json == marked.json


@pytest.mark.parametrize(
    ("field", "word"),
    [("uid", "UID in precondition: x, UID"), ("resourceVersion", "ResourceVersion in precondition: x")],
)
async def test_a_namespace_has_its_own_words_for_a_precondition(api: Any, field: str, word: str) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    reply = await api.delete("/api/v1/namespaces/n", {"preconditions": {field: "x"}})
    assert (reply.status, reply.json["details"]["kind"]) == (409, "namespaces")
    assert f'on namespaces "n": Precondition failed: {word}' in reply.json["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{bad", "couldn't get version/kind; json parse error: invalid character 'b'"),
        (b"[1]", "couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type"),
        (b'{"gracePeriodSeconds":"x"}', "cannot unmarshal string into Go struct field"),
    ],
)
async def test_options_that_cannot_be_read_are_told_why(api: Any, body: bytes, message: str) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    for path in (f"{CONFIG_MAPS}/a", CONFIG_MAPS):
        reply = await api.delete(path, body)
        assert reply.status == 400
        assert message in reply.json["message"]
    assert (await api.get(f"{CONFIG_MAPS}/a")).status == 200
    assert (await api.delete(f"{CONFIG_MAPS}/a", b"null")).status == 200


async def test_options_in_a_body_are_the_only_ones(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    kept = await api.delete(f"{CONFIG_MAPS}/a?propagationPolicy=Orphan", {"dryRun": ["All"]})
    assert kept.json["status"] == "Success"
    gone = await api.delete(f"{CONFIG_MAPS}/a?dryRun=All", {"kind": "DeleteOptions", "apiVersion": "apps/v1"})
    assert gone.json["status"] == "Success"
    assert (await api.get(f"{CONFIG_MAPS}/a")).status == 404


async def test_a_collection_is_deleted_as_far_as_its_limit(api: Any) -> None:
    for name in "abcde":
        await api.create(CONFIG_MAPS, config_map(name))
    first = await api.delete(f"{CONFIG_MAPS}?limit=2")
    assert [item["metadata"]["name"] for item in first.json["items"]] == ["a", "b"]
    assert first.json["metadata"]["remainingItemCount"] == 3
    token = first.json["metadata"]["continue"]
    rest = await api.delete(f"{CONFIG_MAPS}?limit=2&continue={token}")
    assert [item["metadata"]["name"] for item in rest.json["items"]] == ["c", "d"]
    named = await api.delete(f"{CONFIG_MAPS}?fieldSelector=metadata.name%3De")
    assert [item["metadata"]["name"] for item in named.json["items"]] == ["e"]
    assert (await api.get(CONFIG_MAPS)).json["items"] == []


async def test_a_collection_as_it_was_is_deleted_as_far_as_it_is_left(api: Any) -> None:
    for name in "ab":
        await api.create(CONFIG_MAPS, config_map(name))
    then = (await api.get(CONFIG_MAPS)).json["metadata"]["resourceVersion"]
    await api.delete(f"{CONFIG_MAPS}/a")
    await api.create(CONFIG_MAPS, config_map("c"))
    gone = await api.delete(f"{CONFIG_MAPS}?resourceVersion={then}")
    assert [item["metadata"]["name"] for item in gone.json["items"]] == ["a", "b"]
    assert "continue" not in gone.json["metadata"]
    assert [item["metadata"]["name"] for item in (await api.get(CONFIG_MAPS)).json["items"]] == ["c"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"propagationPolicy": "Foreground"},
        {"propagationPolicy": "Orphan"},
        {"gracePeriodSeconds": 5},
        {"gracePeriodSeconds": 0},
    ],
)
@pytest.mark.parametrize("path", [CONFIG_MAPS, PODS])
async def test_a_dry_run_answers_as_the_deletion_and_changes_nothing(
    api: Any, path: str, options: dict[str, Any]
) -> None:
    body = pod("a", nodeName="n1") if path == PODS else config_map("a")
    await api.create(path, body)
    before = await api.store.revision()
    dry = await api.delete(f"{path}/a", {**options, "dryRun": ["All"]})
    collection = await api.delete(path, {**options, "dryRun": ["All"]})
    assert [item["metadata"]["name"] for item in collection.json["items"]] == ["a"]
    assert await api.store.revision() == before
    wet = await api.delete(f"{path}/a", options)
    assert (dry.status, without_version(dry.json)) == (wet.status, without_version(wet.json))


def without_version(reply: dict[str, Any]) -> dict[str, Any]:
    return {**reply, "metadata": {**reply["metadata"], "resourceVersion": ""}}


async def test_of_finalizers_and_deletions_at_once_one_ends_the_object(api: Any) -> None:
    for _ in range(20):
        await api.create(CONFIG_MAPS, config_map("a", finalizers=["ex.com/one", "ex.com/two"]))
        json_patch = "application/json-patch+json"
        removal = [{"op": "remove", "path": "/metadata/finalizers/0"}]
        replies = await asyncio.gather(
            api.delete(f"{CONFIG_MAPS}/a"),
            api.call("PATCH", f"{CONFIG_MAPS}/a", removal, content_type=json_patch),
            api.delete(f"{CONFIG_MAPS}/a"),
            api.call("PATCH", f"{CONFIG_MAPS}/a", removal, content_type=json_patch),
        )
        assert {reply.status for reply in replies} <= {200, 404}
        assert (await api.get(f"{CONFIG_MAPS}/a")).status == 404


async def test_a_precondition_holds_for_each_of_a_collection(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a"))
    await api.create(CONFIG_MAPS, config_map("b"))
    reply = await api.delete(CONFIG_MAPS, {"preconditions": {"uid": made["metadata"]["uid"]}})
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert [item["metadata"]["name"] for item in (await api.get(CONFIG_MAPS)).json["items"]] == ["b"]
