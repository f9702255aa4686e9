"""OwnerReferencesPermissionEnforcement: who may have things deleted with others."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

PLUGIN = "OwnerReferencesPermissionEnforcement"
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1"}
BLOCKING = {**OWNER, "blockOwnerDeletion": True}


def owned(*owners: Tree) -> Tree:
    return {"metadata": {"name": "m", "ownerReferences": list(owners)}}


@pytest.fixture
def nobody(world: Any, allowing: Any) -> Any:
    world.cluster.authorizer = allowing()
    return world


async def test_a_new_object_may_have_owners(nobody: Any) -> None:
    await nobody.ask(PLUGIN, "configmaps", owned(OWNER))


async def test_to_change_owners_is_to_delete(nobody: Any, allowing: Any) -> None:
    for new, old in ((owned(OWNER), owned()), (owned(), owned(OWNER)), (owned({**OWNER, "uid": "2"}), owned(OWNER))):
        told = await nobody.refusal(PLUGIN, "configmaps", new, old=old)
        assert told == (
            'configmaps "m" is forbidden: cannot set an ownerRef on a resource you can\'t delete: because, <nil>'
        )
        assert await nobody.unaffected(PLUGIN, "configmaps", new, old=old)
    nobody.cluster.authorizer = allowing("delete m")
    await nobody.ask(PLUGIN, "configmaps", owned(OWNER), old=owned())


async def test_owners_that_stay_are_no_change(nobody: Any) -> None:
    await nobody.ask(PLUGIN, "configmaps", owned(OWNER), old=owned({**OWNER, "controller": None}))
    await nobody.ask(PLUGIN, "pods", owned(), old=owned(OWNER), subresource="status")


async def test_to_block_an_owner_is_to_set_its_finalizers(nobody: Any, allowing: Any) -> None:
    told = await nobody.refusal(PLUGIN, "configmaps", owned(BLOCKING))
    assert told == (
        'configmaps "m" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you '
        "can't set finalizers on: because, <nil>"
    )
    for word in ("update r", "update *"):
        nobody.cluster.authorizer = allowing(word)
        await nobody.ask(PLUGIN, "configmaps", owned(BLOCKING))


async def test_an_owner_that_was_blocked_before_is_asked_nothing_about(nobody: Any, allowing: Any) -> None:
    nobody.cluster.authorizer = allowing("delete m")
    other = {**OWNER, "uid": "2"}
    await nobody.ask(PLUGIN, "configmaps", owned(BLOCKING, other), old=owned(BLOCKING))
    await nobody.refusal(PLUGIN, "configmaps", owned(BLOCKING), old=owned(OWNER))


async def test_an_owner_of_an_unknown_kind_is_not_blocked(nobody: Any) -> None:
    told = await nobody.refusal(PLUGIN, "configmaps", owned({**BLOCKING, "kind": "Odd"}))
    assert told.endswith(
        "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion apps/v1 Kind Odd: "
        'no matches for kind "Odd" in version "apps/v1"'
    )
