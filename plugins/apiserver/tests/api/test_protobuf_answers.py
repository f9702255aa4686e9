"""Answers in protobuf: the same that JSON tells, for whoever names it first."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from contextlib import AsyncExitStack
from typing import Any

import pytest

from hyperkube_apiserver.handlers import protobufoutput
from hyperkube_machinery.decoding import read_protobuf
from hyperkube_machinery.protobuf import decode_message, open_envelope
from hyperkube_machinery.schema import Schemas

pytestmark = pytest.mark.anyio

PROTOBUF = "application/vnd.kubernetes.protobuf"
PREFERRED = f"{PROTOBUF},application/json"
METADATA = f"{PROTOBUF};as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = f"{PROTOBUF};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
AUTOSCALERS = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
_EVENTS = Schemas.load().table.extended(
    {"event": [("type", "string", 2), ("object", "object", 2)], "object": [("raw", "bytes", 2)]}, numbered=True
)
"""What stands around an object in a stream."""
META = "io.k8s.apimachinery.pkg.apis.meta.v1."


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


def shown(reply: Any) -> Any:
    """What an answer in protobuf tells, as JSON tells it."""
    assert reply.content_type == PROTOBUF, reply.body
    return read_protobuf(reply.body)


def event(data: bytes) -> tuple[str, bytes]:
    """Type and envelope of an event with its length."""
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    tree = decode_message(_EVENTS, "event", data[4:])
    return tree["type"], b64decode(tree["object"]["raw"])


async def names(stream: Any, count: int) -> list[tuple[str, str]]:
    told = []
    for _ in range(count):
        event_type, envelope = event(await stream.next())
        told.append((event_type, read_protobuf(envelope)["metadata"]["name"]))
    return told


async def test_an_object_is_the_same_however_it_is_asked_for(api: Any) -> None:
    created = shown(await api.call("POST", CONFIG_MAPS, config_map("a", x="1"), accept=PREFERRED))
    found = (await api.get(f"{CONFIG_MAPS}/a")).json
    assert created == found
    assert shown(await api.get(f"{CONFIG_MAPS}/a", accept=PROTOBUF)) == found
    merged = shown(await api.merge(f"{CONFIG_MAPS}/a", {"data": {"x": "2"}}, accept=PREFERRED))
    assert merged["data"] == {"x": "2"}
    assert shown(await api.get(f"{CONFIG_MAPS}/a", accept=PROTOBUF)) == merged  # not what was kept of the old one
    replaced = shown(await api.put(f"{CONFIG_MAPS}/a", config_map("a", x="3"), accept=PREFERRED))
    assert replaced["data"] == {"x": "3"}
    assert shown(await api.delete(f"{CONFIG_MAPS}/a", accept=PREFERRED))["status"] == "Success"


async def test_a_list_is_the_same_page_by_page(api: Any) -> None:
    for name in "abc":
        await api.create(CONFIG_MAPS, config_map(name))
    whole = shown(await api.get(CONFIG_MAPS, accept=PREFERRED))
    assert {**whole, "items": [typed(item) for item in whole["items"]]} == typed_list((await api.get(CONFIG_MAPS)).json)
    page = shown(await api.get(f"{CONFIG_MAPS}?limit=2", accept=PREFERRED))
    assert page["metadata"] == (await api.get(f"{CONFIG_MAPS}?limit=2")).json["metadata"]
    assert [item["metadata"]["name"] for item in page["items"]] == ["a", "b"]
    assert shown(await api.get("/api/v1/secrets", accept=PREFERRED))["items"] is None


def typed(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in ("kind", "apiVersion")}


def typed_list(tree: dict[str, Any]) -> dict[str, Any]:
    return {**tree, "items": [typed(item) for item in tree["items"]]}


async def test_a_long_list_gives_way_and_is_whole(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobufoutput, "_A_TURN", 4)
    for index in range(7):
        await api.create(CONFIG_MAPS, config_map(f"m{index}"))
    for _ in range(2):  # made, and kept
        listed = shown(await api.get(CONFIG_MAPS, accept=PREFERRED))
        assert [item["metadata"]["name"] for item in listed["items"]] == [f"m{index}" for index in range(7)]


async def test_a_message_is_made_once_for_all_that_read_an_object(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = protobufoutput.ProtobufOutput._message

    def counted(self: Any, kind: Any, body: bytes) -> bytes:
        made.append(body)
        return make(self, kind, body)

    monkeypatch.setattr(protobufoutput.ProtobufOutput, "_message", counted)
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(api.watch(f"{CONFIG_MAPS}?watch=1", accept=PREFERRED)) for _ in range(5)
        ]
        await api.create(CONFIG_MAPS, config_map("a"))
        for stream in streams:
            assert await names(stream, 1) == [("ADDED", "a")]
        assert len({id(stream.frames[-1]) for stream in streams}) == 1
    for _ in range(2):
        await api.get(f"{CONFIG_MAPS}/a", accept=PREFERRED)
        await api.get(CONFIG_MAPS, accept=PREFERRED)
    assert len(made) == 1


async def test_a_watch_tells_in_messages_what_becomes_of_objects(api: Any) -> None:
    answer = await api.answer("GET", f"{CONFIG_MAPS}?watch=1&allowWatchBookmarks=true", accept=PREFERRED)
    assert answer.content_type == f"{PROTOBUF};stream=watch"
    async with api.streaming(answer) as stream:
        event_type, envelope = event(await stream.next())
        bookmark = read_protobuf(envelope)
        assert (event_type, bookmark["kind"]) == ("BOOKMARK", "ConfigMap")
        assert bookmark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        made = await api.create(CONFIG_MAPS, config_map("a"))
        await api.delete(f"{CONFIG_MAPS}/a")
        assert await names(stream, 1) == [("ADDED", "a")]
        event_type, envelope = event(await stream.next())
        gone = read_protobuf(envelope)["metadata"]
        assert (event_type, gone["uid"]) == ("DELETED", made["metadata"]["uid"])
        assert int(gone["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


async def test_what_ends_a_watch_is_a_message_too(api: Any) -> None:
    path = f"{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    pending = api.answer("GET", f"{path}&resourceVersion=999999", accept=PREFERRED)
    task = asyncio.ensure_future(pending)
    while not task.done():
        await api.clock.advance(1)
    async with api.streaming(task.result()) as stream:
        event_type, envelope = event(await stream.next())
    assert (event_type, read_protobuf(envelope)["reason"]) == ("ERROR", "Timeout")


async def test_metadata_alone_has_a_message(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a", x="1"))
    whole = (await api.get(f"{CONFIG_MAPS}/a")).json
    reply = await api.get(f"{CONFIG_MAPS}/a", accept=METADATA)
    assert reply.content_type == PROTOBUF
    envelope = open_envelope(reply.body)
    assert (envelope.api_version, envelope.kind) == ("meta.k8s.io/v1", "PartialObjectMetadata")
    table = Schemas.load().table.extended({"partial": [("metadata", META + "ObjectMeta", 0)]}, numbered=True)
    assert decode_message(table, "partial", envelope.raw)["metadata"]["uid"] == whole["metadata"]["uid"]
    listed = open_envelope((await api.get(CONFIG_MAPS, accept=METADATA_LIST)).body)
    assert (listed.kind, b"\x12" in listed.raw) == ("PartialObjectMetadataList", True)
    async with api.watch(f"{CONFIG_MAPS}?watch=1", accept=METADATA) as stream:
        _, raw = event(await stream.next())
    assert raw == reply.body
    async with api.watch(f"{CONFIG_MAPS}?watch=1&timeoutSeconds=1", accept=METADATA_LIST) as stream:
        assert stream.frames == []


async def test_a_version_that_is_not_stored_has_its_own_message(api: Any) -> None:
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    spec = {"maxReplicas": 3, "scaleTargetRef": target}
    body = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": spec}
    await api.create(AUTOSCALERS.format("v2"), body)
    for version in ("v1", "v2", "v1"):
        path = AUTOSCALERS.format(version) + "/h"
        assert shown(await api.get(path, accept=PREFERRED)) == (await api.get(path)).json
        assert shown(await api.get(AUTOSCALERS.format(version), accept=PREFERRED))["items"][0]["spec"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api", None),
        ("GET", "/apis", None),
        ("GET", "/apis/apps", None),
        ("GET", "/apis/apps/v1", None),
        ("GET", "/api/v1/componentstatuses", None),
        (
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}},
        ),
    ],
)
async def test_what_is_no_stored_object_has_messages_too(api: Any, method: str, path: str, body: Any) -> None:
    reply = await api.call(method, path, body, accept=PREFERRED)
    assert reply.content_type == PROTOBUF
    envelope = open_envelope(reply.body)
    plain = (await api.call(method, path, body)).json
    assert (envelope.api_version, envelope.kind) == (plain.get("apiVersion", ""), plain["kind"])


async def test_discovery_in_one_document_has_a_message(api: Any) -> None:
    parameters = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    plain = await api.get("/apis", accept=f"application/json;{parameters}")
    reply = await api.get("/apis", accept=f"{PROTOBUF};{parameters},application/json")
    assert reply.content_type == f"{PROTOBUF};{parameters}"
    envelope = open_envelope(reply.body)
    assert (envelope.api_version, envelope.kind) == ("apidiscovery.k8s.io/v2", "APIGroupDiscoveryList")
    assert all(item["metadata"]["name"].encode() in envelope.raw for item in plain.json["items"])
    assert dict(reply.headers)["ETag"] == dict(plain.headers)["ETag"]


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({}, f"{CONFIG_MAPS}/none", 404),
        ({"token": "jane-token"}, CONFIG_MAPS, 403),
        ({"token": "nobody's"}, CONFIG_MAPS, 401),
    ],
)
async def test_a_refusal_is_a_message(api: Any, headers: dict[str, str], path: str, status: int) -> None:
    plain = await api.get(path, **headers)
    reply = await api.get(path, accept=PREFERRED, **headers)
    assert (reply.status, plain.status) == (status, status)
    assert shown(reply) == plain.json


async def test_a_custom_resource_has_no_message_but_its_metadata(api: Any, custom: Any) -> None:
    path = "/apis/example.com/v1/namespaces/default/widgets"
    await custom.define("widgets", "Widget", custom.version(spec={"size": {"type": "integer"}}))
    await api.create(path, custom.made("Widget", "w", spec={"size": 1}))
    assert (await api.get(f"{path}/w", accept=PREFERRED)).content_type == "application/json"
    assert (await api.get(f"{path}/w", accept=f"{PROTOBUF},application/yaml")).content_type == "application/yaml"
    refused = await api.get(f"{path}/w", accept=PROTOBUF)
    assert (refused.status, shown(refused)["reason"]) == (406, "NotAcceptable")
    assert open_envelope((await api.get(f"{path}/w", accept=METADATA)).body).kind == "PartialObjectMetadata"
    missing = await api.get(f"{path}/none", accept=PREFERRED)
    assert shown(missing)["reason"] == "NotFound"
