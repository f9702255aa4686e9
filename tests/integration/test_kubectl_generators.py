"""kubectl making objects from its command line, which newer ones send as protobuf."""

from __future__ import annotations

import json
from typing import Any

import pytest

# What is made: command line, resource and name, and what of the stored object shows that it arrived whole.
NAMESPACED = [
    ("create deployment web --image=web:1", "deployment/web", {"kind": "Deployment", "spec.replicas": 1}),
    ("create job once --image=web:1 -- echo hello", "job/once", {"spec.template.spec.restartPolicy": "Never"}),
    ("create configmap settings --from-literal=colour=blue", "configmap/settings", {"data.colour": "blue"}),
    ("create secret generic key --from-literal=word=kept", "secret/key", {"type": "Opaque", "data.word": "a2VwdA=="}),
    (
        "create secret docker-registry pull --docker-server=r.example --docker-username=ada --docker-password=x",
        "secret/pull",
        {"type": "kubernetes.io/dockerconfigjson"},
    ),
    ("create quota few --hard=pods=10", "resourcequota/few", {"spec.hard.pods": "10"}),
    ("create role reader --verb=get --resource=pods", "role/reader", {"rules.0.verbs.0": "get"}),
    ("create rolebinding ada --role=reader --user=ada", "rolebinding/ada", {"subjects.0.name": "ada"}),
    ("create serviceaccount robot", "serviceaccount/robot", {"kind": "ServiceAccount"}),
    ("create service clusterip in --tcp=80:8080", "service/in", {"spec.ports.0.targetPort": 8080}),
    ("create service nodeport out --tcp=80", "service/out", {"spec.type": "NodePort"}),
    ("create service loadbalancer wide --tcp=80", "service/wide", {"spec.allocateLoadBalancerNodePorts": True}),
    ("create service externalname far --external-name=example.com", "service/far", {"spec.type": "ExternalName"}),
    ("create ingress door --rule=example.com/*=web:80", "ingress/door", {"spec.rules.0.host": "example.com"}),
    ("run one --image=web:1 --labels=app=one", "pod/one", {"spec.restartPolicy": "Always", "status.phase": "Pending"}),
]
CLUSTER_WIDE = [
    ("create clusterrole {} --verb=get --resource=pods", "clusterrole", {"rules.0.resources.0": "pods"}),
    ("create clusterrolebinding {} --clusterrole=view --group=all", "clusterrolebinding", {"roleRef.name": "view"}),
    ("create priorityclass {} --value=10", "priorityclass", {"value": 10, "preemptionPolicy": "PreemptLowerPriority"}),
    ("create namespace {}", "namespace", {"status.phase": "Active"}),
]


def at(tree: Any, path: str) -> Any:
    for step in path.split("."):
        tree = tree[int(step)] if isinstance(tree, list) else tree[step]
    return tree


def check(kubectl: Any, name: str, expected: dict[str, Any]) -> None:
    found = kubectl.read(name)
    assert {path: at(found, path) for path in expected} == expected


@pytest.mark.parametrize(("command", "name", "expected"), NAMESPACED, ids=[name for _, name, _ in NAMESPACED])
def test_an_object_is_made(kubectl: Any, command: str, name: str, expected: dict[str, Any]) -> None:
    words = command.split(" ")
    said = kubectl(*words)
    assert said.rstrip().endswith(" created")
    check(kubectl, name, expected)
    assert "already exists" in kubectl.refused(*words)


@pytest.mark.parametrize(("command", "resource", "expected"), CLUSTER_WIDE, ids=[row[1] for row in CLUSTER_WIDE])
def test_a_cluster_wide_object_is_made(kubectl: Any, command: str, resource: str, expected: dict[str, Any]) -> None:
    name = f"{kubectl.namespace}-made"
    kubectl(*command.format(name).split(" "))
    check(kubectl, f"{resource}/{name}", expected)
    kubectl("delete", resource, name, "--wait=false")


def test_a_disruption_budget_is_made_where_kubectl_knows_its_version(kubectl: Any) -> None:
    kubectl.needs(1, 22)
    kubectl("create", "poddisruptionbudget", "some", "--selector=app=web", "--min-available=1")
    check(kubectl, "poddisruptionbudget/some", {"spec.minAvailable": 1})


def test_a_cron_job_is_made_and_a_job_from_it(kubectl: Any) -> None:
    kubectl.needs(1, 21)  # older ones ask for a version that is gone
    kubectl("create", "cronjob", "tick", "--image=web:1", "--schedule=@hourly")
    check(kubectl, "cronjob/tick", {"spec.schedule": "@hourly", "spec.concurrencyPolicy": "Allow"})
    kubectl("create", "job", "now", "--from=cronjob/tick")
    owner = kubectl.read("job/now")["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("CronJob", "tick")


def test_a_token_is_one_of_the_account(kubectl: Any) -> None:
    kubectl.needs(1, 24)
    kubectl("create", "serviceaccount", "robot")
    token = kubectl("create", "token", "robot", "--duration=1h").strip()
    with kubectl.server.connect() as connection:
        _, review = connection.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    assert review["status"]["authenticated"] is True
    assert review["status"]["user"]["username"] == f"system:serviceaccount:{kubectl.namespace}:robot"


def test_a_deployment_is_exposed_scaled_and_autoscaled(kubectl: Any) -> None:
    kubectl("create", "deployment", "web", "--image=web:1", "--port=8080")
    assert kubectl("expose", "deployment", "web", "--port=80").startswith("service/web exposed")
    service = kubectl.read("service/web")["spec"]
    assert service["selector"] == {"app": "web"}
    assert service["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    kubectl("scale", "deployment", "web", "--current-replicas=1", "--replicas=3")
    assert kubectl.read("deployment/web")["spec"]["replicas"] == 3
    assert "replicas" in kubectl.refused("scale", "deployment", "web", "--current-replicas=1", "--replicas=5")
    if kubectl.version < (1, 23):  # asks for a version that is gone
        return
    kubectl("autoscale", "deployment", "web", "--min=2", "--max=5", "--cpu-percent=50")
    scaler = kubectl.read("horizontalpodautoscalers.v2.autoscaling/web")["spec"]
    assert scaler["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 50}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)


def test_a_dry_run_leaves_nothing(kubectl: Any) -> None:
    made = kubectl("create", "deployment", "web", "--image=web:1", "--dry-run=server", "-o", "json")
    assert json.loads(made)["spec"]["progressDeadlineSeconds"] == 600, "the server filled it in"
    assert kubectl("create", "configmap", "a", "--dry-run=server") == "configmap/a created (server dry run)\n"
    assert "not found" in kubectl.refused("get", "deployment/web", "configmap/a")
