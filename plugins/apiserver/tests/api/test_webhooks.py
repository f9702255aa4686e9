"""Admission by webhooks, from the configuration to what a client is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from hyperkube_apiserver.admission import AdmissionSettings
from hyperkube_apiserver.admissionplugins import chosen
from hyperkube_apiserver.assembly import Settings
from hyperkube_machinery.serving.exposition import exposition

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/{}webhookconfigurations"
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
EVERYTHING = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
CONFIG_MAPS = {
    "operations": ["CREATE", "UPDATE"],
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["configmaps"],
}


def config_map(name: str = "one", **fields: Any) -> Tree:
    return {"metadata": {"name": name, **fields.pop("metadata", {})}, **fields}


def webhook(hook: Any, name: str = "one.example.com", **fields: Any) -> Tree:
    return {
        "name": name,
        "clientConfig": hook.at(),
        "rules": [CONFIG_MAPS],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **fields,
    }


async def configure(api: Any, kind: str, *hooks: Tree, name: str = "tests") -> None:
    await api.create(CONFIGURATIONS.format(kind), {"metadata": {"name": name}, "webhooks": list(hooks)})


def answering(**response: Any) -> Callable[[Tree], Tree]:
    def answer(review: Tree) -> Tree:
        told = {"uid": review["request"]["uid"], "allowed": True, **response}
        return {"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": told}

    return answer


def patching(*operations: Tree) -> Callable[[Tree], Tree]:
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    return answering(patch=patch, patchType="JSONPatch")


def labelling(label: str, value: str = "yes") -> Tree:
    return {"op": "add", "path": "/metadata/labels", "value": {label: value}}


@pytest.mark.parametrize("kind", ["validating", "mutating"])
async def test_a_webhook_has_no_more_time_than_the_request_has_left(api: Any, hook: Any, kind: str) -> None:
    hook.answers = answering()
    await configure(api, kind, webhook(hook))
    for asked in ("7500ms", "0s", "11s"):
        await api.create(f"{MAPS}?timeout={asked}", config_map(f"within-{asked}"))
    assert [first for first, *_ in hook.asked] == [f"POST /?timeout={told} HTTP/1.1" for told in ("8s", "10s", "10s")]
    assert (await api.call("DELETE", f"{MAPS}/within-0s?timeout=soon")).status == 400


async def test_a_validating_webhook_is_asked_with_the_whole_request(api: Any, hook: Any) -> None:
    hook.answers = answering()
    await configure(api, "validating", webhook(hook, clientConfig=hook.at("/check")))
    await api.create(f"{MAPS}?fieldManager=me&fieldValidation=Strict", config_map(data={"a": "b"}))
    first, _, review = hook.asked[0]
    assert first == "POST /check?timeout=10s HTTP/1.1"
    request = review["request"]
    obj = request.pop("object")
    assert (obj["data"], obj["kind"]) == ({"a": "b"}, "ConfigMap")
    assert obj["metadata"]["uid"]
    assert len(request.pop("uid")) == 36
    kind, resource = {"group": "", "version": "v1", "kind": "ConfigMap"}, {"group": "", "version": "v1"}
    assert request == {
        "kind": kind,
        "resource": {**resource, "resource": "configmaps"},
        "requestKind": kind,
        "requestResource": {**resource, "resource": "configmaps"},
        "name": "one",
        "namespace": "default",
        "operation": "CREATE",
        "userInfo": {"username": "admin", "uid": "1", "groups": ["system:masters", "system:authenticated"]},
        "oldObject": None,
        "dryRun": False,
        "options": {
            "kind": "CreateOptions",
            "apiVersion": "meta.k8s.io/v1",
            "fieldManager": "me",
            "fieldValidation": "Strict",
        },
    }


async def test_an_update_shows_what_is_there_and_a_deletion_nothing_else(api: Any, hook: Any) -> None:
    hook.answers = answering()
    await configure(api, "validating", webhook(hook, rules=[{**CONFIG_MAPS, "operations": ["UPDATE", "DELETE"]}]))
    await api.create(MAPS, config_map(data={"a": "b"}))
    await api.merge(f"{MAPS}/one?fieldManager=me", {"data": {"a": "c"}})
    await api.delete(f"{MAPS}/one?gracePeriodSeconds=0")
    (_, _, updated), (_, _, deleted) = hook.asked
    assert updated["request"]["operation"] == "UPDATE"
    assert (updated["request"]["object"]["data"], updated["request"]["oldObject"]["data"]) == ({"a": "c"}, {"a": "b"})
    assert updated["request"]["options"]["kind"] == "UpdateOptions"
    assert deleted["request"]["object"] is None
    assert deleted["request"]["oldObject"]["data"] == {"a": "c"}
    assert deleted["request"]["options"] == {
        "kind": "DeleteOptions",
        "apiVersion": "meta.k8s.io/v1",
        "gracePeriodSeconds": 0,
    }


@pytest.mark.parametrize(
    ("status", "code", "reason", "message"),
    [
        (None, 400, "", " without explanation"),
        ({"message": "too red"}, 400, "", ": too red"),
        ({"code": 403, "message": "no", "reason": "Forbidden"}, 403, "Forbidden", ": no"),
        ({"reason": "Conflict", "code": 409}, 409, "Conflict", ": Conflict"),
        ({"code": 200, "status": "Success", "message": "m"}, 400, "", ": m"),
    ],
)
@pytest.mark.parametrize("kind", ["validating", "mutating"])
async def test_a_refusal_is_told_with_the_status_of_the_webhook(
    api: Any, hook: Any, kind: str, status: Tree | None, code: int, reason: str, message: str
) -> None:
    hook.answers = answering(allowed=False, **({"status": status} if status else {}))
    await configure(api, kind, webhook(hook))
    reply = await api.call("POST", MAPS, config_map())
    assert reply.status == code
    assert reply.json.get("reason", "") == reason
    assert reply.json["status"] == "Failure"
    assert reply.json["message"] == f'admission webhook "one.example.com" denied the request{message}'


async def test_warnings_reach_the_client(api: Any, hook: Any) -> None:
    hook.answers = answering(warnings=["careful"])
    await configure(api, "validating", webhook(hook))
    reply = await api.call("POST", MAPS, config_map())
    assert reply.warnings == ['299 - "careful"']


async def test_a_mutating_webhook_changes_what_is_stored(api: Any, hook: Any) -> None:
    hook.answers = patching(labelling("from"), {"op": "add", "path": "/data", "value": {"k": "v"}})
    await configure(api, "mutating", webhook(hook))
    made = await api.create(MAPS, config_map())
    assert made["metadata"]["labels"] == {"from": "yes"}
    assert made["data"] == {"k": "v"}


async def test_what_a_patch_adds_gets_its_defaults(api: Any, hook: Any) -> None:
    container = {"name": "beside", "image": "beside", "ports": [{"containerPort": 1}]}
    hook.answers = patching({"op": "add", "path": "/spec/containers/-", "value": container})
    await configure(api, "mutating", webhook(hook, rules=[{**CONFIG_MAPS, "resources": ["pods"]}]))
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    made = await api.create(PODS, pod)
    added = made["spec"]["containers"][1]
    assert added["imagePullPolicy"] == "Always"
    assert added["ports"] == [{"containerPort": 1, "protocol": "TCP"}]


async def test_mutating_webhooks_see_what_others_did_in_the_order_of_their_configurations(api: Any, hook: Any) -> None:
    seen = []

    def answer(review: Tree) -> Tree:
        data = review["request"]["object"].get("data") or {}
        seen.append(sorted(data))
        change = {"op": "add", "path": "/data", "value": {**data, f"k{len(data)}": ""}}
        return patching(change)(review)

    hook.answers = answer
    await configure(api, "mutating", webhook(hook), webhook(hook, "two.example.com"), name="b")
    await configure(api, "mutating", webhook(hook, "three.example.com"), name="a")
    made = await api.create(MAPS, config_map())
    assert seen == [[], ["k0"], ["k0", "k1"]]
    assert sorted(made["data"]) == ["k0", "k1", "k2"]


async def test_who_wants_to_is_asked_again_when_others_changed_the_object(api: Any, hook: Any) -> None:
    asked = []

    def answer(review: Tree, who: str) -> Tree:
        asked.append(who)
        if who == "changes":
            return patching({"op": "add", "path": "/data", "value": {"k": "v"}})(review)
        return answering()(review)

    hook.answers = lambda review: answer(review, hook.asked[-1][0].split()[1].split("?")[0][1:])
    await configure(
        api,
        "mutating",
        webhook(hook, "a.example.com", clientConfig=hook.at("/again"), reinvocationPolicy="IfNeeded"),
        webhook(hook, "b.example.com", clientConfig=hook.at("/never")),
        webhook(hook, "c.example.com", clientConfig=hook.at("/changes"), reinvocationPolicy="IfNeeded"),
    )
    await api.create(MAPS, config_map())
    assert asked == ["again", "never", "changes", "again"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (answering(uid="other"), 'received invalid webhook response: expected response.uid="'),
        (answering(patch="W10=", patchType="JSONPatch"), "validating webhook may not return response.patch"),
        (lambda review: {"kind": "AdmissionReview"}, "received invalid webhook response: webhook response was absent"),
        (
            lambda review: {**answering()(review), "apiVersion": "admission.k8s.io/v1beta1"},
            "failed to call webhook: converting (v1beta1.AdmissionReview) to (v1.AdmissionReview): unknown conversion",
        ),
        (
            lambda review: {"kind": "AdmissionReview", "response": {"uid": review["request"]["uid"]}},
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=AdmissionReview",
        ),
        (
            answering(allowed="yes"),
            "failed to call webhook: json: cannot unmarshal string into Go struct field "
            "AdmissionResponse.response.allowed of type bool",
        ),
        (
            answering(status={"code": "x"}),
            "json: cannot unmarshal string into Go struct field Status.response.status.code of type int32",
        ),
        (
            answering(warnings=[1]),
            "json: cannot unmarshal number into Go struct field AdmissionResponse.response.warnings of type string",
        ),
        (answering(patch="!!!"), "failed to call webhook: illegal base64 data at input byte 0"),
        (lambda review: b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\nno", "failed to call webhook: an error on the"),
    ],
)
async def test_a_failure_refuses_the_request_unless_it_is_ignored(
    api: Any, hook: Any, answer: Any, message: str
) -> None:
    hook.answers = answer
    await configure(api, "validating", webhook(hook))
    reply = await api.call("POST", MAPS, config_map())
    assert reply.status == 500
    assert reply.json["reason"] == "InternalError"
    told = reply.json["message"]
    assert told.startswith('Internal error occurred: failed calling webhook "one.example.com": ')
    assert message in told
    await api.delete(CONFIGURATIONS.format("validating") + "/tests")
    await configure(api, "validating", webhook(hook, failurePolicy="Ignore"))
    await api.create(MAPS, config_map())
    assert len(hook.asked) == 2


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (b"{}", "received undecodable patch in webhook response: json: cannot unmarshal object into Go value"),
        (
            b'[{"op":"remove","path":"/data/none"}]',
            'remove operation does not apply: doc is missing path: "/data/none": missing value',
        ),
        (b'[{"op":"replace","path":"/data","value":3}]', "cannot unmarshal number into Go struct field ConfigMap.data"),
    ],
)
async def test_a_patch_that_does_not_fit_refuses_the_request(api: Any, hook: Any, patch: bytes, message: str) -> None:
    hook.answers = answering(patch=base64.b64encode(patch).decode(), patchType="JSONPatch")
    await configure(api, "mutating", webhook(hook))
    reply = await api.call("POST", MAPS, config_map())
    assert reply.status == 500
    assert message in reply.json["message"]


async def test_a_deletion_cannot_be_changed(api: Any, hook: Any) -> None:
    await api.create(MAPS, config_map())
    hook.answers = patching(labelling("x"))
    await configure(api, "mutating", webhook(hook, rules=[{**CONFIG_MAPS, "operations": ["DELETE"]}]))
    reply = await api.delete(f"{MAPS}/one")
    assert reply.status == 500
    why = "attempted to modify the object, which is not supported for this operation"
    assert reply.json["message"] == f'Internal error occurred: admission webhook "one.example.com" {why}'


async def test_trials_are_kept_from_webhooks_with_side_effects(api: Any, hook: Any) -> None:
    hook.answers = answering()
    await configure(api, "validating", webhook(hook, sideEffects="NoneOnDryRun"))
    assert (await api.call("POST", f"{MAPS}?dryRun=All", config_map())).status == 201
    assert hook.asked[0][2]["request"]["dryRun"] is True
    assert hook.asked[0][2]["request"]["options"]["dryRun"] == ["All"]


@pytest.mark.parametrize(
    ("fields", "labels", "asked"),
    [
        ({"objectSelector": {"matchLabels": {"a": "b"}}}, {"a": "b"}, True),
        ({"objectSelector": {"matchLabels": {"a": "b"}}}, {}, False),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}, {}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}, {}, False),
        ({"rules": [{**CONFIG_MAPS, "scope": "Cluster"}]}, {}, False),
        ({"rules": [{**CONFIG_MAPS, "scope": "Namespaced"}]}, {}, True),
        ({"rules": [{**CONFIG_MAPS, "resources": ["*"]}]}, {}, True),
        ({"rules": [{**CONFIG_MAPS, "resources": ["*/*"]}]}, {}, True),
        ({"rules": [{**CONFIG_MAPS, "resources": ["*/status"]}]}, {}, False),
        ({"rules": [{**CONFIG_MAPS, "operations": ["DELETE", "CONNECT"]}]}, {}, False),
        ({"rules": [{**CONFIG_MAPS, "apiGroups": ["apps"]}]}, {}, False),
        ({"rules": [{**CONFIG_MAPS, "apiVersions": ["v2"]}]}, {}, False),
    ],
)
async def test_who_is_asked_is_said_by_rules_and_selectors(
    api: Any, hook: Any, fields: Tree, labels: Tree, asked: bool
) -> None:
    hook.answers = answering()
    await configure(api, "validating", webhook(hook, **fields))
    await api.create(MAPS, config_map(metadata={"labels": labels}))
    assert bool(hook.asked) is asked


async def test_a_namespace_is_selected_by_its_own_labels(api: Any, hook: Any) -> None:
    hook.answers = answering()
    rule = {**CONFIG_MAPS, "resources": ["namespaces"]}
    await configure(api, "validating", webhook(hook, rules=[rule], namespaceSelector={"matchLabels": {"team": "a"}}))
    await api.create("/api/v1/namespaces", {"metadata": {"name": "none"}})
    await api.create("/api/v1/namespaces", {"metadata": {"name": "some", "labels": {"team": "a"}}})
    assert [review["request"]["namespace"] for _, _, review in hook.asked] == ["some"]


async def test_another_version_is_converted_for_a_webhook_that_names_one(api: Any, hook: Any) -> None:
    hook.answers = patching({"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 33})
    rule = {"operations": ["CREATE"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["*"]}
    await configure(api, "mutating", webhook(hook, rules=[rule]))
    autoscaler = {
        "metadata": {"name": "h"},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                }
            ],
        },
    }
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    made = await api.create(path, autoscaler)
    request = hook.asked[0][2]["request"]
    assert request["kind"]["version"] == request["resource"]["version"] == "v1"
    assert request["requestKind"]["version"] == "v2"
    assert request["object"]["apiVersion"] == "autoscaling/v1"
    assert request["object"]["spec"]["targetCPUUtilizationPercentage"] == 50
    assert made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 33


async def test_an_exact_webhook_takes_no_other_version(api: Any, hook: Any) -> None:
    rule = {"operations": ["CREATE"], "apiGroups": ["events.k8s.io"], "apiVersions": ["v1"], "resources": ["events"]}
    hook.answers = answering()
    await configure(api, "validating", webhook(hook, rules=[rule], matchPolicy="Exact"))
    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}, "reason": "r"}
    await api.create("/api/v1/namespaces/default/events", event)
    assert not hook.asked
    await api.delete(CONFIGURATIONS.format("validating") + "/tests")
    await configure(api, "validating", webhook(hook, rules=[rule]))
    await api.create("/api/v1/namespaces/default/events", {**event, "metadata": {"name": "f"}})
    request = hook.asked[0][2]["request"]
    assert request["kind"]["group"] == "events.k8s.io"
    assert request["object"]["apiVersion"] == "events.k8s.io/v1"


async def test_subresources_are_told_with_their_own_kinds(api: Any, hook: Any) -> None:
    hook.answers = answering()
    await configure(api, "validating", webhook(hook, rules=[{**EVERYTHING, "operations": ["CREATE"]}]))
    account = await api.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "a"}})
    await api.create(f"/api/v1/namespaces/default/serviceaccounts/{account['metadata']['name']}/token", {"spec": {}})
    request = hook.asked[-1][2]["request"]
    assert request["kind"] == {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}
    assert (request["resource"]["resource"], request["subResource"]) == ("serviceaccounts", "token")
    assert request["name"] == "a"


async def test_configurations_of_admission_are_nobodys_business(api: Any, hook: Any) -> None:
    hook.answers = answering(allowed=False)
    await configure(api, "validating", webhook(hook, rules=[EVERYTHING]))
    await configure(api, "mutating", webhook(hook, rules=[EVERYTHING]))
    assert not hook.asked
    for kind in ("validating", "mutating"):
        assert (await api.delete(CONFIGURATIONS.format(kind) + "/tests")).status == 200
    await api.create(MAPS, config_map())


async def test_a_changed_configuration_counts_at_once(api: Any, hook: Any) -> None:
    hook.answers = answering(allowed=False)
    await configure(api, "validating", webhook(hook))
    assert (await api.call("POST", MAPS, config_map())).status == 400
    await api.delete(CONFIGURATIONS.format("validating") + "/tests")
    await api.create(MAPS, config_map())


async def test_the_first_version_that_is_known_is_sent(api: Any, hook: Any) -> None:
    hook.answers = lambda review: {"response": {"allowed": True}}  # of v1beta1 nothing else was ever checked
    await configure(api, "validating", webhook(hook, admissionReviewVersions=["v7", "v1beta1", "v1"]))
    await api.create(MAPS, config_map())
    assert hook.asked[0][2]["apiVersion"] == "admission.k8s.io/v1beta1"


async def test_all_validating_webhooks_are_asked_at_once(api: Any, hook: Any) -> None:
    hook.answers = lambda review: answering(allowed=len(hook.asked) != 1)(review)
    await configure(api, "validating", webhook(hook), webhook(hook, "two.example.com"))
    reply = await api.call("POST", MAPS, config_map())
    assert reply.status == 400
    assert len(hook.asked) == 2


OFF = Settings(
    admission=AdmissionSettings(
        plugins=chosen(disable=["ServiceAccount", "MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"])
    )
)


@pytest.mark.parametrize("api", [OFF], indirect=True)
async def test_nobody_is_asked_where_the_plugins_are_off(api: Any, hook: Any) -> None:
    hook.answers = answering(allowed=False)
    await configure(api, "validating", webhook(hook))
    await configure(api, "mutating", webhook(hook))
    await api.create(MAPS, config_map())
    assert not hook.asked


async def test_calls_are_counted(api: Any, hook: Any) -> None:
    hook.answers = answering(allowed=False)
    await configure(api, "validating", webhook(hook))
    await api.call("POST", MAPS, config_map())
    text = b"".join([piece async for piece in exposition(api.api.instruments.registry)]).decode()
    labels = 'name="one.example.com",type="validating",operation="CREATE"'
    assert f'apiserver_admission_webhook_request_total{{{labels},code="400",rejected="true"}} 1' in text
    counted = f'apiserver_admission_webhook_rejection_count{{{labels},error_type="no_error",rejection_code="400"}} 1'
    assert counted in text


async def test_the_deletion_of_a_namespace_means_the_very_one(api: Any, hook: Any) -> None:
    hook.answers = answering()
    rule = {**CONFIG_MAPS, "operations": ["DELETE"], "resources": ["namespaces"]}
    await configure(api, "validating", webhook(hook, rules=[rule]))
    made = await api.create("/api/v1/namespaces", {"metadata": {"name": "short"}})
    await api.delete("/api/v1/namespaces/short")
    request = hook.asked[0][2]["request"]
    assert request["options"]["preconditions"] == {"uid": made["metadata"]["uid"]}
    assert request["namespace"] == request["name"] == "short"
