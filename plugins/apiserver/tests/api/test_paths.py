"""Paths that must not lead past authorization, nor to what no path leads to."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

NAMESPACES = "/api/v1/namespaces"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def grant(api: Any, rule: dict[str, Any], namespace: str = "default") -> None:
    """Let jane do what `rule` says in `namespace`, and nothing beyond it."""
    where = f"{RBAC}/namespaces/{namespace}"
    await api.create(f"{where}/roles", {"metadata": {"name": "some"}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "some"}
    subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
    await api.create(
        f"{where}/rolebindings", {"metadata": {"name": "some"}, "roleRef": reference, "subjects": [subject]}
    )


async def test_rights_in_one_namespace_do_not_reach_another_through_its_path(api: Any) -> None:
    await grant(api, {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
    through = f"{NAMESPACES}/default/namespaces"
    for method, path, body in (
        ("GET", f"{through}/kube-system", None),
        ("GET", through, None),
        ("GET", f"{through}/default", None),
        ("PUT", f"{through}/kube-public", {"metadata": {"name": "kube-public", "labels": {"taken": "over"}}}),
        ("PUT", f"{through}/kube-public/finalize", {"metadata": {"name": "kube-public"}}),
        ("POST", through, {"metadata": {"name": "made"}}),
        ("DELETE", f"{through}/kube-node-lease", None),
    ):
        reply = await api.call(method, path, body, token="jane-token")
        assert reply.status == 404, (method, path, reply.body)
    assert (await api.get(f"{NAMESPACES}/default", token="jane-token")).status == 200


async def test_a_right_to_watch_one_object_by_its_path_shows_no_other(api: Any) -> None:
    secrets = f"{NAMESPACES}/default/secrets"
    await grant(api, {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"], "verbs": ["watch"]})
    for name in ("another", "mine"):
        await api.create(secrets, {"metadata": {"name": name}})
    async with api.watch("/api/v1/watch/namespaces/default/secrets/mine", token="jane-token") as stream:
        assert await stream.names(1) == [("ADDED", "mine")]
        await api.merge(f"{secrets}/another", {"data": {"a": "YQ=="}})
        await api.merge(f"{secrets}/mine", {"data": {"a": "YQ=="}})
        assert await stream.names(1) == [("MODIFIED", "mine")]


async def test_a_namespace_is_watched_by_its_path(api: Any) -> None:
    async with api.watch("/api/v1/watch/namespaces/default") as stream:
        assert await stream.names(1) == [("ADDED", "default")]
        await api.merge(f"{NAMESPACES}/kube-public", {"metadata": {"labels": {"a": "b"}}})
        await api.merge(f"{NAMESPACES}/default", {"metadata": {"labels": {"a": "b"}}})
        assert await stream.names(1) == [("MODIFIED", "default")]


async def test_a_field_selector_must_mean_the_object_that_is_watched_by_its_path(api: Any) -> None:
    path = "/api/v1/watch/namespaces/default/secrets/mine"
    other = await api.get(f"{path}?fieldSelector=metadata.name%3Dother")
    assert (other.status, other.json["message"]) == (400, "fieldSelector metadata.name doesn't match requested name")
    assert (await api.get(f"{path}?fieldSelector=type%3DOpaque")).status == 400
    async with api.watch(f"{path}?fieldSelector=metadata.name%3Dmine") as stream:
        await api.create(f"{NAMESPACES}/default/secrets", {"metadata": {"name": "mine"}})
        assert await stream.names(1) == [("ADDED", "mine")]


async def test_nothing_is_served_below_an_object_that_is_watched_by_its_path(api: Any) -> None:
    assert (await api.get("/api/v1/watch/namespaces/default/pods/a/status")).status == 404


async def test_a_name_in_a_selector_counts_as_the_lister_would_read_it(api: Any) -> None:
    await grant(api, {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["list"]})
    for name in ("another", "mine"):
        await api.create(f"{NAMESPACES}/default/configmaps", {"metadata": {"name": name}})
    path = f"{NAMESPACES}/default/configmaps?fieldSelector="
    mine = await api.get(f"{path}metadata.name%3Dmine", token="jane-token")
    assert [item["metadata"]["name"] for item in mine.json["items"]] == ["mine"]
    for selector in ("metadata.name!%3Dmine", "metadata.name%3D%3D%3Dmine", "a%3Db%5C,metadata.name%3Dmine", ""):
        reply = await api.get(f"{path}{selector}", token="jane-token")
        assert reply.status in (400, 403), selector
