"""What admission is asked about on the way of a request, and what comes of its answers."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hyperkube_apiserver.admission import AdmissionSettings
from hyperkube_apiserver.admissionplugins import chosen
from hyperkube_apiserver.assembly import Settings
from hyperkube_apiserver.registry.attributes import Attributes

pytestmark = pytest.mark.anyio

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
POD: dict[str, Any] = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
DEPLOYMENT = {
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD["spec"]},
    },
}


def settings(*enable: str, disable: tuple[str, ...] = ()) -> Settings:
    return Settings(admission=AdmissionSettings(plugins=chosen(enable=enable, disable=("ServiceAccount", *disable))))


@dataclass
class Seeing:
    """Notes what it is asked, and may change the number of replicas."""

    seen: list[tuple[str, Any]] = field(default_factory=list)
    replicas: int | None = None

    async def admit(self, attributes: Attributes) -> None:
        self._note("admit", attributes)
        if self.replicas is not None and attributes.obj is not None:
            attributes.obj["spec"]["replicas"] = self.replicas

    async def validate(self, attributes: Attributes) -> None:
        self._note("validate", attributes)

    def _note(self, phase: str, attributes: Attributes) -> None:
        self.seen.append((phase, replace(attributes, obj=deepcopy(attributes.obj), old=deepcopy(attributes.old))))


def seeing(api: Any, group: str, resource: str) -> Seeing:
    control = api.api.resource(group, resource).registry.admission = Seeing()
    return control


async def test_a_creation_is_seen_as_sent_and_as_it_would_be_stored(api: Any) -> None:
    control = seeing(api, "", "configmaps")
    made = await api.create(MAPS, {"metadata": {"generateName": "m-"}})
    (_, sent), (_, stored) = control.seen
    assert (sent.operation, sent.name, sent.namespace, sent.subresource) == ("CREATE", "", "default", "")
    assert "uid" not in sent.obj["metadata"]
    assert stored.name == stored.obj["metadata"]["name"] == made["metadata"]["name"]
    assert (sent.obj["kind"], sent.old, sent.dry_run) == ("ConfigMap", None, False)


async def test_a_new_namespace_is_in_itself(api: Any) -> None:
    control = seeing(api, "", "namespaces")
    await api.create("/api/v1/namespaces", {"metadata": {"name": "new"}})
    await api.merge("/api/v1/namespaces/new", {"metadata": {"labels": {"a": "b"}}})
    assert [(one.operation, one.namespace) for _, one in control.seen] == [("CREATE", "new")] * 2 + [("UPDATE", "")] * 2


async def test_a_scale_is_seen_as_a_scale(api: Any) -> None:
    await api.create(DEPLOYMENTS, DEPLOYMENT)
    control = seeing(api, "apps", "deployments")
    control.replicas = 7
    reply = await api.merge(f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 5}})
    assert (reply.status, reply.json["spec"]) == (200, {"replicas": 7})
    (first, sent), (second, stored) = control.seen
    assert (first, second) == ("admit", "validate")
    assert {one.subresource for one in (sent, stored)} == {"scale"}
    for scale, replicas in ((sent.obj, 5), (sent.old, 2), (stored.obj, 7), (stored.old, 2)):
        assert (scale["kind"], scale["apiVersion"], scale["spec"]["replicas"]) == ("Scale", "autoscaling/v1", replicas)
    assert (await api.get(f"{DEPLOYMENTS}/d")).json["spec"]["replicas"] == 7


@pytest.mark.parametrize(
    ("path", "resource", "subresource"),
    [(f"{PODS}/p/binding", "pods", "binding"), ("/api/v1/namespaces/default/bindings", "bindings", "")],
)
async def test_a_binding_is_a_creation(api: Any, path: str, resource: str, subresource: str) -> None:
    await api.create(PODS, POD)
    control = seeing(api, "", "pods")
    await api.create(path, {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})
    assert [phase for phase, _ in control.seen] == ["admit", "validate"]
    for _, asked in control.seen:
        assert (asked.operation, asked.name, asked.namespace) == ("CREATE", "p", "default")
        assert (asked.kind.resource.resource, asked.subresource) == (resource, subresource)
        assert asked.obj["kind"] == "Binding"


async def test_a_binding_gives_the_zone_of_its_node_to_its_pod(api: Any) -> None:
    await api.create("/api/v1/nodes", {"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}}})
    await api.create(PODS, POD)
    await api.create(f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})
    assert (await api.get(f"{PODS}/p")).json["metadata"]["labels"] == {"topology.kubernetes.io/zone": "z"}


async def test_whoever_deletes_a_collection_names_none_of_its_objects(api: Any) -> None:
    for name in ("a", "b"):
        await api.create(MAPS, {"metadata": {"name": name}})
    control = seeing(api, "", "configmaps")
    await api.delete(f"{MAPS}/a")
    await api.delete(MAPS)
    asked = [(one.operation, one.name, one.obj, one.old["metadata"]["name"]) for _, one in control.seen]
    assert asked == [("DELETE", "a", None, "a")] * 2 + [("DELETE", "", None, "b")] * 2


async def test_preconditions_come_before_admission(api: Any) -> None:
    body = {"preconditions": {"uid": "other"}}
    assert (await api.delete("/api/v1/namespaces/kube-system", body)).status == 409
    assert (await api.delete("/api/v1/namespaces/kube-system")).status == 403


async def test_a_dry_run_is_told_as_one(api: Any) -> None:
    control = seeing(api, "", "configmaps")
    await api.create(f"{MAPS}?dryRun=All", {"metadata": {"name": "m"}})
    assert [one.dry_run for _, one in control.seen] == [True, True]


@pytest.mark.parametrize("api", [settings("NamespaceAutoProvision")], indirect=True)
async def test_namespaces_are_made_for_what_is_made_in_them(api: Any) -> None:
    path = "/api/v1/namespaces/new/configmaps"
    refused = await api.call("POST", f"{path}?dryRun=All", {"metadata": {"name": "m"}})
    assert (refused.status, refused.json["message"]) == (404, 'namespaces "new" not found')
    await api.create(path, {"metadata": {"name": "m"}})
    assert (await api.get("/api/v1/namespaces/new")).json["status"]["phase"] == "Active"
    bad = await api.call("POST", "/api/v1/namespaces/No_Name/configmaps", {"metadata": {"name": "m"}})
    assert (bad.status, bad.json["reason"]) == (403, "Forbidden")
    assert 'configmaps "m" is forbidden: Namespace "No_Name" is invalid' in bad.json["message"]


@pytest.mark.parametrize(
    "api", [settings("NodeRestriction", disable=("Priority", "DefaultTolerationSeconds"))], indirect=True
)
async def test_plugins_are_switched_by_their_names(api: Any) -> None:
    made = await api.create(PODS, POD)
    assert not {"priority", "tolerations"} & made["spec"].keys()


@pytest.mark.parametrize("api", [Settings()], indirect=True)
async def test_a_pod_needs_a_service_account_unless_told_otherwise(api: Any) -> None:
    refused = await api.call("POST", PODS, {**POD, "spec": {**POD["spec"], "serviceAccountName": "none"}})
    assert refused.status == 403
    assert refused.json["message"] == (
        'pods "p" is forbidden: error looking up service account default/none: serviceaccount "none" not found'
    )
    assert refused.json["details"] == {"name": "p", "kind": "pods"}
    await api.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    made = await api.create(PODS, POD)
    assert made["spec"]["serviceAccount"] == made["spec"]["serviceAccountName"] == "default"
    [mount] = made["spec"]["containers"][0]["volumeMounts"]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    # What was added is valid, and stays as it is.
    reply = await api.merge(f"{PODS}/p", {"metadata": {"labels": {"a": "b"}}})
    assert (reply.status, reply.json["spec"]) == (200, made["spec"])
