"""What every request meets: identity, rights, paths, methods, representations and the dress of answers."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_machinery.storage.interface import Unavailable

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def test_a_bad_token_is_401_and_no_token_is_anonymous(api: Any) -> None:
    bad = await api.get(CONFIG_MAPS, token="guess")
    assert (bad.status, bad.json["reason"]) == (401, "Unauthorized")
    anonymous = await api.get(CONFIG_MAPS, token="")
    assert anonymous.status == 403
    assert 'User "system:anonymous" cannot list resource "configmaps"' in anonymous.json["message"]


async def test_rights_follow_the_roles_as_they_are_written(api: Any) -> None:
    assert (await api.get(CONFIG_MAPS, token="jane-token")).status == 403
    binding = {
        "metadata": {"name": "jane-views"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "name": "developers", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    await api.create(bindings, binding)
    assert (await api.get(CONFIG_MAPS, token="jane-token")).status == 200
    assert (await api.get("/api/v1/configmaps", token="jane-token")).status == 403
    await api.delete(f"{bindings}/jane-views")
    assert (await api.get(CONFIG_MAPS, token="jane-token")).status == 403


async def test_acting_as_somebody_else_is_a_right_of_its_own(api: Any) -> None:
    admin = await api.get(CONFIG_MAPS, impersonate_user="jane")
    assert admin.status == 403
    assert 'User "jane" cannot list' in admin.json["message"]
    jane = await api.get(CONFIG_MAPS, token="jane-token", impersonate_user="admin")
    assert "cannot impersonate" in jane.json["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/apis/none", 404),
        ("GET", "/api/v2", 404),
        ("GET", "/api/v1/bogus", 404),
        ("GET", "/api/v1/pods/a", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", f"{CONFIG_MAPS}//a", 404),
        ("GET", f"{CONFIG_MAPS}/a/status", 404),
        ("POST", "/api/v1/configmaps", 405),
        ("DELETE", "/api/v1/configmaps", 405),
        ("PUT", CONFIG_MAPS, 405),
        ("POST", f"{CONFIG_MAPS}/a", 405),
        ("HEAD", CONFIG_MAPS, 405),
        ("OPTIONS", CONFIG_MAPS, 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("GET", "/api/v1/namespaces/default/finalize", 405),
        ("POST", "/apis/apps/v1", 405),
        ("POST", "/healthz-is-not-here", 404),
        ("DELETE", "/apis", 200),
        ("DELETE", "/api", 405),
        ("POST", "/apis/apps", 200),
        ("POST", "/apis/apiregistration.k8s.io", 405),
        ("PUT", "/api/v1", 405),
        ("POST", "/version", 405),
        ("PATCH", "/openapi/v2", 200),
    ],
)
async def test_paths_and_methods_that_are_not_served(api: Any, method: str, path: str, status: int) -> None:
    assert (await api.call(method, path)).status == status


async def test_a_path_that_is_no_resource_is_answered_in_plain_text(api: Any) -> None:
    reply = await api.get("/nowhere")
    assert (reply.content_type, reply.body) == ("text/plain; charset=utf-8", b"404 page not found\n")


async def test_the_query_and_the_client_decide_whether_json_is_indented(api: Any) -> None:
    plain = await api.get("/version")
    asked = await api.get("/version?pretty=true")
    curl = await api.get("/version", user_agent="curl/8.0")
    refused = await api.get("/version?pretty=false", user_agent="curl/8.0")
    assert plain.body == refused.body
    assert asked.body == curl.body == json.dumps(plain.json, indent=2).encode() + b"\n"


@pytest.mark.parametrize(
    ("accept", "status"), [("application/xml", 406), ("text/plain,application/json", 200), ("*/*", 200)]
)
async def test_only_known_representations_are_given(api: Any, accept: str, status: int) -> None:
    assert (await api.get(CONFIG_MAPS, accept=accept)).status == status


async def test_discovery_tells_the_same_in_one_answer_as_in_many(api: Any) -> None:
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    told: dict[str, set[str]] = {}
    for root in ("/api", "/apis"):
        for group in (await api.get(root, accept=f"{aggregated},application/json")).json["items"]:
            for version in group["versions"]:
                name = group["metadata"].get("name", "")
                path = f"/apis/{name}/{version['version']}" if name else f"/api/{version['version']}"
                told[path] = {
                    name
                    for resource in version["resources"]
                    for name in (
                        resource["resource"],
                        *(f"{resource['resource']}/{sub['subresource']}" for sub in resource.get("subresources", ())),
                    )
                }
    assert len(told) == len({key[:2] for key in load_kinds()})
    for path, names in told.items():
        assert {resource["name"] for resource in (await api.get(path)).json["resources"]} == names


async def test_discovery_that_has_not_changed_is_not_sent_again(api: Any) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    first = await api.get("/apis", accept=accept)
    tag = dict(first.headers)["ETag"]
    again = await api.get("/apis", accept=accept, if_none_match=tag)
    assert (again.status, again.body) == (304, b"")


async def test_every_path_in_the_index_is_served(api: Any) -> None:
    for path in (await api.get("/")).json["paths"]:
        below = path == "/openapi/v3/"  # what is served is below it; alone it names no document, upstream neither
        assert (await api.get(path)).status == (404 if below else 200), path


async def test_a_body_of_an_unknown_type_is_415(api: Any) -> None:
    reply = await api.call("POST", CONFIG_MAPS, b"<a/>", content_type="application/xml")
    assert (reply.status, reply.json["reason"]) == (415, "UnsupportedMediaType")
    patch = await api.call("PATCH", f"{CONFIG_MAPS}/a", b"{}", content_type="application/json")
    assert patch.status == 415


async def test_deprecated_kinds_warn_on_every_request(api: Any) -> None:
    reply = await api.get("/api/v1/namespaces/default/endpoints")
    assert reply.warnings == ['299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"']


async def test_the_export_of_old_is_refused(api: Any) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert (await api.get(f"{CONFIG_MAPS}/a?export=false")).status == 200
    reply = await api.get(f"{CONFIG_MAPS}/a?export=true")
    assert (reply.status, "no longer supported" in reply.json["message"]) == (400, True)


async def test_a_client_may_ask_for_less_time_than_there_is(api: Any) -> None:
    path = f"{CONFIG_MAPS}?resourceVersion=999999&resourceVersionMatch=NotOlderThan"  # waits for three seconds
    pending = asyncio.create_task(api.get(f"{path}&timeout=2s"))
    await api.clock.until_sleeping(2)
    await api.clock.advance(2.5)
    assert ((await pending).status, (await pending).json["reason"]) == (504, "Timeout")
    nonsense = await api.get(f"{CONFIG_MAPS}?timeout=soon")
    assert nonsense.status == 400
    assert 'invalid duration "soon"' in nonsense.json["message"]


async def test_a_store_that_cannot_write_is_told_in_its_own_words(
    api: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*args: Any, **kwargs: Any) -> None:
        raise Unavailable("the disk is full; nothing was written")

    monkeypatch.setattr(api.store, "create", full)
    reply = await api.call("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert (reply.status, reply.json["reason"]) == (500, "InternalError")
    assert "the disk is full; nothing was written" in reply.json["message"]
    assert [record.exc_info for record in caplog.records] == [None]


async def test_requests_are_told_of_from_verbosity_3_on(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    await api.get(CONFIG_MAPS)
    assert not caplog.records
    with caplog.at_level(logging.INFO - 3, logger="hyperkube_apiserver.operations"):
        await api.get(f"{CONFIG_MAPS}?limit=1", user_agent="me/1")
        await api.get(CONFIG_MAPS, token="guess")
    told = [vars(record) for record in caplog.records]
    assert [(one["verb"], one["URI"], one["resp"]) for one in told] == [
        ("LIST", f"{CONFIG_MAPS}?limit=1", 200),
        ("LIST", CONFIG_MAPS, 401),
    ]
    assert (told[0]["userAgent"], told[0]["srcIP"]) == ("me/1", "127.0.0.1")
    assert "guess" not in caplog.text
