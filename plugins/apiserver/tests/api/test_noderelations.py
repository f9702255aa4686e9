"""Which objects nodes may read, as pods come and go."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

NODES = {"impersonate_user": "system:node:n1", "impersonate_group": "system:nodes"}
PODS = "/api/v1/namespaces/default/pods"

EVERYTHING: dict[str, Any] = {
    "serviceAccountName": "robot",
    "imagePullSecrets": [{"name": "pull"}],
    "initContainers": [
        {
            "name": "i",
            "image": "i",
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}],
        }
    ],
    "containers": [
        {
            "name": "c",
            "image": "i",
            "envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "from"}}],
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "k"}}}],
        }
    ],
    "volumes": [
        {"name": "a", "secret": {"secretName": "volume"}},
        {"name": "b", "configMap": {"name": "volume"}},
        {
            "name": "c",
            "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "projected"}}]},
        },
        {"name": "d", "persistentVolumeClaim": {"claimName": "claim"}},
        {
            "name": "scratch",
            "ephemeral": {
                "volumeClaimTemplate": {
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
                }
            },
        },
        {"name": "f", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi"}}},
    ],
}


async def may(
    api: Any, resource: str, name: str, namespace: str = "default", group: str = "", node: str = "n1"
) -> bool:
    """Whether a node may get the object."""
    spec = {
        "user": f"system:node:{node}",
        "groups": ["system:nodes"],
        "resourceAttributes": {
            "verb": "get",
            "group": group,
            "resource": resource,
            "namespace": namespace,
            "name": name,
        },
    }
    review = await api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    allowed: bool = review["status"]["allowed"]
    return allowed


def pod(name: str, spec: Any = None, **metadata: Any) -> Any:
    spec = spec or {"containers": [{"name": "c", "image": "i"}]}
    return {"metadata": {"name": name, **metadata}, "spec": spec}


def using(secret: str, node: str | None = "n1") -> Any:
    """The spec of a pod that has a secret."""
    volume = {"name": "s", "secret": {"secretName": secret}}
    return {"containers": [{"name": "c", "image": "i"}], "volumes": [volume], **({"nodeName": node} if node else {})}


async def test_a_node_may_read_what_its_pods_refer_to(api: Any) -> None:
    await api.create("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
    await api.create(PODS, pod("p", {**EVERYTHING, "nodeName": "n1"}))
    for resource, names in {
        "secrets": ("pull", "env", "from", "volume", "projected", "csi"),
        "configmaps": ("env", "from", "volume", "projected"),
        "persistentvolumeclaims": ("claim", "p-scratch"),
        "serviceaccounts": ("robot",),
        "pods": ("p",),
    }.items():
        for name in names:
            assert await may(api, resource, name), f"{resource} {name}"
            assert not await may(api, resource, name, node="n2")
            assert not await may(api, resource, name, "kube-system")
        assert not await may(api, resource, "other")


async def test_a_pod_counts_from_when_it_is_bound_until_it_goes(api: Any) -> None:
    await api.create(PODS, pod("p", using("s", None)))
    assert not await may(api, "secrets", "s")
    await api.create(f"{PODS}/p/binding", {"metadata": {"name": "p"}, "target": {"name": "n1"}})
    assert await may(api, "secrets", "s")
    await api.delete(f"{PODS}/p?gracePeriodSeconds=0")
    assert not await may(api, "secrets", "s")
    assert not await may(api, "pods", "p")


async def test_a_secret_of_two_pods_is_kept_by_one(api: Any) -> None:
    for name in ("p", "q"):
        await api.create(PODS, pod(name, using("s")))
    assert await may(api, "secrets", "s")
    await api.delete(f"{PODS}/p?gracePeriodSeconds=0")
    assert await may(api, "secrets", "s")


async def test_a_container_that_is_added_brings_its_references(api: Any) -> None:
    await api.create(PODS, pod("p", using("s")))
    assert not await may(api, "secrets", "late")
    late = {"name": "e", "image": "i", "envFrom": [{"secretRef": {"name": "late"}}]}
    patch = {"spec": {"ephemeralContainers": [late]}}
    assert (await api.merge(f"{PODS}/p/ephemeralcontainers", patch)).status == 200
    assert await may(api, "secrets", "late")


async def test_a_mirror_pod_gives_its_node_nothing_but_itself(api: Any) -> None:
    spec = {**using("s"), "volumes": [{"name": "h", "hostPath": {"path": "/"}}]}
    spec["containers"] = [{"name": "c", "image": "i"}]
    await api.create(PODS, pod("p", spec, annotations={"kubernetes.io/config.mirror": "x"}))
    assert await may(api, "pods", "p")
    assert not await may(api, "serviceaccounts", "default")


async def test_a_volume_is_its_claimants_and_so_are_its_secrets(api: Any) -> None:
    volume = {
        "metadata": {"name": "v"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "claimRef": {"namespace": "default", "name": "claim"},
            "csi": {
                "driver": "d",
                "volumeHandle": "h",
                "nodeStageSecretRef": {"namespace": "kube-system", "name": "stage"},
                "controllerPublishSecretRef": {"namespace": "kube-system", "name": "publish"},
            },
        },
    }
    await api.create("/api/v1/persistentvolumes", volume)
    assert not await may(api, "persistentvolumes", "v", "")
    await api.create(PODS, pod("p", {**EVERYTHING, "serviceAccountName": "default", "nodeName": "n1"}))
    assert await may(api, "persistentvolumes", "v", "")
    assert await may(api, "secrets", "stage", "kube-system")
    assert not await may(api, "secrets", "publish", "kube-system"), "that is the controller's"
    assert not await may(api, "secrets", "stage", "kube-system", node="n2")
    assert (await api.merge("/api/v1/persistentvolumes/v", {"spec": {"claimRef": {"name": "another"}}})).status == 200
    assert not await may(api, "persistentvolumes", "v", "")
    assert not await may(api, "secrets", "stage", "kube-system")


async def test_an_attachment_is_its_nodes(api: Any) -> None:
    spec = {"attacher": "a", "nodeName": "n1", "source": {"persistentVolumeName": "v"}}
    await api.create("/apis/storage.k8s.io/v1/volumeattachments", {"metadata": {"name": "a"}, "spec": spec})
    assert await may(api, "volumeattachments", "a", "", "storage.k8s.io")
    assert not await may(api, "volumeattachments", "a", "", "storage.k8s.io", node="n2")
    assert not await may(api, "volumeattachments", "b", "", "storage.k8s.io")


async def test_the_refusal_tells_why(api: Any) -> None:
    reply = await api.get("/api/v1/namespaces/default/secrets/s", **NODES)
    assert (reply.status, reply.json["message"]) == (
        403,
        'secrets "s" is forbidden: User "system:node:n1" cannot get resource "secrets" in API group "" in the '
        "namespace \"default\": no relationship found between node 'n1' and this object",
    )
    listed = await api.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", **NODES)
    assert (listed.status, listed.json["items"]) == (200, [])
    assert (await api.get("/api/v1/pods", **NODES)).status == 403
