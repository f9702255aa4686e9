"""Numbers and texts at the far end of what may be sent: answered as a client's mistake, never as the server's."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
LONG = "9" * 5000


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"limit={LONG}", 400),
        (f"timeoutSeconds={LONG}", 400),
        (f"resourceVersion={LONG}", 400),
        ("resourceVersion=18446744073709551615&resourceVersionMatch=Exact", 504),
        ("resourceVersion=9223372036854775808&resourceVersionMatch=Exact", 504),
        ("continue=" + "YQ", 400),
    ],
)
async def test_numbers_of_any_length_are_told_from_numbers(api: Any, query: str, status: int) -> None:
    assert (await api.get(f"{CONFIG_MAPS}?{query}")).status == status


async def test_a_resource_version_of_any_length_is_read_in_a_body(api: Any) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "x"}})
    reply = await api.put(f"{CONFIG_MAPS}/x", {"metadata": {"name": "x", "resourceVersion": LONG}})
    assert "value out of range" in reply.json["message"]


@pytest.mark.parametrize("seconds", [2**63 - 1, 10**12])
async def test_a_pod_may_be_given_all_the_time_in_the_world(api: Any, seconds: int) -> None:
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    await api.create(PODS, {"metadata": {"name": "x"}, "spec": spec})
    reply = await api.delete(f"{PODS}/x", {"gracePeriodSeconds": seconds})
    assert reply.status == 200, reply.body
    marked = (await api.get(f"{PODS}/x")).json["metadata"]
    assert (marked["deletionGracePeriodSeconds"], marked["deletionTimestamp"]) == (seconds, "9999-12-31T23:59:59Z")
    sooner = (await api.delete(f"{PODS}/x", {"gracePeriodSeconds": 30})).json["metadata"]
    assert sooner["deletionGracePeriodSeconds"] == 30
    assert sooner["deletionTimestamp"] < "2100"


@pytest.mark.parametrize(
    "body",
    [
        {"gracePeriodSeconds": "x"},
        {"preconditions": []},
        {"preconditions": "x"},
        {"dryRun": "All"},
        {"dryRun": [1]},
        {"kind": 1},
        {"propagationPolicy": 7},
        [],
        "x",
    ],
)
async def test_delete_options_of_wrong_types_are_the_clients_mistake(api: Any, body: Any) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "x"}})
    reply = await api.delete(f"{CONFIG_MAPS}/x", body)
    assert reply.status == 400, reply.body
    assert (await api.get(f"{CONFIG_MAPS}/x")).status == 200


@pytest.mark.parametrize("header", ["impersonate-extra-%ff", "impersonate-extra-a%ed%a0%80"])
async def test_an_identity_that_is_no_text_can_be_told_in_a_refusal(api: Any, header: str) -> None:
    reply = await api.get(CONFIG_MAPS, token="jane-token", **{"impersonate_user": "x", header: "y"})
    assert reply.status == 403


@pytest.mark.parametrize("name", ["a\u0001b", "a\nb", "a\tb", 'a"b\\c', "a\u007fb"])
async def test_pages_go_on_behind_any_name(api: Any, name: str) -> None:
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
    made = [name, "zzz"]
    for one in made:
        await api.create(roles, {"metadata": {"name": one}, "rules": []})
    first = await api.get(f"{roles}?limit=1")
    assert [item["metadata"]["name"] for item in first.json["items"]] == [name]
    token = quote(first.json["metadata"]["continue"])
    second = await api.get(f"{roles}?limit=1&continue={token}")
    assert second.status == 200, second.body
    assert [item["metadata"]["name"] for item in second.json["items"]] == ["zzz"]
