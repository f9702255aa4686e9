"""Creating, replacing and patching: what is filled in, what is refused, and what a write leaves alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


def deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


async def test_a_new_object_gets_what_the_server_owns(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, {"metadata": {"name": "a", "uid": "mine", "creationTimestamp": None}})
    metadata = made["metadata"]
    assert metadata["namespace"] == "default"
    assert metadata["uid"] != "mine"
    assert metadata["creationTimestamp"] == "2023-11-14T22:13:20Z"
    assert made["kind"], made["apiVersion"] == ("ConfigMap", "v1")


async def test_a_generated_name_is_tried_again_when_it_is_taken(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from hyperkube_apiserver.registry import meta

    await api.create(CONFIG_MAPS, config_map("gen-taken"))
    suffixes = iter(["taken", "taken", "free"])
    monkeypatch.setattr(meta, "generate_name", lambda prefix: prefix + next(suffixes))
    made = await api.create(CONFIG_MAPS, {"metadata": {"generateName": "gen-"}})
    assert made["metadata"]["name"] == "gen-free"


async def test_of_many_that_create_one_name_one_succeeds(api: Any) -> None:
    replies = await asyncio.gather(*(api.call("POST", CONFIG_MAPS, config_map("one")) for _ in range(20)))
    assert sorted(reply.status for reply in replies) == [201] + [409] * 19


async def test_of_many_that_increment_with_resource_versions_none_is_lost(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("counter", n="0"))

    async def increment() -> None:
        for _ in range(100):
            current = (await api.get(f"{CONFIG_MAPS}/counter")).json
            current["data"]["n"] = str(int(current["data"]["n"]) + 1)
            if (await api.put(f"{CONFIG_MAPS}/counter", current)).status == 200:
                return
        raise AssertionError("a hundred conflicts in a row")

    await asyncio.gather(*(increment() for _ in range(10)))
    assert (await api.get(f"{CONFIG_MAPS}/counter")).json["data"]["n"] == "10"


async def test_patches_of_different_fields_at_once_all_take_effect(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("shared"))
    patches = ({"data": {f"k{index}": "v"}} for index in range(4))
    replies = await asyncio.gather(*(api.merge(f"{CONFIG_MAPS}/shared", patch) for patch in patches))
    assert [reply.status for reply in replies] == [200] * 4
    assert sorted((await api.get(f"{CONFIG_MAPS}/shared")).json["data"]) == ["k0", "k1", "k2", "k3"]


async def test_a_stale_resource_version_conflicts_and_changes_nothing(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map("a", k="1"))
    await api.merge(f"{CONFIG_MAPS}/a", {"data": {"k": "2"}})
    stale = await api.put(f"{CONFIG_MAPS}/a", {**made, "data": {"k": "3"}})
    assert (stale.status, stale.json["reason"]) == (409, "Conflict")
    assert (await api.get(f"{CONFIG_MAPS}/a")).json["data"] == {"k": "2"}


async def test_another_objects_uid_conflicts(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    other = config_map("a", k="v")
    other["metadata"]["uid"] = "11111111-1111-1111-1111-111111111111"
    reply = await api.put(f"{CONFIG_MAPS}/a", other)
    assert reply.status == 409
    assert "Precondition failed: UID in precondition: 11111111" in reply.json["message"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{CONFIG_MAPS}/absent", config_map("absent"), 404),
        (f"{SERVICES}/made", {"metadata": {"name": "made"}, "spec": {"ports": [{"port": 80}]}}, 201),
    ],
)
async def test_only_some_kinds_are_made_by_a_put(api: Any, path: str, body: Any, status: int) -> None:
    assert (await api.put(path, body)).status == status


async def test_a_put_that_makes_an_object_needs_the_right_to_create(api: Any) -> None:
    rules = [{"apiGroups": [""], "resources": ["services"], "verbs": ["update"]}]
    role = {"metadata": {"name": "r"}, "rules": rules}
    await api.create("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", role)
    binding = {
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await api.create("/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", binding)
    body = {"metadata": {"name": "made"}, "spec": {"ports": [{"port": 80}]}}
    reply = await api.put(f"{SERVICES}/made", body, token="jane-token")
    assert reply.status == 403
    assert 'cannot create resource "services"' in reply.json["message"]


async def test_nothing_is_made_in_a_namespace_that_is_not_there_or_ends(api: Any) -> None:
    missing = await api.call("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("a"))
    assert (missing.status, missing.json["message"]) == (404, 'namespaces "nowhere" not found')
    await api.create("/api/v1/namespaces", {"metadata": {"name": "ending"}})
    await api.delete("/api/v1/namespaces/ending")
    ending = await api.call("POST", "/api/v1/namespaces/ending/configmaps", config_map("a"))
    assert ending.status == 403
    assert ending.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"


async def test_the_generation_counts_changes_of_the_spec_alone(api: Any) -> None:
    await api.create(DEPLOYMENTS, deployment("d"))
    labelled = await api.merge(f"{DEPLOYMENTS}/d", {"metadata": {"labels": {"a": "b"}}})
    scaled = await api.merge(f"{DEPLOYMENTS}/d", {"spec": {"replicas": 3}})
    status = await api.merge(f"{DEPLOYMENTS}/d/status", {"status": {"replicas": 2}, "spec": {"replicas": 9}})
    assert [reply.json["metadata"]["generation"] for reply in (labelled, scaled, status)] == [1, 2, 2]
    assert status.json["spec"]["replicas"] == 3
    assert status.json["status"]["replicas"] == 2
    spoiled = await api.merge(f"{DEPLOYMENTS}/d", {"status": {"replicas": 7}})
    assert spoiled.json["status"]["replicas"] == 2


async def test_a_scale_changes_the_replicas_and_nothing_else(api: Any) -> None:
    await api.create(DEPLOYMENTS, deployment("d"))
    scale = (await api.get(f"{DEPLOYMENTS}/d/scale")).json
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=d")
    scaled = await api.put(f"{DEPLOYMENTS}/d/scale", {**scale, "spec": {"replicas": 5}})
    assert scaled.json["spec"] == {"replicas": 5}
    found = (await api.get(f"{DEPLOYMENTS}/d")).json
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (5, 2)
    stale = await api.put(f"{DEPLOYMENTS}/d/scale", {**scale, "spec": {"replicas": 6}})
    assert stale.status == 409


async def test_a_scale_is_a_table_too(api: Any) -> None:
    await api.create(DEPLOYMENTS, deployment("d"))
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = (await api.get(f"{DEPLOYMENTS}/d/scale", **accept)).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    (row,) = table["rows"]
    assert row["cells"][:3] == ["d", 1, 0]
    assert row["object"]["kind"] == "PartialObjectMetadata"


async def test_a_dry_run_answers_like_the_write_and_writes_nothing(api: Any) -> None:
    before = await api.store.revision()
    made = await api.call("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("dry", k="v"))
    assert made.status == 201
    assert made.json["data"] == {"k": "v"}
    assert "resourceVersion" not in made.json["metadata"]
    assert await api.store.revision() == before
    await api.create(CONFIG_MAPS, config_map("wet"))
    patched = await api.merge(f"{CONFIG_MAPS}/wet?dryRun=All", {"data": {"k": "v"}})
    assert patched.json["data"] == {"k": "v"}
    deleted = await api.delete(f"{CONFIG_MAPS}/wet?dryRun=All")
    assert deleted.json["status"] == "Success"
    assert "data" not in (await api.get(f"{CONFIG_MAPS}/wet")).json
    refused = await api.call("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("wet"))
    assert refused.status == 409


async def test_a_version_of_what_is_to_be_made_disturbs_only_the_store(api: Any) -> None:
    body = config_map("versioned")
    body["metadata"]["resourceVersion"] = "7"
    assert (await api.call("POST", f"{CONFIG_MAPS}?dryRun=All", body)).status == 201
    refused = await api.call("POST", CONFIG_MAPS, body)
    assert refused.json["message"] == "resourceVersion should not be set on objects to be created"


async def test_an_address_reserved_by_a_dry_run_is_free_again(api: Any) -> None:
    body: dict[str, Any] = {"metadata": {"name": "s"}, "spec": {"clusterIP": "10.0.0.77", "ports": [{"port": 80}]}}
    assert (await api.call("POST", f"{SERVICES}?dryRun=All", body)).status == 201
    assert (await api.call("POST", SERVICES, body)).status == 201
    body["metadata"]["name"] = "t"
    taken = await api.call("POST", SERVICES, body)
    assert taken.status == 422
    assert "provided IP is already allocated" in taken.json["message"]
    await api.delete(f"{SERVICES}/s")
    assert (await api.call("POST", SERVICES, body)).status == 201


@pytest.mark.parametrize(
    ("validation", "status", "warned"), [("Strict", 400, False), ("Warn", 201, True), ("Ignore", 201, False)]
)
async def test_unknown_fields_are_refused_warned_of_or_ignored(
    api: Any, validation: str, status: int, warned: bool
) -> None:
    body = b'{"metadata": {"name": "a"}, "data": {"k": "1"}, "bogus": 1, "data": {"k": "2"}}'
    reply = await api.call("POST", f"{CONFIG_MAPS}?fieldValidation={validation}", body)
    assert reply.status == status
    if status == 400:
        assert 'unknown field "bogus"' in reply.json["message"]
        assert 'duplicate field "data"' in reply.json["message"]
    expected = ['299 - "unknown field \\"bogus\\""', '299 - "duplicate field \\"data\\""']
    assert reply.warnings == (expected if warned else [])
    if status == 201:
        assert reply.json["data"] == {"k": "2"}
        assert "bogus" not in reply.json


async def test_yaml_is_taken_and_given(api: Any) -> None:
    text = b"metadata:\n  name: text\ndata:\n  when: '2020-01-01'\n"
    made = await api.call("POST", CONFIG_MAPS, text, content_type="application/yaml", accept="application/yaml")
    assert (made.status, made.content_type) == (201, "application/yaml")
    assert b'when: "2020-01-01"' in made.body


async def test_events_are_forgotten_after_their_time(api: Any) -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}, "reason": "R", "message": "m"}
    await api.create("/api/v1/namespaces/default/events", event)
    async with api.watch("/api/v1/namespaces/default/events?watch=1&timeoutSeconds=7200") as stream:
        assert await stream.names(1) == [("ADDED", "e")]
        await api.clock.advance(3700)
        assert await stream.names(1) == [("DELETED", "e")]
    assert (await api.get("/api/v1/namespaces/default/events/e")).status == 404


async def test_kinds_that_say_so_are_only_changed_as_of_a_version(api: Any) -> None:
    classes = "/apis/node.k8s.io/v1/runtimeclasses"
    made = {"metadata": {"name": "c"}, "handler": "h"}
    await api.create(classes, made)
    refused = await api.put(f"{classes}/c", made)
    assert refused.status == 422
    assert refused.json["details"]["causes"] == [
        {
            "reason": "FieldValueInvalid",
            "message": "Invalid value: 0: must be specified for an update",
            "field": "metadata.resourceVersion",
        }
    ]
