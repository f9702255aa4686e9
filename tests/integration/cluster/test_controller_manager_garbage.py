"""The garbage collector beside a real API server."""

from __future__ import annotations

from typing import Any

import pytest
from _clusters import Cluster, eventually
from _watching import gone, until_object

from hyperkube_machinery.builtin import (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    REPLICA_SETS,
    SECRETS,
)
from hyperkube_machinery.resources import Resource

pytestmark = pytest.mark.anyio


async def start(cluster: Cluster) -> None:
    """As in production, where each controller has its own rights and the server itself few."""
    await cluster.start("controller-manager", "--secure-port=0", "--use-service-account-credentials")


Tree = dict[str, Any]


@pytest.fixture
async def collected(cluster: Cluster) -> Cluster:
    await start(cluster)
    return cluster


def reference(owner: Tree, kind: str = "ConfigMap", *, blocks: bool = False, api_version: str = "v1") -> Tree:
    about = owner["metadata"]
    named = {"apiVersion": api_version, "kind": kind, "name": about["name"], "uid": about["uid"]}
    return {**named, "blockOwnerDeletion": blocks}


async def make(
    cluster: Cluster,
    name: str,
    *owners: Tree,
    namespace: str = "default",
    resource: Resource = CONFIG_MAPS,
    finalizers: tuple[str, ...] = (),
) -> Tree:
    about = {"name": name, "namespace": namespace, "ownerReferences": list(owners), "finalizers": list(finalizers)}
    return await cluster.client.create(resource, {"metadata": about})


def has_no_owner(obj: Tree) -> bool:
    return not obj["metadata"].get("ownerReferences")


async def test_dependents_follow_their_owner(collected: Cluster) -> None:
    owner = await make(collected, "owner")
    child = await make(collected, "child", reference(owner), resource=SECRETS)
    await make(collected, "grandchild", reference(child, "Secret"))
    await collected.client.delete(CONFIG_MAPS, "owner", "default", propagation="Background")
    await gone(collected.client, SECRETS, "child", "default")
    await gone(collected.client, CONFIG_MAPS, "grandchild", "default")


async def test_a_dependent_stays_while_it_has_another_owner(collected: Cluster) -> None:
    first, second = await make(collected, "first"), await make(collected, "second")
    await make(collected, "child", reference(first), reference(second))
    await collected.client.delete(CONFIG_MAPS, "first", "default", propagation="Background")
    kept = await until_object(
        collected.client, CONFIG_MAPS, "child", lambda obj: len(obj["metadata"]["ownerReferences"]) == 1, "default"
    )
    assert kept["metadata"]["ownerReferences"][0]["name"] == "second"


async def test_an_owner_deleted_in_the_foreground_waits_for_those_who_block(collected: Cluster) -> None:
    client = collected.client
    owner = await make(collected, "owner")
    await make(collected, "blocker", reference(owner, blocks=True), finalizers=("example.com/slow",))
    await make(collected, "other", reference(owner), finalizers=("example.com/slow",))
    await client.delete(CONFIG_MAPS, "owner", "default", propagation="Foreground")
    for name in ("blocker", "other"):
        await until_object(client, CONFIG_MAPS, name, lambda obj: obj["metadata"].get("deletionTimestamp"), "default")
    waiting = await client.get(CONFIG_MAPS, "owner", "default")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    await client.patch(CONFIG_MAPS, "blocker", {"metadata": {"finalizers": []}}, "default")
    await gone(client, CONFIG_MAPS, "owner", "default")
    await client.get(CONFIG_MAPS, "other", "default")  # was not waited for


async def test_a_circle_of_owners_goes(collected: Cluster) -> None:
    """Each waits for the next one, deleted in the foreground. As in Kubernetes' conformance tests."""
    client = collected.client
    made = [await make(collected, name) for name in ("a", "b", "c")]
    for at, obj in enumerate(made):
        owners = [reference(made[at - 1], blocks=True)]
        await client.patch(CONFIG_MAPS, obj["metadata"]["name"], {"metadata": {"ownerReferences": owners}}, "default")
    await client.delete(CONFIG_MAPS, "a", "default", propagation="Foreground")
    for name in ("a", "b", "c"):
        await gone(client, CONFIG_MAPS, name, "default")


async def test_who_has_another_owner_does_not_keep_one_that_waits(collected: Cluster) -> None:
    """As in Kubernetes' conformance tests."""
    client = collected.client
    leaving, staying = await make(collected, "leaving"), await make(collected, "staying")
    for number in range(4):
        owners = [reference(leaving, blocks=True), *([reference(staying)] if number % 2 else [])]
        await make(collected, f"child-{number}", *owners)
    await client.delete(CONFIG_MAPS, "leaving", "default", propagation="Foreground")
    await gone(client, CONFIG_MAPS, "leaving", "default")
    for number in range(4):
        if number % 2:
            kept = await client.get(CONFIG_MAPS, f"child-{number}", "default")
            assert [one["name"] for one in kept["metadata"]["ownerReferences"]] == ["staying"]
        else:
            await gone(client, CONFIG_MAPS, f"child-{number}", "default")


async def test_orphans_stay_and_lose_their_owner(collected: Cluster) -> None:
    client = collected.client
    owner = await make(collected, "owner")
    for number in range(5):
        await make(collected, f"child-{number}", reference(owner))
    await client.delete(CONFIG_MAPS, "owner", "default", propagation="Orphan")
    await gone(client, CONFIG_MAPS, "owner", "default")
    for number in range(5):
        await until_object(client, CONFIG_MAPS, f"child-{number}", has_no_owner, "default")


async def test_who_names_an_owner_that_never_was_is_deleted(collected: Cluster) -> None:
    absent = {"metadata": {"name": "nobody", "uid": "11111111-2222-3333-4444-555555555555"}}
    await make(collected, "child", reference(absent))
    await gone(collected.client, CONFIG_MAPS, "child", "default")


async def test_an_owner_of_the_same_name_is_not_the_owner(collected: Cluster) -> None:
    owner = await make(collected, "owner")
    forged = {"metadata": {"name": "owner", "uid": "11111111-2222-3333-4444-555555555555"}}
    await make(collected, "child", reference(forged))
    await gone(collected.client, CONFIG_MAPS, "child", "default")
    assert (await collected.client.get(CONFIG_MAPS, "owner", "default"))["metadata"]["uid"] == owner["metadata"]["uid"]


async def test_an_owner_in_another_namespace_is_told_of_in_an_event(collected: Cluster) -> None:
    client = collected.client
    owner = await make(collected, "owner")
    await client.create(NAMESPACES, {"metadata": {"name": "elsewhere"}})
    uid = owner["metadata"]["uid"]
    await make(collected, "child", reference(owner), namespace="elsewhere")
    await gone(client, CONFIG_MAPS, "child", "elsewhere")

    async def told() -> list[Tree]:
        return list((await client.list(EVENTS, "elsewhere", fields="reason=OwnerRefInvalidNamespace")).items)

    events = await eventually(told)  # nothing waits for an event to be written, not even the end of the dependent
    owner_shown = f"[v1/ConfigMap, namespace: elsewhere, name: owner, uid: {uid}]"
    assert [(one["type"], one["message"], one["source"]["component"]) for one in events] == [
        (
            "Warning",
            f'ownerRef {owner_shown} does not exist in namespace "elsewhere"',
            "garbage-collector-controller",
        )
    ]
    await client.get(CONFIG_MAPS, "owner", "default")


async def test_what_was_orphaned_while_nobody_collected_is_found_at_the_start(cluster: Cluster) -> None:
    owner = await make(cluster, "owner")
    await make(cluster, "child", reference(owner))
    leaving = await make(cluster, "leaving")
    await make(cluster, "kept", reference(leaving))
    await cluster.client.delete(CONFIG_MAPS, "owner", "default", propagation="Background")
    await cluster.client.delete(CONFIG_MAPS, "leaving", "default", propagation="Orphan")
    await start(cluster)
    await gone(cluster.client, CONFIG_MAPS, "child", "default")
    await gone(cluster.client, CONFIG_MAPS, "leaving", "default")
    await until_object(cluster.client, CONFIG_MAPS, "kept", has_no_owner, "default")


async def test_kubectl_waits_for_what_a_deployment_leaves(collected: Cluster) -> None:
    await collected.kubectl("create", "deployment", "web", "--image=x", "--replicas=2")
    await collected.kubectl("wait", "--for=create", "pod", "--selector=app=web", "--timeout=30s")
    await collected.kubectl("delete", "deployment", "web", "--cascade=foreground", "--timeout=30s")
    assert (await collected.client.list(REPLICA_SETS, "default")).items == []
