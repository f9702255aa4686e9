"""Quotas, as those see it who make things in a namespace."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hyperkube_apiserver.admission import AdmissionSettings
from hyperkube_apiserver.assembly import Settings, assemble
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_core.testing import VirtualClock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

QUOTAS = "/api/v1/namespaces/default/resourcequotas"
PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def bound(api: Any, name: str, hard: Tree, used: Tree | None = None, **spec: Any) -> None:
    """Make a quota, and say of it what the controller would."""
    quota = await api.create(QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
    quota["status"] = {"hard": hard, "used": used if used is not None else dict.fromkeys(hard, "0")}
    reply = await api.put(f"{QUOTAS}/{name}/status", quota)
    assert reply.status == 200, reply.body


async def used(api: Any, name: str) -> Tree:
    told: Tree = (await api.get(f"{QUOTAS}/{name}")).json["status"]["used"]
    return told


def pod(name: str, **requests: str) -> Tree:
    resources = {"requests": requests} if requests else {}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]},
    }


def config_map(name: str) -> Tree:
    return {"metadata": {"name": name}}


async def test_what_is_made_is_charged_and_what_is_too_much_is_refused(api: Any) -> None:
    await bound(api, "q", {"pods": "2", "requests.cpu": "1"})
    await api.create(PODS, pod("a", cpu="600m"))
    assert await used(api, "q") == {"pods": "1", "requests.cpu": "600m"}
    reply = await api.call("POST", PODS, pod("b", cpu="500m"))
    assert reply.status == 403
    assert reply.json["message"] == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )
    assert await used(api, "q") == {"pods": "1", "requests.cpu": "600m"}


async def test_those_who_come_at_once_never_get_more_than_there_is_and_share_writes(api: Any) -> None:
    await bound(api, "q", {"count/configmaps": "10"})
    await bound(api, "other", {"configmaps": "50"})
    before = int((await api.get(f"{QUOTAS}/q")).json["metadata"]["resourceVersion"])
    replies = await asyncio.gather(*(api.call("POST", CONFIG_MAPS, config_map(f"c{n}")) for n in range(40)))
    made = [reply for reply in replies if reply.status == 201]
    refused = {reply.json["reason"] for reply in replies if reply.status != 201}
    assert (len(made), refused) == (10, {"Forbidden"})
    assert (await used(api, "q"), await used(api, "other")) == ({"count/configmaps": "10"}, {"configmaps": "10"})
    revision = int((await api.get(CONFIG_MAPS)).json["metadata"]["resourceVersion"])
    assert revision - before < 10 + 20, "each request wrote quotas of its own"


async def test_a_quota_that_changes_meanwhile_is_charged_as_it_is_then(api: Any) -> None:
    await bound(api, "q", {"configmaps": "5"})

    async def recount(n: int) -> None:
        quota = (await api.get(f"{QUOTAS}/q")).json
        await api.merge(f"{QUOTAS}/q", {"metadata": {"annotations": {"n": str(n), "seen": quota["metadata"]["uid"]}}})

    making = [api.call("POST", CONFIG_MAPS, config_map(f"c{n}")) for n in range(8)]
    replies = await asyncio.gather(*making, *(recount(n) for n in range(3)))
    made = [reply for reply in replies[:8] if reply.status == 201]
    assert len(made) == 5
    assert await used(api, "q") == {"configmaps": "5"}


async def test_a_trial_is_refused_like_the_real_thing_and_charged_nothing(api: Any) -> None:
    await bound(api, "q", {"configmaps": "1"})
    assert (await api.call("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("c"))).status == 201
    assert await used(api, "q") == {"configmaps": "0"}
    await api.create(CONFIG_MAPS, config_map("c"))
    assert (await api.call("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("d"))).status == 403


async def test_a_change_is_charged_what_it_adds_and_gives_back_nothing(api: Any) -> None:
    await bound(api, "q", {"services.nodeports": "2"})
    services = "/api/v1/namespaces/default/services"
    ports = [{"port": 80}, {"port": 81, "name": "b"}]
    made = await api.create(services, {"metadata": {"name": "s"}, "spec": {"ports": ports[:1]}})
    assert await used(api, "q") == {"services.nodeports": "0"}
    reply = await api.merge(f"{services}/s", {"spec": {"type": "NodePort"}})
    assert (reply.status, await used(api, "q")) == (200, {"services.nodeports": "1"}), made
    named = [{"port": 80, "name": "a"}, *ports[1:], {"port": 82, "name": "c"}]
    reply = await api.merge(f"{services}/s", {"spec": {"ports": named}})
    assert reply.status == 403, "three are more than two"
    reply = await api.merge(f"{services}/s", {"spec": {"type": "ClusterIP"}})
    assert (reply.status, await used(api, "q")) == (200, {"services.nodeports": "1"}), "the controller counts anew"


async def test_other_namespaces_have_nothing_to_do_with_it(api: Any) -> None:
    await bound(api, "q", {"configmaps": "0"})
    assert (await api.call("POST", CONFIG_MAPS, config_map("c"))).status == 403
    assert (await api.call("POST", "/api/v1/namespaces/kube-system/configmaps", config_map("c"))).status == 201


async def test_a_namespace_that_is_made_is_charged_to_nothing(api: Any) -> None:
    await bound(api, "q", {"count/namespaces": "0"})
    assert (await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "new"}})).status == 201


async def test_custom_resources_are_counted_like_others(api: Any, custom: Any) -> None:
    await custom.define("widgets", "Widget")
    await bound(api, "q", {"count/widgets.example.com": "1"})
    widgets = "/apis/example.com/v1/namespaces/default/widgets"
    widget = {"kind": "Widget", "apiVersion": "example.com/v1", "metadata": {"name": "a"}}
    await api.create(widgets, widget)
    reply = await api.call("POST", widgets, {**widget, "metadata": {"name": "b"}})
    assert reply.status == 403
    assert "requested: count/widgets.example.com=1, used: count/widgets.example.com=1" in reply.json["message"]


async def test_two_servers_of_one_store_never_give_more_than_there_is() -> None:
    """Each holds what it knows of a quota against what is stored."""
    clock = VirtualClock()
    settings = Settings(admission=AdmissionSettings(plugins=("ResourceQuota",)))
    context = WriteContext(now="2026-01-01T00:00:00Z", namespace="default")
    hard = {"configmaps": "7"}
    async with MemoryStore.open(clock=clock) as store:
        apis = [assemble(store, clock, settings) for _ in range(2)]
        async with apis[0].hub.running(), apis[1].hub.running():
            quotas = apis[0].resource("", "resourcequotas").registry
            quota = {
                "metadata": {"name": "q"},
                "spec": {"hard": hard},
            }
            await quotas.create(quota, context, print)
            status = WriteContext(now=context.now, namespace="default", subresource="status")
            counted = {"hard": hard, "used": {"configmaps": "0"}}
            await quotas.update("q", lambda old: {**old, "status": counted}, status, print)

            async def make(number: int) -> str:
                registry = apis[number % 2].resource("", "configmaps").registry
                try:
                    await registry.create({"metadata": {"name": f"c{number}"}}, context, print)
                except APIError as exc:
                    return exc.reason
                return ""

            answers = await asyncio.gather(*(make(number) for number in range(30)))
            assert set(answers) <= {"", "Forbidden", "Conflict"}, "who was too late too often is to try again"
            made = answers.count("")
            await apis[0].hub.fresh()
            told = apis[0].cluster.get("resourcequotas", "q", "default")["status"]["used"]
            assert made <= 7
            assert int(told["configmaps"]) == made == apis[0].cluster.count("configmaps", "default")


async def test_writers_of_quotas_are_the_server(api: Any) -> None:
    await bound(api, "q", {"configmaps": "1"})
    await api.create(CONFIG_MAPS, config_map("c"))
    entries = (await api.get(f"{QUOTAS}/q")).json["metadata"]["managedFields"]
    assert ("kube-apiserver", "status") in {(one["manager"], one.get("subresource")) for one in entries}
