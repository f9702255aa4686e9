"""Plugins about the namespaces that objects are in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hyperkube_apiserver.admission import PLUGINS, AdmissionSettings
from hyperkube_apiserver.admissionplugins import chosen
from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.registry.attributes import Operation
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio

MAP = {"metadata": {"name": "m"}}
LIFECYCLE = "NamespaceLifecycle"


@pytest.fixture
def namespaces(world: Any) -> Any:
    world.add("namespaces", "ns", status={"phase": "Active"})
    world.add("namespaces", "ending", status={"phase": "Terminating"})
    return world


async def test_nothing_is_written_in_a_namespace_that_is_not_there(namespaces: Any) -> None:
    for old in (None, MAP):
        told = await namespaces.refusal(LIFECYCLE, "configmaps", MAP, old=old, namespace="none", code=404)
        assert told == 'namespaces "none" not found'
    await namespaces.ask(LIFECYCLE, "configmaps", None, old=MAP, namespace="none")
    await namespaces.ask(LIFECYCLE, "configmaps", MAP)


async def test_nothing_is_made_in_a_namespace_that_ends(namespaces: Any) -> None:
    with pytest.raises(APIError) as caught:
        await namespaces.ask(LIFECYCLE, "configmaps", MAP, namespace="ending")
    status = caught.value.status
    assert status["code"] == 403
    assert status["message"] == (
        'configmaps "m" is forbidden: unable to create new content in namespace ending because it is being terminated'
    )
    cause = {
        "reason": "NamespaceTerminating",
        "message": "namespace ending is being terminated",
        "field": "metadata.namespace",
    }
    assert status["details"] == {"name": "m", "kind": "configmaps", "causes": [cause]}
    await namespaces.ask(LIFECYCLE, "configmaps", MAP, old=MAP, namespace="ending")


async def test_a_namespace_that_only_speaks_of_an_end_is_alive(namespaces: Any) -> None:
    namespaces.add("namespaces", "alive", metadata={"labels": {"a": "Terminating"}}, status={"phase": "Active"})
    await namespaces.ask(LIFECYCLE, "configmaps", MAP, namespace="alive")


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_some_namespaces_are_never_deleted(namespaces: Any, name: str) -> None:
    old = {"metadata": {"name": name}}
    told = await namespaces.refusal(LIFECYCLE, "namespaces", None, old=old)
    assert told == f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    assert await namespaces.ask(chosen(disable=[LIFECYCLE]), "namespaces", None, old=old) == {}


async def test_other_namespaces_are_deleted_and_all_are_made_and_changed(namespaces: Any) -> None:
    new = {"metadata": {"name": "kube-node-lease"}}
    await namespaces.ask(LIFECYCLE, "namespaces", None, old=new)
    await namespaces.ask(LIFECYCLE, "namespaces", new)
    await namespaces.ask(LIFECYCLE, "namespaces", new, old=new)
    await namespaces.ask(LIFECYCLE, "nodes", new)


async def test_reviews_of_access_tell_nothing_of_namespaces(namespaces: Any) -> None:
    plugin = PLUGINS[LIFECYCLE](namespaces.cluster, AdmissionSettings())
    maps = namespaces.kind("configmaps").resource
    assert plugin.handles(maps, Operation.CREATE, "")
    reviews = replace(maps, group="authorization.k8s.io", resource="localsubjectaccessreviews")
    assert not plugin.handles(reviews, Operation.CREATE, "")


async def test_without_the_plugin_any_namespace_will_do(namespaces: Any) -> None:
    for namespace in ("none", "ending"):
        assert await namespaces.unaffected(LIFECYCLE, "configmaps", MAP, namespace=namespace)


async def test_namespace_exists_wants_a_namespace_for_deletions_too(namespaces: Any) -> None:
    for obj, old in ((MAP, None), (MAP, MAP), (None, MAP)):
        request = {"old": old, "namespace": "none"}
        told = await namespaces.refusal("NamespaceExists", "configmaps", obj, code=404, **request)
        assert told == 'namespaces "none" not found'
        assert await namespaces.unaffected("NamespaceExists", "configmaps", obj, **request)
        await namespaces.ask("NamespaceExists", "configmaps", obj, old=old, namespace="ending")
    await namespaces.ask("NamespaceExists", "namespaces", {"metadata": {"name": "none"}})


@pytest.mark.parametrize("address", ["configmaps", "secrets", "namespaces"])
async def test_always_deny_lets_nothing_pass_but_what_the_server_writes(world: Any, address: str) -> None:
    await world.ask("AlwaysDeny", address, MAP)
    world.identity = Identity("jane", groups=("system:masters",))
    told = await world.refusal("AlwaysDeny", address, MAP)
    assert told == f'{address} "m" is forbidden: admission control is denying all modifications'
    await world.refusal("AlwaysDeny", address, None, old=MAP)
    await world.refusal("AlwaysDeny", address, {}, operation=Operation.CONNECT, name="m", subresource="exec")
    assert await world.unaffected("AlwaysDeny", address, MAP)


async def test_always_admit_changes_nothing(world: Any) -> None:
    assert await world.ask("AlwaysAdmit", "configmaps", MAP) == MAP
