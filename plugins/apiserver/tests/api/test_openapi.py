"""OpenAPI as clients ask for it: index, hashes, encodings, and what they need not fetch again."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hyperkube_apiserver.openapi.documents import Documents

pytestmark = pytest.mark.anyio

APPS = "/openapi/v3/apis/apps/v1"
PROTOBUF_2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
PROTOBUF_3 = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"


def header(reply: Any, name: str) -> str:
    return ", ".join(value for key, value in reply.headers if key == name)


async def test_the_index_leads_to_documents_by_their_hashes(api: Any) -> None:
    index = await api.get("/openapi/v3")
    assert index.status == 200
    assert index.content_type == "text/plain; charset=utf-8"
    address = urlsplit(index.json["paths"]["apis/apps/v1"]["serverRelativeURL"])
    assert address.path == APPS
    (tag,) = parse_qs(address.query)["hash"]
    document = await api.get(f"{APPS}?hash={tag}")
    assert document.status == 200
    assert header(document, "ETag") == f'"{tag}"'
    assert header(document, "Cache-Control") == "public, immutable"
    assert header(document, "Expires")
    assert document.json["openapi"] == "3.0.0"
    assert "io.k8s.api.apps.v1.Deployment" in document.json["components"]["schemas"]


async def test_every_document_of_the_index_is_there(api: Any) -> None:
    for name, told in (await api.get("/openapi/v3")).json["paths"].items():
        document = await api.get(told["serverRelativeURL"])
        assert document.status == 200, name
        assert document.json["paths"], name


async def test_an_old_hash_leads_to_the_new_one(api: Any) -> None:
    reply = await api.get(f"{APPS}?hash=OLD")
    assert reply.status == 301
    assert reply.body == b""
    current = (await api.get("/openapi/v3")).json["paths"]["apis/apps/v1"]["serverRelativeURL"]
    assert header(reply, "Location") == current


async def test_without_a_hash_clients_ask_again_each_time(api: Any) -> None:
    reply = await api.get(APPS)
    assert header(reply, "Cache-Control") == "no-cache, private"
    assert header(reply, "Expires") == ""
    assert header(reply, "Vary") == "Accept"


@pytest.mark.parametrize("path", ["/openapi/v2", APPS])
async def test_who_has_the_document_gets_nothing(api: Any, path: str) -> None:
    tag = header(await api.get(path), "ETag")
    for held in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await api.get(path, if_none_match=held)
        assert (again.status, again.body) == (304, b""), held
        assert header(again, "ETag") == tag
    assert (await api.get(path, if_none_match='"other"')).status == 200


async def test_who_has_it_since_it_was_made_gets_nothing(api: Any) -> None:
    since = header(await api.get(APPS), "Last-Modified")
    assert (await api.get(APPS, if_modified_since=since)).status == 304
    assert (await api.get(APPS, if_modified_since="Thu, 01 Jan 1970 00:00:00 GMT")).status == 200
    assert (await api.get(APPS, if_modified_since=since, if_none_match='"other"')).status == 200, "tags go first"


@pytest.mark.parametrize(
    ("path", "accept", "content_type"),
    [
        ("/openapi/v2", "", "application/json"),
        ("/openapi/v2", "application/json", "application/json"),
        ("/openapi/v2", PROTOBUF_2, PROTOBUF_2.replace("@", ".")),
        ("/openapi/v2", PROTOBUF_2.replace("@", "."), PROTOBUF_2.replace("@", ".")),
        ("/openapi/v2", f"{PROTOBUF_2}, application/json;q=0.5", PROTOBUF_2.replace("@", ".")),
        ("/openapi/v2", "application/yaml, */*;q=0.1", "application/json"),
        (APPS, PROTOBUF_3, PROTOBUF_3.replace("@", ".")),
        (APPS, "application/*", "application/json"),
    ],
)
async def test_the_encoding_is_what_is_accepted(api: Any, path: str, accept: str, content_type: str) -> None:
    reply = await api.get(path, accept=accept)
    assert (reply.status, reply.content_type) == (200, content_type)
    assert reply.body.startswith(b"{") == (content_type == "application/json")


@pytest.mark.parametrize("path", ["/openapi/v2", APPS])
@pytest.mark.parametrize("accept", ["application/yaml", "text/html", PROTOBUF_2.replace("v2", "v1")])
async def test_what_is_not_made_is_not_acceptable(api: Any, path: str, accept: str) -> None:
    reply = await api.get(path, accept=accept)
    assert (reply.status, reply.body) == (406, b"")


async def test_the_encodings_of_one_document_share_its_tag(api: Any) -> None:
    plain, protobuf = await api.get(APPS), await api.get(APPS, accept=PROTOBUF_3)
    assert header(plain, "ETag") == header(protobuf, "ETag")


async def test_gzip_is_for_those_who_take_it(api: Any) -> None:
    plain, packed = await api.get("/openapi/v2"), await api.get("/openapi/v2", accept_encoding="gzip, deflate")
    assert header(plain, "Content-Encoding") == ""
    assert header(packed, "Content-Encoding") == "gzip"
    assert header(packed, "Vary") == "Accept, Accept-Encoding"
    assert json.loads(gzip.decompress(packed.body)) == plain.json
    assert len(packed.body) * 5 < len(plain.body)


@pytest.mark.parametrize("path", [f"{APPS}/", "/openapi/v3/", "/openapi/v3/apis/none/v1", "/openapi/v3/v2"])
async def test_there_is_nothing_else_below_version_3(api: Any, path: str) -> None:
    reply = await api.get(path)
    assert (reply.status, reply.body) == (404, b"")


@pytest.mark.parametrize("path", ["/openapi", "/openapi/v2/", "/openapi/v4"])
async def test_beside_it_nothing_is_served(api: Any, path: str) -> None:
    reply = await api.get(path)
    assert (reply.status, reply.body) == (404, b"404 page not found\n")


async def test_the_root_tells_where_it_is(api: Any) -> None:
    paths = (await api.get("/")).json["paths"]
    assert {"/openapi/v2", "/openapi/v3", "/openapi/v3/"} <= set(paths)


async def test_what_operations_tell_is_what_can_be_done(api: Any) -> None:
    """Nothing is told of a verb that the resource lacks, and nothing that it has is left out."""
    actions = {"post": "create", "put": "update", "watchlist": "watch"}
    told: dict[str, set[str]] = {}
    for path, item in (await api.get("/openapi/v3/api/v1")).json["paths"].items():
        parts = path.removeprefix("/api/v1/").removeprefix("watch/").split("/")
        if parts[0] == "namespaces" and len(parts) > 2 and parts[1] == "{namespace}":
            parts = parts[2:]
        name = "/".join(part for part in parts if not part.startswith("{"))
        for operation in item.values():
            if "x-kubernetes-action" in operation:
                action = operation["x-kubernetes-action"]
                told.setdefault(name, set()).add(actions.get(action, action))
    for resource in (await api.get("/api/v1")).json["resources"]:
        if not resource["kind"].endswith("Options"):
            assert told[resource["name"]] == set(resource["verbs"]), resource["name"]


async def test_many_who_ask_at_once_have_a_document_made_once(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    packed = Documents.packed

    def counted(self: Documents, name: str, *, protobuf: bool) -> bytes:
        made.append(name)
        return packed(self, name, protobuf=protobuf)

    monkeypatch.setattr(Documents, "packed", counted)
    replies = await asyncio.gather(*(api.get(APPS) for _ in range(5)))
    assert made == ["apis/apps/v1"]
    assert len({reply.body for reply in replies}) == 1


async def test_others_are_answered_while_a_document_is_made(api: Any) -> None:
    making = asyncio.ensure_future(api.get("/openapi/v2"))
    answered = 0
    while not making.done():
        assert (await api.get("/version")).status == 200
        answered += 1
        await asyncio.sleep(0)
    assert (await making).status == 200
    assert answered > 50


async def test_who_leaves_early_spoils_nothing_for_others(api: Any) -> None:
    leaving = asyncio.ensure_future(api.get("/openapi/v2"))
    await asyncio.sleep(0)
    staying = asyncio.ensure_future(api.get("/openapi/v2"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).status == 200


def test_a_server_that_nobody_asks_loads_nothing_for_it() -> None:
    program = "import sys, hyperkube_apiserver.server; print('hyperkube_apiserver.openapi.documents' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout == "False\n"


async def test_documents_follow_the_definitions_of_custom_resources(api: Any, custom: Any) -> None:
    path, name = "/openapi/v3/apis/example.com/v1", "com.example.v1.Widget"
    before = (await api.get("/openapi/v3")).json["paths"]
    assert "apis/example.com/v1" not in before
    await custom.define("widgets", "Widget", custom.version(spec={"size": {"type": "integer"}}))
    after = (await api.get("/openapi/v3")).json["paths"]
    assert {key: after[key] for key in before} == before
    document = (await api.get(path)).json
    assert document["components"]["schemas"][name]["properties"]["spec"]["properties"] == {"size": {"type": "integer"}}
    assert name in (await api.get("/openapi/v2")).json["definitions"]
    change = {"spec": {"versions": [custom.version(spec={"color": {"type": "string"}})]}}
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
    reply = await api.call("PATCH", definition, change, content_type="application/merge-patch+json")
    assert reply.status == 200
    changed = (await api.get(path)).json["components"]["schemas"][name]
    assert changed["properties"]["spec"]["properties"] == {"color": {"type": "string"}}
