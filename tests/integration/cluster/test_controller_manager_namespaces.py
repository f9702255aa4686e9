"""What the controller manager does about namespaces: what each is given, and how one goes."""

from __future__ import annotations

from typing import Any

import pytest
from _clusters import Cluster
from _watching import gone, until_object

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import CONFIG_MAPS, NAMESPACES, SECRETS, SERVICE_ACCOUNTS
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio


async def start(cluster: Cluster) -> None:
    """As in production, where each controller has its own rights and the server itself few."""
    await cluster.start("controller-manager", "--secure-port=0", "--use-service-account-credentials")


ROOT_CA = "kube-root-ca.crt"


def conditions(namespace: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    listed = namespace["status"].get("conditions") or ()
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in listed}


async def test_every_namespace_has_its_account_and_its_authorities(cluster: Cluster) -> None:
    await cluster.client.create(NAMESPACES, {"metadata": {"name": "early"}})
    await start(cluster)
    await cluster.client.create(NAMESPACES, {"metadata": {"name": "late"}})
    authorities = kubeconfig.read(cluster.kubeconfig).ca_pem
    assert authorities is not None
    for namespace in ("default", "kube-system", "early", "late"):
        await until_object(cluster.client, SERVICE_ACCOUNTS, "default", lambda _: True, namespace)
        found = await until_object(cluster.client, CONFIG_MAPS, ROOT_CA, lambda _: True, namespace)
        assert found["data"] == {"ca.crt": authorities.decode()}
        assert found["metadata"]["annotations"]["kubernetes.io/description"].startswith("Contains a CA bundle")


async def test_what_a_namespace_was_given_comes_back(cluster: Cluster) -> None:
    await start(cluster)
    client = cluster.client
    account = await until_object(client, SERVICE_ACCOUNTS, "default", lambda _: True, "default")
    authorities = await until_object(client, CONFIG_MAPS, ROOT_CA, lambda _: True, "default")
    await client.delete(SERVICE_ACCOUNTS, "default", "default")
    uid = account["metadata"]["uid"]
    await until_object(client, SERVICE_ACCOUNTS, "default", lambda obj: obj["metadata"]["uid"] != uid, "default")
    await client.patch(CONFIG_MAPS, ROOT_CA, {"data": {"ca.crt": "forged", "more": "x"}}, "default")
    await until_object(client, CONFIG_MAPS, ROOT_CA, lambda obj: obj["data"] == authorities["data"], "default")
    await client.delete(CONFIG_MAPS, ROOT_CA, "default")
    uid = authorities["metadata"]["uid"]
    await until_object(client, CONFIG_MAPS, ROOT_CA, lambda obj: obj["metadata"]["uid"] != uid, "default")


async def test_a_deleted_namespace_is_emptied_and_goes(cluster: Cluster) -> None:
    await start(cluster)
    client = cluster.client
    await client.create(NAMESPACES, {"metadata": {"name": "full"}})
    for resource in (CONFIG_MAPS, SECRETS):
        for number in range(3):
            await client.create(resource, {"metadata": {"name": f"one-{number}", "namespace": "full"}})
    await cluster.kubectl("create", "deployment", "web", "--image=x", namespace="full")
    await client.delete(NAMESPACES, "full")
    await gone(client, NAMESPACES, "full")
    with pytest.raises(APIError) as refused:
        await client.get(CONFIG_MAPS, "one-0", "full")
    assert refused.value.code == 404


async def test_a_namespace_says_what_keeps_it(cluster: Cluster) -> None:
    await start(cluster)
    client = cluster.client
    await client.create(NAMESPACES, {"metadata": {"name": "held"}})
    kept = {"metadata": {"name": "kept", "namespace": "held", "finalizers": ["example.com/held"]}}
    await client.create(CONFIG_MAPS, kept)
    await client.delete(NAMESPACES, "held")
    namespace = await until_object(
        client, NAMESPACES, "held", lambda obj: conditions(obj).get("NamespaceContentRemaining")
    )
    assert namespace["status"]["phase"] == "Terminating"
    assert conditions(namespace) == {
        "NamespaceDeletionDiscoveryFailure": (
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        "NamespaceDeletionGroupVersionParsingFailure": (
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        "NamespaceDeletionContentFailure": (
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        "NamespaceContentRemaining": (
            "True",
            "SomeResourcesRemain",
            "Some resources are remaining: configmaps. has 1 resource instances",
        ),
        "NamespaceFinalizersRemaining": (
            "True",
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining: example.com/held in 1 resource instances",
        ),
    }
    await client.patch(CONFIG_MAPS, "kept", {"metadata": {"finalizers": []}}, "held")
    await gone(client, NAMESPACES, "held")


async def test_finalizers_of_others_keep_an_emptied_namespace(cluster: Cluster) -> None:
    await start(cluster)
    client = cluster.client
    await client.create(
        NAMESPACES, {"metadata": {"name": "shared"}, "spec": {"finalizers": ["example.com/mine", "kubernetes"]}}
    )
    await client.delete(NAMESPACES, "shared")
    left = await until_object(
        client, NAMESPACES, "shared", lambda obj: obj["spec"].get("finalizers") == ["example.com/mine"]
    )
    await client.replace(NAMESPACES, {**left, "spec": {}}, subresource="finalize")
    await gone(client, NAMESPACES, "shared")
