"""The chain: who is asked, in which order, and how often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hyperkube_apiserver.admission import PLUGINS, AdmissionSettings, Chain, Plugin, build_chain
from hyperkube_apiserver.admission.configuration import ConfigurationError
from hyperkube_apiserver.admissionplugins import DEFAULT_ON, IDLE, ORDER, chosen
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio


def attributes(world: Any, address: str = "configmaps", **fields: Any) -> Attributes:
    given = {"operation": Operation.CREATE, "name": "m", "namespace": "ns", "obj": {"asked": []}, **fields}
    return Attributes(kind=world.kind(address), identity=world.identity, warn=lambda text: None, **given)


class Noting(Plugin):
    """Notes in the object that it was asked."""

    label = "plain"

    def admit(self, attributes: Attributes) -> None:
        assert attributes.obj is not None
        attributes.obj["asked"].append(self.label)


class Waiting(Noting):
    """Does so once it has waited, as webhooks do, and has the others asked again the first time."""

    label = "waiting"

    async def admit(self, attributes: Attributes) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().admit(attributes)
        attributes.reinvoke = True


class Refusing(Plugin):
    async def validate(self, attributes: Attributes) -> None:
        await asyncio.sleep(0)
        raise APIError.bad_request("no")


@pytest.fixture
def chain(world: Any) -> Chain:
    return Chain(one(world.cluster, AdmissionSettings()) for one in (Noting, Waiting, Refusing))


async def test_plugins_may_wait_and_have_all_asked_once_more(world: Any, chain: Chain) -> None:
    asked = attributes(world)
    await chain.admit(asked)
    assert asked.obj == {"asked": ["plain", "waiting", "plain", "waiting"]}
    with pytest.raises(APIError, match="no"):
        await chain.validate(asked)


async def test_a_plugin_is_asked_about_what_it_handles_alone(world: Any) -> None:
    class Choosy(Noting):
        operations = frozenset((Operation.CREATE, Operation.DELETE))
        about = ("configmaps", "pods/binding", "leases.coordination.k8s.io")

    chain = Chain([Choosy(world.cluster, AdmissionSettings())])
    for address, fields, times in (
        ("configmaps", {}, 1),
        ("configmaps", {"operation": Operation.UPDATE}, 0),
        ("configmaps", {"operation": Operation.DELETE}, 1),
        ("configmaps", {"subresource": "status"}, 0),
        ("pods", {}, 0),
        ("pods", {"subresource": "binding"}, 1),
        ("leases.coordination.k8s.io", {}, 1),
    ):
        asked = attributes(world, address, **fields)
        await chain.admit(asked)
        assert asked.obj == {"asked": ["plain"] * times}, (address, fields)


def test_every_plugin_has_a_place_and_every_place_a_plugin_or_nothing_to_do() -> None:
    assert set(PLUGINS) | IDLE == set(ORDER)
    assert not set(PLUGINS) & IDLE
    assert len(set(ORDER)) == len(ORDER) == 41
    assert set(ORDER) >= DEFAULT_ON


async def test_flags_turn_plugins_on_and_off_and_never_around(world: Any) -> None:
    plain = chosen()
    assert list(plain) == sorted(plain, key=ORDER.index)
    assert {"NamespaceLifecycle", "ServiceAccount", "Priority"} <= set(plain)
    assert not {"NodeRestriction", "AlwaysDeny", "AlwaysPullImages"} & set(plain)
    with_nodes = chosen(enable=["NodeRestriction", "AlwaysAdmit"], disable=["ServiceAccount"])
    assert set(with_nodes) == set(plain) - {"ServiceAccount"} | {"NodeRestriction", "AlwaysAdmit"}
    assert with_nodes[0] == "AlwaysAdmit"
    assert chosen(only=["Priority", "NamespaceExists"]) == ("NamespaceExists", "Priority")
    chain = build_chain(world.cluster, AdmissionSettings(plugins=with_nodes))
    assert [type(plugin).__name__ for plugin in chain.plugins] == list(with_nodes)


_POLICIES = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "ValidatingAdmissionPolicyConfiguration"}
_WEBHOOKS = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration"}


@pytest.mark.parametrize(
    ("plugin", "told"), [("ValidatingAdmissionPolicy", _POLICIES), ("MutatingAdmissionWebhook", _WEBHOOKS)]
)
async def test_policies_and_webhooks_in_files_are_refused_rather_than_ignored(
    world: Any, plugin: str, told: Any
) -> None:
    def build(**fields: Any) -> None:
        build_chain(world.cluster, AdmissionSettings(plugins=(plugin,), configurations={plugin: {**told, **fields}}))

    build(staticManifestsDir="")
    with pytest.raises(ConfigurationError, match="requires the ManifestBasedAdmissionControlConfig feature gate"):
        build(staticManifestsDir="/etc/policies")
    with pytest.raises(ConfigurationError, match='unknown field "policies"'):
        build(policies=[])
    with pytest.raises(ConfigurationError, match=f"its configuration is no {told['kind']}"):
        build(kind="Other")
