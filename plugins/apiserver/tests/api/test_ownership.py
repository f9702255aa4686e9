"""Owners of fields as clients see them: recorded by every write, and asked for by applies."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
APPLY = "application/apply-patch+yaml"


def config_map(name: str = "a", **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


def pod(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    whole = {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": whole}


async def apply(api: Any, path: str, config: Any, manager: str = "me", query: str = "") -> Any:
    return await api.call("PATCH", f"{path}?fieldManager={manager}{query}", config, content_type=APPLY)


def owners(tree: Any) -> list[tuple[str, str, str]]:
    """Manager, operation and subresource of each entry."""
    entries = tree["metadata"].get("managedFields", ())
    return [(one["manager"], one["operation"], one.get("subresource", "")) for one in entries]


def sets(tree: Any) -> dict[str, Any]:
    return {one["manager"]: one["fieldsV1"] for one in tree["metadata"].get("managedFields", ())}


async def test_every_write_is_recorded_for_its_manager_or_its_user_agent(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map(a="1"), user_agent="kubectl/v1.33 (linux/amd64)")
    assert owners(made) == [("kubectl", "Update", "")]
    assert made["metadata"]["managedFields"][0]["time"] == "2023-11-14T22:13:20Z"
    path = f"{CONFIG_MAPS}/a"
    put = await api.put(f"{path}?fieldManager=putter", config_map(a="1", b="2"))
    assert sets(put.json) == {
        "kubectl": {"f:data": {".": {}, "f:a": {}}},
        "putter": {"f:data": {"f:b": {}}},
    }
    patched = await api.merge(path, {"data": {"a": "3", "b": None}}, user_agent="x\u0001y/1")
    assert sets(patched.json) == {"kubectl": {"f:data": {}}, "xy": {"f:data": {"f:a": {}}}}
    nameless = await api.merge(path, {"data": {"c": "3"}})
    assert ("unknown", "Update", "") in owners(nameless.json)


async def test_what_admission_and_the_server_add_is_owned_by_nobody(api: Any) -> None:
    made = await api.create(PODS, pod("p"), user_agent="me/1")
    fields = sets(made)["me"]
    assert fields.keys() == {"f:spec"}
    assert "f:tolerations" not in fields["f:spec"]  # DefaultTolerationSeconds added them
    assert fields["f:spec"]["f:containers"] == {
        'k:{"name":"c"}': {
            ".": {},
            "f:image": {},
            "f:imagePullPolicy": {},
            "f:name": {},
            "f:resources": {},
            "f:terminationMessagePath": {},
            "f:terminationMessagePolicy": {},
        }
    }


async def test_a_status_has_owners_of_its_own(api: Any) -> None:
    await api.create(PODS, pod("p"), user_agent="me/1")
    status = {"status": {"phase": "Running"}, "spec": {"priority": 5}}
    told = await api.merge(f"{PODS}/p/status?fieldManager=kubelet", status)
    assert owners(told.json) == [("kubelet", "Update", "status"), ("me", "Update", "")]
    assert sets(told.json)["kubelet"] == {"f:status": {"f:phase": {}}}


async def test_a_binding_is_owned_by_nobody(api: Any) -> None:
    await api.create(PODS, pod("p"), user_agent="me/1")
    await api.create(f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})
    bound = (await api.get(f"{PODS}/p")).json
    assert bound["spec"]["nodeName"] == "n"
    assert owners(bound) == [("me", "Update", "")]


async def test_a_write_that_changes_no_field_is_none_whoever_makes_it(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map(a="1"), user_agent="me/1")
    await api.clock.advance(60)
    for body in (made, config_map(a="1")):
        again = await api.put(f"{CONFIG_MAPS}/a?fieldManager=other", body)
        assert again.json["metadata"] == made["metadata"]


async def test_what_a_client_leaves_out_of_the_owners_it_sends_back_is_not_lost(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map(a="1"), user_agent="me/1")
    del made["metadata"]["managedFields"]
    put = await api.put(f"{CONFIG_MAPS}/a?fieldManager=other", {**made, "data": {"a": "1", "b": "1"}})
    assert owners(put.json) == [("me", "Update", ""), ("other", "Update", "")]


@pytest.mark.parametrize("reset", [[], [{}]])
async def test_owners_can_be_cleared(api: Any, reset: Any) -> None:
    await api.create(CONFIG_MAPS, config_map(a="1"), user_agent="me/1")
    cleared = await api.merge(f"{CONFIG_MAPS}/a", {"metadata": {"managedFields": reset}})
    assert "managedFields" not in cleared.json["metadata"]
    patch = [{"op": "add", "path": "/data/b", "value": "2"}]
    more = await api.call("PATCH", f"{CONFIG_MAPS}/a", patch, content_type="application/json-patch+json")
    assert "managedFields" not in more.json["metadata"]
    assert owners((await apply(api, f"{CONFIG_MAPS}/a", config_map(a="1"))).json) == [
        ("me", "Apply", ""),
        ("before-first-apply", "Update", ""),
    ]


async def test_a_json_patch_of_owners_changes_them_and_nothing_that_others_see(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, config_map(a="1"), user_agent="me/1")
    path = "/metadata/managedFields/0/manager"
    patch = [{"op": "replace", "path": path, "value": "you"}]
    call = ("PATCH", f"{CONFIG_MAPS}/a?dryRun=All", patch)
    dry = await api.call(*call, content_type="application/json-patch+json")
    assert owners(dry.json) == [("you", "Update", "")]
    assert (await api.get(f"{CONFIG_MAPS}/a")).json == made


async def test_an_apply_makes_what_is_not_there(api: Any) -> None:
    made = await apply(api, f"{CONFIG_MAPS}/a", config_map(a="1"))
    assert made.status == 201
    assert owners(made.json) == [("me", "Apply", "")]
    again = await apply(api, f"{CONFIG_MAPS}/a", config_map(a="1"))
    assert (again.status, again.json) == (200, made.json)
    dry = await apply(api, f"{CONFIG_MAPS}/b", config_map("b"), query="&dryRun=All")
    assert dry.status == 201
    assert (await api.get(f"{CONFIG_MAPS}/b")).status == 404
    assert (await apply(api, f"{PODS}/p/status", {"apiVersion": "v1", "kind": "Pod"})).status == 404


async def test_an_apply_is_for_somebody_and_only_it_can_be_forced(api: Any) -> None:
    reply = await api.call("PATCH", f"{CONFIG_MAPS}/a", config_map(), content_type=APPLY)
    assert (reply.status, reply.json["message"]) == (
        422,
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    )
    await api.create(CONFIG_MAPS, config_map())
    forced = await api.merge(f"{CONFIG_MAPS}/a?force=true", {})
    assert "force: Forbidden: may not be specified for non-apply patch" in forced.json["message"]
    cbor = await api.call("PATCH", f"{CONFIG_MAPS}/a", b"{}", content_type="application/apply-patch+cbor")
    assert cbor.status == 415


async def test_conflicts_are_refused_and_forced(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map(a="1"), user_agent="other/1")
    refused = await apply(api, f"{CONFIG_MAPS}/a", config_map(a="2"))
    assert (refused.status, refused.json["reason"]) == (409, "Conflict")
    assert refused.json["message"] == ('Apply failed with 1 conflict: conflict with "other" using v1: .data.a')
    forced = await apply(api, f"{CONFIG_MAPS}/a", config_map(a="2"), query="&force=true")
    assert forced.json["data"] == {"a": "2"}


async def test_configurations_come_as_yaml(api: Any) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  a: '1'\n  a: '2'\n  a: '2'\n"
    made = await api.call("PATCH", f"{CONFIG_MAPS}/a?fieldManager=me", text, content_type=APPLY)
    assert (made.status, made.json["data"]) == (201, {"a": "2"})
    assert made.warnings == [f'299 - "line {line}: key \\"a\\" already set in map"' for line in (7, 8)]
    query = "?fieldManager=me&fieldValidation=Strict"
    strict = await api.call("PATCH", f"{CONFIG_MAPS}/a{query}", text, content_type=APPLY)
    assert strict.status == 400
    assert strict.json["message"].startswith("error strict decoding YAML: error converting YAML to JSON: yaml: ")
    none = await api.call("PATCH", f"{CONFIG_MAPS}/a{query}", b"[1]", content_type=APPLY)
    assert none.json["message"] == (
        "error decoding YAML: error unmarshaling JSON: while decoding JSON: "
        "json: cannot unmarshal array into Go value of type map[string]interface {}"
    )


async def test_an_unknown_field_is_an_error_of_the_server(api: Any) -> None:
    reply = await apply(api, f"{CONFIG_MAPS}/a", {**config_map(), "foo": 1}, query="&fieldValidation=Ignore")
    assert reply.status == 500
    assert reply.json["message"] == (
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .foo: field not declared in schema"
    )


async def test_an_apply_names_the_object_of_its_path(api: Any) -> None:
    other = await apply(api, f"{CONFIG_MAPS}/b", config_map("a"))
    assert other.status == 400
    uid = {**config_map(), "metadata": {"name": "a", "uid": "u"}}
    gone = await apply(api, f"{CONFIG_MAPS}/a", uid)
    assert (gone.status, gone.json["message"]) == (
        409,
        'Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object specified uid u, '
        "and no existing object was found",
    )


async def test_an_apply_is_defaulted_and_checked_like_any_other_write(api: Any) -> None:
    made = await apply(api, f"{DEPLOYMENTS}/d", deployment())
    assert (made.status, made.json["spec"]["replicas"]) == (201, 1)
    wrong = await apply(api, f"{DEPLOYMENTS}/d", deployment(replicas=-1))
    assert (wrong.status, wrong.json["reason"]) == (422, "Invalid")
    missing = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "e"}, "spec": {}}
    assert (await apply(api, f"{DEPLOYMENTS}/e", missing)).status == 422


async def test_who_may_only_patch_can_not_make_an_object_by_applying(api: Any) -> None:
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch", "get"]}]
    await api.create(f"{roles}/roles", {"metadata": {"name": "patcher"}, "rules": rules})
    binding = {
        "metadata": {"name": "patcher"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "patcher"},
        "subjects": [{"kind": "User", "name": "jane"}],
    }
    await api.create(f"{roles}/rolebindings", binding)
    path = f"{CONFIG_MAPS}/a?fieldManager=me"
    refused = await api.call("PATCH", path, config_map(), content_type=APPLY, token="jane-token")
    assert refused.status == 403
    await api.create(CONFIG_MAPS, config_map())
    taken = await api.call("PATCH", path, config_map(a="1"), content_type=APPLY, token="jane-token")
    assert (taken.status, taken.json["data"]) == (200, {"a": "1"})


async def test_a_status_can_be_applied(api: Any) -> None:
    await api.create(DEPLOYMENTS, deployment(), user_agent="me/1")
    condition = {"type": "Available", "status": "True"}
    config = {**deployment(), "status": {"replicas": 3, "conditions": [condition]}}
    told = await apply(api, f"{DEPLOYMENTS}/d/status", config, manager="controller")
    assert told.status == 200
    assert sets(told.json)["controller"]["f:status"]["f:conditions"] == {
        'k:{"type":"Available"}': {".": {}, "f:status": {}, "f:type": {}}
    }
    assert ("controller", "Apply", "status") in owners(told.json)
    assert "f:spec" not in sets(told.json)["controller"]


async def test_scales_and_workloads_share_the_owner_of_the_replicas(api: Any) -> None:
    await apply(api, f"{DEPLOYMENTS}/d", deployment(replicas=2), manager="applier")
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 5}}
    refused = await apply(api, f"{DEPLOYMENTS}/d/scale", scale, manager="scaler")
    assert refused.json["message"] == 'Apply failed with 1 conflict: conflict with "applier": .spec.replicas'
    scaled = await apply(api, f"{DEPLOYMENTS}/d/scale", scale, manager="scaler", query="&force=true")
    assert (scaled.status, scaled.json["spec"]) == (200, {"replicas": 5})
    now = (await api.get(f"{DEPLOYMENTS}/d")).json
    assert now["spec"]["replicas"] == 5
    assert ("scaler", "Apply", "scale") in owners(now)
    assert "f:replicas" not in sets(now)["applier"]["f:spec"]
    put = await api.put(f"{DEPLOYMENTS}/d/scale?fieldManager=putter", {**scale, "spec": {"replicas": 6}})
    assert put.status == 200
    assert ("putter", "Update", "scale") in owners((await api.get(f"{DEPLOYMENTS}/d")).json)


async def test_what_the_server_itself_writes_is_its_own(api: Any) -> None:
    namespace = (await api.get("/api/v1/namespaces/default")).json
    assert owners(namespace) == [("kube-apiserver", "Update", "")]


async def test_an_object_too_large_for_its_owners_is_stored_without_them(api: Any) -> None:
    data = {f"{index:06}": "" for index in range(125_000)}
    made = await api.create(CONFIG_MAPS, config_map(**data))
    assert len(made["data"]) == 125_000
    assert "managedFields" not in made["metadata"]


async def test_versions_of_one_kind_know_each_others_owners(api: Any) -> None:
    v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
    v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    config = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
    }
    made = await apply(api, f"{v1}/h", config, manager="old")
    assert made.status == 201, made.json
    assert sets(made.json)["old"]["f:spec"].keys() == {
        "f:scaleTargetRef",
        "f:maxReplicas",
        "f:targetCPUUtilizationPercentage",
    }
    config2 = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 5},
    }
    refused = await apply(api, f"{v2}/h", config2, manager="new")
    assert refused.json["message"] == 'Apply failed with 1 conflict: conflict with "old": .spec.maxReplicas'
    forced = await apply(api, f"{v2}/h", config2, manager="new", query="&force=true")
    assert "f:maxReplicas" not in sets(forced.json)["old"]["f:spec"]
    assert [one["apiVersion"] for one in forced.json["metadata"]["managedFields"]] == [
        "autoscaling/v2",
        "autoscaling/v1",
    ]


async def test_an_owner_reference_that_comes_twice_is_kept_once_and_warned_of(api: Any) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    body = {**config_map(), "metadata": {"name": "a", "ownerReferences": [owner, {**owner, "name": "q"}, owner]}}
    made = await api.call("POST", CONFIG_MAPS, body)
    assert len(made.json["metadata"]["ownerReferences"]) == 2
    (warning,) = made.warnings
    assert warning.startswith('299 - ".metadata.ownerReferences contains duplicate entries; API server dedups owner')
    assert warning.endswith('duplicate UID(s) observed: u"')
    patched = await api.merge(f"{CONFIG_MAPS}/a", {"metadata": {"ownerReferences": [owner, owner]}})
    assert patched.json["metadata"]["ownerReferences"] == [owner]
    assert "contains duplicate entries after mutating admission happens; " in patched.warnings[0]


@pytest.mark.parametrize(
    ("made_by_admission", "kept", "warned"),
    [
        ([{"manager": "x", "operation": "Patch"}], "me", True),
        ([{"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1"}], "x", False),
        (None, None, False),
    ],
)
async def test_admission_may_change_owners_but_not_spoil_them(
    api: Any, monkeypatch: pytest.MonkeyPatch, made_by_admission: Any, kept: str | None, warned: bool
) -> None:
    registry = api.api.resource("", "configmaps").registry
    admit = type(registry.admission).admit

    async def meddle(admission: Any, attributes: Any) -> None:
        await admit(admission, attributes)
        if attributes.name == "a":
            attributes.obj["metadata"]["managedFields"] = made_by_admission

    monkeypatch.setattr(type(registry.admission), "admit", meddle)
    made = await api.call("POST", CONFIG_MAPS, config_map(a="1"), user_agent="me/1")
    assert [owner for owner, _, _ in owners(made.json)] == ([kept] if kept else [])
    assert bool(made.warnings) == warned
    assert all(".metadata.managedFields was in an invalid state after admission" in text for text in made.warnings)


async def test_the_first_update_of_what_reading_completes_is_a_write(api: Any) -> None:
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = await api.create(claims, {"metadata": {"name": "c"}, "spec": spec})
    dry = await api.put(f"{claims}/c?dryRun=All", made)
    assert dry.json["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    first = (await api.put(f"{claims}/c", made)).json
    assert first["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    second = (await api.put(f"{claims}/c", first)).json
    assert second == first


@pytest.mark.parametrize("subresource", ["resize", "ephemeralcontainers"])
async def test_what_a_narrow_subresource_was_sent_is_owned_though_it_is_kept_as_it_was(
    api: Any, subresource: str
) -> None:
    """Upstream's strategies say which fields these may change, but their storages don't pass that on."""
    path = "/api/v1/namespaces/default/pods"
    made = await api.create(path, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a:1"}]}})
    reply = await api.merge(f"{path}/p/{subresource}", {"spec": {"activeDeadlineSeconds": 4}})
    assert reply.status == 200, reply.body
    assert "activeDeadlineSeconds" not in reply.json["spec"]
    assert reply.json["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    (mine,) = (entry for entry in reply.json["metadata"]["managedFields"] if entry.get("subresource"))
    assert (mine["subresource"], mine["fieldsV1"]) == (subresource, {"f:spec": {"f:activeDeadlineSeconds": {}}})


async def test_a_refused_patch_shows_owners_in_the_order_of_their_fields(api: Any) -> None:
    made = await api.create(CONFIG_MAPS, {**config_map(c="1", b="2", a="3"), "binaryData": {"z": "eA=="}})
    assert list(sets(made)["unknown"]) != ["f:binaryData", "f:data"], "what is stored is in no order"
    reply = await api.merge(f"{CONFIG_MAPS}/a", {"data": "x"})
    assert reply.status == 422
    shown = '{"f:binaryData":{".":{},"f:z":{}},"f:data":{".":{},"f:a":{},"f:b":{},"f:c":{}}}'
    assert json.dumps(shown)[1:-1] in reply.json["message"]
