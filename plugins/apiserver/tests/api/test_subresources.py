"""Parts of objects that are written by themselves: by every kind of patch, and by whom only they are about."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.anyio

JSON, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
PODS, NODES = "/api/v1/namespaces/default/pods", "/api/v1/nodes"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
CONTROLLERS = "/api/v1/namespaces/default/replicationcontrollers"
LABELS = {"app": "a"}
POD_SPEC = {"containers": [{"name": "c", "image": "i:1"}]}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD_SPEC}
OBJECTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    PODS: ("Pod", {"spec": POD_SPEC}),
    NODES: ("Node", {}),
    DEPLOYMENTS: ("Deployment", {"spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}}),
    CONTROLLERS: ("ReplicationController", {"spec": {"selector": LABELS, "template": TEMPLATE, "replicas": 1}}),
}


def condition(kind: str) -> dict[str, str]:
    return {"type": kind, "status": "True"}


def types(reply: Any) -> list[str]:
    assert reply.status == 200, reply.body
    return [one["type"] for one in reply.json["status"]["conditions"]]


async def patch(api: Any, path: str, body: Any, media_type: str) -> Any:
    return await api.call("PATCH", path, body, content_type=media_type)


@pytest.mark.parametrize("path", OBJECTS)
async def test_a_status_takes_every_kind_of_patch_and_leaves_the_rest(api: Any, path: str) -> None:
    kind, body = OBJECTS[path]
    made = await api.create(path, {"metadata": {"name": "a"}, **body})
    status = f"{path}/a/status"
    replaced = [{"op": "add", "path": "/status/conditions", "value": [condition("One")]}]
    assert types(await patch(api, status, replaced, JSON)) == ["One"]
    spoiling = {"spec": {"replicas": 9, "unschedulable": True}, "metadata": {"annotations": {"kept": "yes"}}}
    merged = await patch(api, status, {"status": {"conditions": [condition("Two")]}, **spoiling}, MERGE)
    assert types(merged) == ["Two"]
    assert merged.json["spec"] == made["spec"]
    added = await patch(api, status, {"status": {"conditions": [condition("Three")]}}, STRATEGIC)
    assert sorted(types(added)) == ["Three", "Two"]
    config = {"kind": kind, "apiVersion": made["apiVersion"], "metadata": {"name": "a"}}
    config["status"] = {"conditions": [condition("Four")]}
    applied = await patch(api, f"{status}?fieldManager=me", config, APPLY)
    assert sorted(types(applied)) == ["Four", "Three", "Two"]
    mine = [one for one in applied.json["metadata"]["managedFields"] if one["manager"] == "me"]
    assert [(one["operation"], one["subresource"]) for one in mine] == [("Apply", "status")]
    config["metadata"] = {"name": "none"}
    absent = await patch(api, f"{path}/none/status?fieldManager=me", config, APPLY)
    assert (absent.status, absent.json["reason"]) == (404, "NotFound"), "only whole objects are made by an apply"


@pytest.mark.parametrize("path", [DEPLOYMENTS, CONTROLLERS])
async def test_a_scale_takes_every_kind_of_patch(api: Any, path: str) -> None:
    kind, body = OBJECTS[path]
    await api.create(path, {"metadata": {"name": "a"}, **body})
    scale = f"{path}/a/scale"
    config = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "a"}, "spec": {"replicas": 5}}
    for number, (media_type, query, change) in enumerate(
        (
            (JSON, "", [{"op": "replace", "path": "/spec/replicas", "value": 2}]),
            (MERGE, "", {"spec": {"replicas": 3}}),
            (STRATEGIC, "", {"spec": {"replicas": 4}}),
            (APPLY, "?fieldManager=me&force=true", config),
        ),
        start=2,
    ):
        reply = await patch(api, f"{scale}{query}", change, media_type)
        assert (reply.status, reply.json["spec"]["replicas"]) == (200, number)
        assert reply.json["status"]["selector"] == "app=a"
        assert (await api.get(f"{path}/a")).json["spec"]["replicas"] == number
    config["spec"] = {"replicas": 6}
    other = await patch(api, f"{scale}?fieldManager=you", config, APPLY)
    assert other.json["message"] == (
        'Apply failed with 1 conflict: conflict with "me" with subresource "scale": .spec.replicas'
    )
    wrong = await patch(api, f"{scale}?fieldManager=me", {**config, "kind": kind}, APPLY)
    assert (wrong.status, wrong.json["message"]) == (400, f"invalid object type: autoscaling/v1, Kind={kind}")
    assert (await patch(api, f"{scale}?dryRun=All", {"spec": {"replicas": 9}}, MERGE)).json["spec"]["replicas"] == 9
    negative = await patch(api, scale, {"spec": {"replicas": -1}}, MERGE)
    assert negative.json["message"] == (
        'Scale.autoscaling "a" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    )
    assert (await api.get(f"{path}/a")).json["spec"]["replicas"] == 5


async def test_a_scale_is_of_the_object_that_is_meant(api: Any) -> None:
    made = await api.create(DEPLOYMENTS, {"metadata": {"name": "a"}, **OBJECTS[DEPLOYMENTS][1]})
    scale, uid = f"{DEPLOYMENTS}/a/scale", made["metadata"]["uid"]
    patched = await patch(api, scale, {"metadata": {"uid": "x"}, "spec": {"replicas": 2}}, MERGE)
    assert (patched.status, patched.json["message"]) == (
        409,
        'Operation cannot be fulfilled on deployments/scale.apps "a": '
        f"Precondition failed: UID in precondition: x, UID in object meta: {uid}",
    )
    put = await api.put(scale, {"metadata": {"name": "a", "uid": "x"}, "spec": {"replicas": 2}})
    assert put.status == 409
    assert f"Precondition failed: UID in precondition: x, UID in object meta: {uid}" in put.json["message"]
    stale = await patch(api, scale, {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 2}}, MERGE)
    assert stale.json["message"] == (
        'Operation cannot be fulfilled on deployments.apps "a": '
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    missing = await api.put(f"{DEPLOYMENTS}/b/scale", {"metadata": {"name": "b"}, "spec": {"replicas": 2}})
    assert (missing.status, missing.json["message"]) == (404, 'deployments.apps "b" not found')
    same = await api.put(scale, {"metadata": {"name": "a", "uid": uid}, "spec": {"replicas": 2}})
    assert same.status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "POST", "DELETE"])
@pytest.mark.parametrize("below", ["bogus", "scale/x", "status/x"])
async def test_what_is_not_below_an_object_is_not_found(api: Any, method: str, below: str) -> None:
    await api.create(DEPLOYMENTS, {"metadata": {"name": "a"}, **OBJECTS[DEPLOYMENTS][1]})
    reply = await api.call(method, f"{DEPLOYMENTS}/a/{below}", {}, content_type=MERGE)
    assert (reply.status, reply.json["message"]) == (404, "the server could not find the requested resource")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{DEPLOYMENTS}/a/scale"),
        ("DELETE", f"{DEPLOYMENTS}/a/status"),
        ("GET", "/api/v1/namespaces/default/finalize"),
        ("PATCH", "/api/v1/namespaces/default/finalize"),
        ("GET", "/api/v1/namespaces/default/serviceaccounts/a/token"),
    ],
)
async def test_parts_have_methods_of_their_own(api: Any, method: str, path: str) -> None:
    reply = await api.call(method, path, {} if method != "GET" else None)
    assert (reply.status, reply.json["reason"]) == (405, "MethodNotAllowed")


async def test_finalizers_of_a_namespace_are_taken_by_a_part_of_their_own(api: Any) -> None:
    path = "/api/v1/namespaces/n/finalize"
    await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})

    def asking(*finalizers: str, name: str = "n") -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"finalizers": list(finalizers)}}

    wrong = await api.put(path, asking("bad"))
    assert wrong.json["details"]["causes"][0]["field"] == "spec.finalizers[0]"
    assert (await api.put(path, asking(name="m"))).status == 400
    assert (await api.put("/api/v1/namespaces/none/finalize", asking(name="none"))).status == 404
    assert (await api.put(f"{path}?dryRun=All", asking())).json["spec"] == {}
    assert (await api.put(path, asking("ex.com/f"))).json["spec"]["finalizers"] == ["ex.com/f"]
    await api.delete("/api/v1/namespaces/n")
    gone = await api.put(path, asking())
    assert (gone.status, gone.json["status"]["phase"]) == (200, "Terminating")
    assert (await api.get("/api/v1/namespaces/n")).status == 404


async def test_a_dry_run_issues_a_token_and_stores_nothing(api: Any) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await api.create(accounts, {"metadata": {"name": "sa"}})
    before = await api.store.revision()
    issued = await api.call("POST", f"{accounts}/sa/token?dryRun=All", {"spec": {}})
    assert issued.status == 201
    assert issued.json["status"]["token"].count(".") == 2
    assert (await api.call("POST", f"{accounts}/sa/token?dryRun=Some", {"spec": {}})).status == 422
    assert await api.store.revision() == before


def certificate_request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


@pytest.mark.parametrize("media_type", [JSON, MERGE, STRATEGIC, APPLY])
async def test_an_approval_takes_every_kind_of_patch_and_is_final(api: Any, media_type: str) -> None:
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    spec = {"request": certificate_request(), "signerName": "ex.com/s", "usages": ["client auth"]}
    made = await api.create(path, {"metadata": {"name": "c"}, "spec": spec})
    approved = {"type": "Approved", "status": "True", "reason": "R", "message": "m"}
    about = {"kind": made["kind"], "apiVersion": made["apiVersion"], "metadata": {"name": "c"}}
    bodies: Mapping[str, Any] = {
        JSON: [{"op": "add", "path": "/status/conditions", "value": [approved]}],
        MERGE: {"status": {"conditions": [approved], "certificate": "eA=="}, "spec": {"signerName": "other.com/s"}},
        STRATEGIC: {"status": {"conditions": [approved]}},
        APPLY: {**about, "status": {"conditions": [approved]}},
    }
    query = "fieldManager=me"
    dry = await patch(api, f"{path}/c/approval?{query}&dryRun=All", bodies[media_type], media_type)
    assert types(dry) == ["Approved"]
    assert (await api.get(f"{path}/c/approval")).json["status"] == {}
    reply = await patch(api, f"{path}/c/approval?{query}", bodies[media_type], media_type)
    assert types(reply) == ["Approved"]
    assert reply.json["spec"] == made["spec"]
    assert "certificate" not in reply.json["status"]
    for subresource in ("approval", "status"):
        taken = await patch(api, f"{path}/c/{subresource}", {"status": {"conditions": []}}, MERGE)
        assert taken.json["details"]["causes"][0]["message"] == (
            'Forbidden: updates may not remove a condition of type "Approved"'
        )
