"""What a cluster is for, whoever's its servers are: every lineup passes the same tests, and nobody complains."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from _clusters import eventually
from _peers import MixedCluster
from _watching import is_ready
from cryptography.hazmat.primitives.asymmetric import ec

from hyperkube_machinery.builtin import (
    CERTIFICATE_SIGNING_REQUESTS,
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
)
from hyperkube_machinery.certificaterequests import made_request
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio

COMMAND = ["sh", "-c", "true && sleep 1000 </dev/null"]
"""What Go escapes when it writes JSON."""

Tree = dict[str, Any]


def workload(kind: str, name: str, spec: Tree, *, template: Tree | None = None, version: str = "apps/v1") -> str:
    pod = {"containers": [{"name": "c", "image": "busybox:1", "command": COMMAND}], **(template or {})}
    labels = {"app": name}
    whole = {"template": {"metadata": {"labels": labels}, "spec": pod}, **spec}
    if version == "apps/v1":
        whole["selector"] = {"matchLabels": labels}
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": whole})


async def pods_of(cluster: MixedCluster, app: str) -> list[Tree]:
    return [*(await cluster.client.list(PODS, "default", labels=f"app={app}")).items]


async def until_ready(cluster: MixedCluster, app: str, count: int) -> list[Tree]:
    async def found() -> list[Tree]:
        pods = await pods_of(cluster, app)
        return pods if len(pods) == count and all(map(is_ready, pods)) else []

    pods: list[Tree] = await eventually(found)
    return pods


async def test_nodes_are_ready_and_have_ranges_of_their_own(cluster: MixedCluster) -> None:
    async def ranges() -> set[str]:
        nodes = (await cluster.client.list(NODES)).items
        assert all(map(is_ready, nodes))
        assert not any(node["spec"].get("taints") for node in nodes)
        found = {node["spec"].get("podCIDR", "") for node in nodes}
        return found if all(found) else set()

    assert len(await eventually(ranges)) == 2


async def test_a_deployment_is_rolled_out_and_back_behind_its_service(cluster: MixedCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=workload("Deployment", "web", {"replicas": 6}))
    await cluster.kubectl("expose", "deployment", "web", "--port=80")
    await cluster.kubectl("rollout", "status", "deployment", "web")
    first = {pod["metadata"]["uid"] for pod in await until_ready(cluster, "web", 6)}

    async def endpoints() -> int:
        labels = "kubernetes.io/service-name=web"
        slices = (await cluster.client.list(ENDPOINT_SLICES, "default", labels=labels)).items
        return sum(bool(one["conditions"].get("ready")) for each in slices for one in each.get("endpoints") or ())

    async def has_six() -> bool:
        return await endpoints() == 6

    await eventually(has_six)
    await cluster.kubectl("set", "image", "deployment/web", "c=busybox:2")
    await cluster.kubectl("rollout", "status", "deployment", "web")
    await cluster.kubectl("rollout", "undo", "deployment", "web")
    await cluster.kubectl("rollout", "status", "deployment", "web")
    pods = await until_ready(cluster, "web", 6)
    assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {"busybox:1"}
    assert not first & {pod["metadata"]["uid"] for pod in pods}
    assert {pod["spec"]["nodeName"] for pod in pods} == {"one", "two"}
    await cluster.kubectl("scale", "deployment", "web", "--replicas=2")
    await until_ready(cluster, "web", 2)

    async def has_two() -> bool:
        return await endpoints() == 2

    await eventually(has_two)
    deployment = await cluster.client.get(DEPLOYMENTS, "web", "default")
    assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


async def test_a_daemon_set_has_a_pod_on_each_node_and_one_revision(cluster: MixedCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=workload("DaemonSet", "agents", {}))
    pods = await until_ready(cluster, "agents", 2)
    assert {pod["spec"]["nodeName"] for pod in pods} == {"one", "two"}
    await cluster.kubectl("rollout", "status", "daemonset", "agents")
    revisions = (await cluster.client.list(CONTROLLER_REVISIONS, "default", labels="app=agents")).items
    assert [revision["revision"] for revision in revisions] == [1]
    assert not (await cluster.client.get(DAEMON_SETS, "agents", "default"))["status"].get("collisionCount")


async def test_a_stateful_set_is_numbered_and_replaced_from_the_last(cluster: MixedCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=workload("StatefulSet", "db", {"replicas": 3, "serviceName": "db"}))
    pods = await until_ready(cluster, "db", 3)
    assert sorted(pod["metadata"]["name"] for pod in pods) == ["db-0", "db-1", "db-2"]
    await cluster.kubectl("set", "image", "statefulset/db", "c=busybox:2")
    await cluster.kubectl("rollout", "status", "statefulset", "db")
    found = await cluster.client.get(STATEFUL_SETS, "db", "default")
    assert found["status"]["currentRevision"] == found["status"]["updateRevision"]


async def test_a_job_is_done_and_a_cron_job_makes_one(cluster: MixedCluster) -> None:
    template = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox:1", "command": ["true"]}]}
    spec = {"completions": 3, "parallelism": 2, "completionMode": "Indexed"}
    job = workload("Job", "sums", spec, template=template, version="batch/v1")
    await cluster.kubectl("apply", "-f", "-", stdin=job)
    await cluster.kubectl("wait", "--for=condition=Complete", "--timeout=60s", "job/sums")
    assert (await cluster.client.get(JOBS, "sums", "default"))["status"]["completedIndexes"] == "0-2"
    await cluster.kubectl("create", "cronjob", "nightly", "--image=busybox:1", "--schedule=0 0 1 1 *", "--", "true")
    await cluster.kubectl("create", "job", "now", "--from=cronjob/nightly")
    await eventually(lambda: _found(cluster, JOBS, "now"))
    await cluster.kubectl("delete", "cronjob", "nightly")
    await eventually(lambda: _gone(cluster, JOBS, "now"))  # what is owned goes with its owner


async def _found(cluster: MixedCluster, resource: Any, name: str, namespace: str = "default") -> Tree | None:
    try:
        return await cluster.client.get(resource, name, namespace)
    except APIError as exc:
        if exc.code != 404:
            raise
        return None


async def _gone(cluster: MixedCluster, resource: Any, name: str, namespace: str = "default") -> bool:
    return await _found(cluster, resource, name, namespace) is None


async def test_owned_objects_go_with_their_owner(cluster: MixedCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=workload("Deployment", "brief", {"replicas": 2}))
    await until_ready(cluster, "brief", 2)
    await cluster.kubectl("delete", "deployment", "brief", "--cascade=foreground", "--timeout=60s")
    assert not (await cluster.client.list(REPLICA_SETS, "default", labels="app=brief")).items
    assert not await pods_of(cluster, "brief")


async def test_a_namespace_has_its_account_and_goes_with_all_that_is_in_it(cluster: MixedCluster) -> None:
    await cluster.kubectl("create", "namespace", "brief")

    async def token() -> str:
        status, found, _ = await cluster.try_kubectl("create", "token", "default", namespace="brief")
        return found if status == 0 else ""

    assert (await eventually(token)).count(".") == 2
    await cluster.kubectl("create", "deployment", "web", "--image=busybox:1", "--replicas=2", namespace="brief")
    await cluster.kubectl("rollout", "status", "deployment", "web", namespace="brief")
    await cluster.kubectl("delete", "namespace", "brief", "--timeout=60s")
    assert await _gone(cluster, NAMESPACES, "brief", "")


async def test_an_approved_certificate_is_signed(cluster: MixedCluster) -> None:
    request = made_request(ec.generate_private_key(ec.SECP256R1()), "alice", ("staff",))
    spec = {
        "request": base64.b64encode(request).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    tree = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    await cluster.client.create(CERTIFICATE_SIGNING_REQUESTS, {**tree, "metadata": {"name": "alice"}, "spec": spec})
    await cluster.kubectl("certificate", "approve", "alice")

    async def certificate() -> str:
        found = await cluster.client.get(CERTIFICATE_SIGNING_REQUESTS, "alice")
        return str(found.get("status", {}).get("certificate", ""))

    assert b"BEGIN CERTIFICATE" in base64.b64decode(await eventually(certificate))


async def test_an_eviction_keeps_to_the_budget(cluster: MixedCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=workload("Deployment", "kept", {"replicas": 2}))
    pods = await until_ready(cluster, "kept", 2)
    await cluster.kubectl("create", "poddisruptionbudget", "kept", "--selector=app=kept", "--min-available=2")
    status = "jsonpath={.status.currentHealthy}"

    async def counted() -> bool:
        return await cluster.kubectl("get", "poddisruptionbudget", "kept", "-o", status) == "2"

    await eventually(counted)
    path = f"/api/v1/namespaces/default/pods/{pods[0]['metadata']['name']}/eviction"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pods[0]["metadata"]["name"]}}
    code, _, complaint = await cluster.try_kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    assert code != 0
    assert "disruption budget" in complaint


async def test_everybody_tells_of_what_it_does(cluster: MixedCluster) -> None:
    await cluster.kubectl("apply", "-f", "-", stdin=workload("Deployment", "told", {"replicas": 1}))
    (pod,) = await until_ready(cluster, "told", 1)

    async def reasons() -> dict[str, str]:
        about = f"involvedObject.uid={pod['metadata']['uid']}"
        events = (await cluster.client.list(EVENTS, "default", fields=about)).items
        said = {
            one["reason"]: one.get("reportingComponent") or (one.get("source") or {}).get("component", "")
            for one in events
        }
        return said if {"Scheduled", "Pulled", "Created", "Started"} <= set(said) else {}

    found = await eventually(reasons)
    assert (found["Scheduled"], found["Started"]) == ("default-scheduler", "kubelet")


async def test_nobody_complains(cluster: MixedCluster) -> None:
    """It stands last: what the others have made Kubernetes' servers say is read here."""
    found = {name: peer.complaints() for name, peer in cluster.peers.items() if name not in ("etcd", "apiserver")}
    assert not any(found.values()), found
