"""Discovery in the form that is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.anyio

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (AGGREGATED.format("v2"), "v2"),
        (f"{AGGREGATED.format('v2')},{AGGREGATED.format('v2beta1')},application/json", "v2"),
        (f"{AGGREGATED.format('v2beta1')},application/json", ""),  # kubectl before 1.30
        (f"{AGGREGATED.format('v2beta1')},{AGGREGATED.format('v2')}", "v2"),
        (f"application/json;q=0.5,{AGGREGATED.format('v2')}", "v2"),
        (f"{AGGREGATED.format('v2')};q=0.5,application/json", ""),
        (f"{AGGREGATED.format('v3')},application/json", ""),
        ("application/json", ""),
        ("", ""),
    ],
)
async def test_the_roots_answer_what_is_wanted_most(api: Any, accept: str, version: str) -> None:
    reply = await api.get("/apis", accept=accept)
    assert reply.status == 200
    if version:
        assert reply.json["apiVersion"] == f"apidiscovery.k8s.io/{version}"
        assert reply.content_type == AGGREGATED.format(version)
    else:
        assert reply.json["kind"] == "APIGroupList"
        assert reply.content_type == "application/json"


@pytest.mark.parametrize("path", ["/api", "/apis", "/apis/apps", "/apis/apps/v1", "/api/v1"])
async def test_discovery_is_told_in_yaml_too(api: Any, path: str) -> None:
    reply = await api.get(path, accept="application/yaml")
    assert reply.content_type == "application/yaml"
    assert yaml.safe_load(reply.body) == (await api.get(path)).json


@pytest.mark.parametrize("path", ["/apis", "/apis/apps", "/apis/apps/v1"])
async def test_what_is_not_made_is_refused(api: Any, path: str) -> None:
    reply = await api.get(path, accept="text/html")
    assert reply.status == 406
    assert reply.json["reason"] == "NotAcceptable"


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/apis/apps/v1", AGGREGATED.format("v2")),  # which is for the roots alone
        ("/apis", AGGREGATED.format("v2beta1")),
        ("/apis/apps", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
    ],
)
async def test_a_form_that_there_is_not_is_refused(api: Any, path: str, accept: str) -> None:
    reply = await api.get(path, accept=accept)
    assert reply.status == 406
    assert reply.json["message"].startswith("only the following media types are accepted: application/json")


async def test_a_group_prefers_the_version_that_comes_first(api: Any) -> None:
    for group in (await api.get("/apis")).json["groups"]:
        assert group["preferredVersion"] == group["versions"][0]
        told = (await api.get(f"/apis/{group['name']}")).json
        assert told == {"kind": "APIGroup", "apiVersion": "v1", **group}


async def test_what_the_roots_tell_together_is_what_each_version_tells(api: Any) -> None:
    found = {}
    for path in ("/api", "/apis"):
        for item in (await api.get(path, accept=AGGREGATED.format("v2"))).json["items"]:
            for version in item["versions"]:
                group = item["metadata"].get("name", "")
                found[group, version["version"]] = {one["resource"]: one for one in version["resources"]}
    for (group, version), resources in found.items():
        told = (await api.get(f"/apis/{group}/{version}" if group else f"/api/{version}")).json["resources"]
        assert [one["name"] for one in told if "/" not in one["name"]] == list(resources)
        for one in told:
            name, _, subresource = one["name"].partition("/")
            if subresource:
                assert subresource in [other["subresource"] for other in resources[name]["subresources"]]
            else:
                assert one["verbs"] == resources[name]["verbs"]
                assert one.get("shortNames") == resources[name].get("shortNames")
