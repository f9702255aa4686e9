"""What is done to objects of which only the identity is known."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hyperkube_controller_manager.ownedobjects import ClusterScopedDependent, Kinds, ObjectGone, Objects, UnknownKind
from hyperkube_controller_manager.ownergraph import Identity
from hyperkube_machinery.builtin import CONFIG_MAPS, NODES
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.testing.api import Asked, MemoryAPI
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

PATH = "/api/v1/namespaces/ns/configmaps"


@pytest.fixture
def api() -> MemoryAPI:
    return MemoryAPI()


@pytest.fixture
async def objects(api: MemoryAPI) -> AsyncIterator[Objects]:
    kinds = Kinds()
    kinds.refresh([CONFIG_MAPS, NODES])
    async with api.client(VirtualClock()) as client:
        yield Objects(client, kinds)


def put(api: MemoryAPI, *owners: str, finalizers: tuple[str, ...] = ()) -> Identity:
    refs = [{"uid": uid, "name": uid, "blockOwnerDeletion": True} for uid in owners]
    about: dict[str, Any] = {"name": "a", "ownerReferences": refs, "finalizers": list(finalizers)}
    stored = api.put(PATH, {"metadata": about})
    return Identity("v1", "ConfigMap", "ns", "a", stored["metadata"]["uid"])


def stored(api: MemoryAPI) -> dict[str, Any]:
    (obj,) = api.objects.values()
    about: dict[str, Any] = obj["metadata"]
    return about


def is_strategic(asked: Asked) -> bool:
    return "strategic" in asked.headers.get("content-type", "")


def unsupported() -> APIError:
    return APIError.of(415, "UnsupportedMediaType", "the body of the request was in an unknown format")


async def test_where_there_is_no_strategic_patch_a_merge_patch_does(api: MemoryAPI, objects: Objects) -> None:
    identity = put(api, "one", "two")
    api.refuse(unsupported(), is_strategic)
    await objects.detach(identity, ["one"])
    assert [ref["uid"] for ref in stored(api)["ownerReferences"]] == ["two"]


async def test_another_object_of_the_name_is_left_alone(api: MemoryAPI, objects: Objects) -> None:
    identity = put(api, "one")
    other = Identity(identity.api_version, identity.kind, identity.namespace, identity.name, "other")
    api.refuse(unsupported(), is_strategic)
    with pytest.raises(ObjectGone):
        await objects.detach(other, ["one"])
    await objects.unblock(other)
    await objects.remove_finalizer(other, "f")
    latest = await objects.get(identity)
    assert latest is not None
    with pytest.raises(APIError):
        await objects.delete(other, latest, "Background")
    assert stored(api)["ownerReferences"][0]["blockOwnerDeletion"] is True


async def test_owners_are_told_not_to_wait(api: MemoryAPI, objects: Objects) -> None:
    await objects.unblock(put(api, "one", "two"))
    assert [ref["blockOwnerDeletion"] for ref in stored(api)["ownerReferences"]] == [False, False]


async def test_a_finalizer_is_taken_off_although_the_object_changes(api: MemoryAPI, objects: Objects) -> None:
    identity = put(api, finalizers=("keep", "f"))
    api.refuse(APIError.conflict(CONFIG_MAPS, "a", "changed"), lambda asked: asked.method == "PATCH", times=3)
    await objects.remove_finalizer(identity, "f")
    assert stored(api)["finalizers"] == ["keep"]


async def test_an_object_whose_owners_are_the_same_is_deleted_although_it_changes(
    api: MemoryAPI, objects: Objects
) -> None:
    identity = put(api, "one")
    latest = await objects.get(identity)
    assert latest is not None
    api.refuse(APIError.conflict(CONFIG_MAPS, "a", "changed"), lambda asked: asked.method == "DELETE")
    await objects.delete(identity, latest, "Background")
    assert not api.objects
    conditions = [one.body["preconditions"] for one in api.asked if one.method == "DELETE"]
    uid = identity.uid
    assert conditions == [{"uid": uid, "resourceVersion": latest["metadata"]["resourceVersion"]}, {"uid": uid}]


async def test_an_object_that_found_another_owner_stays(api: MemoryAPI, objects: Objects) -> None:
    identity = put(api, "one")
    latest = await objects.get(identity)
    assert latest is not None
    stored(api)["ownerReferences"].append({"uid": "two", "name": "two"})
    api.refuse(APIError.conflict(CONFIG_MAPS, "a", "changed"), lambda asked: asked.method == "DELETE")
    with pytest.raises(APIError, match="changed"):
        await objects.delete(identity, latest, "Background")
    assert api.objects


async def test_what_is_gone_is_said_to_be(api: MemoryAPI, objects: Objects) -> None:
    identity = Identity("v1", "ConfigMap", "ns", "a", "u")
    assert await objects.get(identity) is None
    await objects.remove_finalizer(identity, "f")
    with pytest.raises(ObjectGone):
        await objects.delete(identity, {"metadata": {"resourceVersion": "1"}}, "Background")
    with pytest.raises(ObjectGone):
        await objects.detach(identity, ["one"])


async def test_kinds_that_are_not_served_and_places_that_are_none(objects: Objects) -> None:
    with pytest.raises(UnknownKind, match="serves no Box of"):
        await objects.get(Identity("example.com/v1", "Box", "ns", "a", "u"))
    with pytest.raises(ClusterScopedDependent):
        await objects.get(Identity("v1", "ConfigMap", "", "a", "u"))
    assert await objects.get(Identity("v1", "Node", "ns", "a", "u")) is None  # a node is looked for in no namespace


def test_a_version_that_is_not_preferred_means_the_same_kind() -> None:
    kinds = Kinds()
    kinds.refresh([NODES])
    assert kinds.of("v1beta1", "Node") is NODES
