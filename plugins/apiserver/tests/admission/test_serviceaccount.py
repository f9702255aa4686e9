"""ServiceAccount: what it makes of new pods, and what it refuses."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from hyperkube_machinery import meta

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

PLUGIN = "ServiceAccount"
PLACE = "/var/run/secrets/kubernetes.io/serviceaccount"
MIRROR = {"kubernetes.io/config.mirror": "x"}
ENFORCED = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}


def pod(**spec: Any) -> Tree:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec}}


@pytest.fixture
def accounts(world: Any) -> Any:
    world.add("serviceaccounts", "default", "ns")
    world.add("serviceaccounts", "puller", "ns", imagePullSecrets=[{"name": "one"}, {"name": "two"}])
    world.add("serviceaccounts", "closed", "ns", automountServiceAccountToken=False)
    world.add(
        "serviceaccounts",
        "strict",
        "ns",
        metadata=ENFORCED,
        secrets=[{"name": "mine"}],
        imagePullSecrets=[{"name": "i"}],
    )
    return world


async def test_a_pod_runs_as_the_default_account_and_carries_its_token(accounts: Any) -> None:
    spec = (await accounts.ask(PLUGIN, "pods", pod(initContainers=[{"name": "i", "image": "i:1"}])))["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    [volume] = spec["volumes"]
    assert re.fullmatch("kube-api-access-[bcdfghjklmnpqrstvwxz2456789]{5}", volume["name"])
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    assert volume["projected"] == {
        "defaultMode": 420,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ],
    }
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": PLACE}]


async def test_what_is_mounted_at_the_tokens_place_stays(accounts: Any) -> None:
    own = {"name": "mine", "mountPath": PLACE}
    given = pod(containers=[{"name": "c", "image": "i:1", "volumeMounts": [own]}])
    spec = (await accounts.ask(PLUGIN, "pods", given))["spec"]
    assert spec["containers"][0]["volumeMounts"] == [own]
    assert "volumes" not in spec


async def test_a_volume_that_has_such_a_name_is_used_again(accounts: Any) -> None:
    own = {"name": "kube-api-access-mine", "emptyDir": {}}
    spec = (await accounts.ask(PLUGIN, "pods", pod(volumes=[own])))["spec"]
    assert spec["volumes"] == [own]
    assert spec["containers"][0]["volumeMounts"][0]["name"] == own["name"]


@pytest.mark.parametrize(
    ("account", "asked", "mounted"),
    [("default", False, False), ("closed", None, False), ("closed", True, True), ("default", None, True)],
)
async def test_the_pod_decides_about_the_token_then_its_account(
    accounts: Any, account: str, asked: bool | None, mounted: bool
) -> None:
    given = pod(serviceAccountName=account)
    if asked is not None:
        given["spec"]["automountServiceAccountToken"] = asked
    spec = (await accounts.ask(PLUGIN, "pods", given))["spec"]
    assert ("volumes" in spec) is mounted


async def test_a_pod_that_pulls_with_no_secrets_pulls_with_its_accounts(accounts: Any) -> None:
    made = await accounts.ask(PLUGIN, "pods", pod(serviceAccountName="puller"))
    assert made["spec"]["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    given = pod(serviceAccountName="puller", imagePullSecrets=[{"name": "own"}])
    assert (await accounts.ask(PLUGIN, "pods", given))["spec"]["imagePullSecrets"] == [{"name": "own"}]


async def test_an_account_must_exist(accounts: Any) -> None:
    told = await accounts.refusal(PLUGIN, "pods", pod(serviceAccountName="none"))
    assert told == ('pods "p" is forbidden: error looking up service account ns/none: serviceaccount "none" not found')


async def test_the_default_account_is_waited_for(world: Any) -> None:
    asking = asyncio.create_task(world.ask(PLUGIN, "pods", pod()))
    await world.clock.until_sleeping(0.1)
    world.add("serviceaccounts", "default", "ns")
    await world.clock.advance(0.1)
    assert (await asking)["spec"]["volumes"]


async def test_the_default_account_is_not_waited_for_for_ever(world: Any) -> None:
    asking = asyncio.create_task(world.refusal(PLUGIN, "pods", pod()))
    await world.clock.until_sleeping(0.1)
    await world.clock.advance(0.8)
    assert not asking.done()
    await world.clock.advance(0.2)
    assert (await asking).endswith('error looking up service account ns/default: serviceaccount "default" not found')


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"serviceAccountName": "default"}, "a mirror pod may not reference service accounts"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "a mirror pod may not reference secrets"),
        ({"imagePullSecrets": [{"name": "s"}]}, "a mirror pod may not reference secrets"),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "a mirror pod may not use ServiceAccountToken volume projections",
        ),
    ],
)
async def test_a_mirror_pod_uses_nothing_of_the_servers(accounts: Any, spec: Tree, why: str) -> None:
    given = pod(**spec)
    given["metadata"]["annotations"] = MIRROR
    assert await accounts.refusal(PLUGIN, "pods", given) == f'pods "p" is forbidden: {why}'


async def test_a_mirror_pod_stays_as_it_is(accounts: Any) -> None:
    given = pod()
    given["metadata"]["annotations"] = MIRROR
    assert await accounts.ask(PLUGIN, "pods", given) == given


def _uses(name: str) -> list[tuple[Tree, str]]:
    key = [{"name": "c", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]}]
    whole = [{"name": "c", "envFrom": [{"secretRef": {"name": name}}]}]
    plain = [{"name": "c"}]
    return [
        ({"volumes": [{"name": "v", "secret": {"secretName": name}}]}, 'volume with secret.secretName="other"'),
        ({"containers": key}, 'container c with envVar E referencing secret.secretName="other"'),
        ({"containers": whole}, 'container c with envFrom referencing secret.secretName="other"'),
        (
            {"containers": plain, "initContainers": key},
            'init container c with envVar E referencing secret.secretName="other"',
        ),
        (
            {"containers": plain, "initContainers": whole},
            'init container c with envFrom referencing secret.secretName="other"',
        ),
    ]


@pytest.mark.parametrize("number", range(5))
async def test_an_account_can_keep_its_pods_to_its_secrets(accounts: Any, number: int) -> None:
    spec, use = _uses("other")[number]
    given = pod(serviceAccountName="strict", **spec)
    told = await accounts.refusal(PLUGIN, "pods", given)
    why = "is not allowed because service account strict does not reference that secret"
    assert told == f'pods "p" is forbidden: {use} {why}'
    await accounts.ask(PLUGIN, "pods", pod(serviceAccountName="strict", **_uses("mine")[number][0]))
    await accounts.ask(PLUGIN, "pods", pod(serviceAccountName="default", **spec))


async def test_an_account_can_keep_its_pods_to_its_pull_secrets(accounts: Any) -> None:
    given = pod(serviceAccountName="strict", imagePullSecrets=[{"name": "i"}, {"name": "other"}])
    assert await accounts.refusal(PLUGIN, "pods", given) == (
        'pods "p" is forbidden: imagePullSecrets[1].name="other" is not allowed because service account strict does '
        "not reference that imagePullSecret"
    )


async def test_ephemeral_containers_are_kept_to_the_secrets_too(accounts: Any) -> None:
    old = pod(serviceAccountName="strict")
    debug = {"name": "d", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "other"}}}]}
    new = pod(serviceAccountName="strict", ephemeralContainers=[debug])
    request = {"old": old, "subresource": "ephemeralcontainers"}
    told = await accounts.refusal(PLUGIN, "pods", new, code=500, **request)
    assert told == (
        'ephemeral container d with envVar E referencing secret.secretName="other" is not allowed because service '
        "account strict does not reference that secret"
    )
    missing = pod(serviceAccountName="none", ephemeralContainers=[debug])
    assert "error looking up" in await accounts.refusal(PLUGIN, "pods", missing, **request)
    nobody = pod(ephemeralContainers=[debug])
    told = await accounts.refusal(PLUGIN, "pods", nobody, **request)
    assert told == 'pods "p" is forbidden: no service account specified for pod ns/p'


async def test_updates_and_other_subresources_are_let_alone(accounts: Any) -> None:
    assert await accounts.ask(PLUGIN, "pods", pod(), old=pod()) == pod()
    assert await accounts.ask(PLUGIN, "pods", pod(), old=pod(), subresource="status") == pod()


async def test_without_the_plugin_a_pod_needs_no_account(world: Any) -> None:
    assert await world.unaffected(PLUGIN, "pods", pod(serviceAccountName="none"))


async def test_a_pod_that_is_to_be_named_yet_is_told_of_by_what_its_name_begins_with(world: Any) -> None:
    given = {**pod(serviceAccountName="none"), "metadata": {"generateName": "web-"}}
    assert meta.name(given) == ""
    assert (await world.refusal(PLUGIN, "pods", given)).startswith('pods "web-" is forbidden: ')
