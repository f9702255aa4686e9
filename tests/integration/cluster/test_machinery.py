"""What every server has in common, with a real API server: client, informers, events, leader election, delegation."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from _clusters import Cluster, eventually

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import (
    CONFIG_MAPS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SCHEDULING_EVENTS,
    SERVICE_ACCOUNTS,
)
from hyperkube_machinery.client import connect
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.component import Serving, showing
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.events import EventRecorder, SeriesRecorder
from hyperkube_machinery.informers import Informer, Informers, key_of, split_key
from hyperkube_machinery.leaderelection import LeaderElector, LeadershipLost, LeaseTimes
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.workqueue import WorkQueue

pytestmark = pytest.mark.anyio

CLOCK = SystemClock()


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": data,
    }


async def test_objects_are_made_read_changed_and_deleted(cluster: Cluster) -> None:
    client = cluster.client
    made = await client.create(CONFIG_MAPS, config_map("a", x="1"), field_manager="test")
    with pytest.raises(APIError) as caught:
        await client.create(CONFIG_MAPS, config_map("a"))
    assert caught.value.reason == "AlreadyExists"
    assert await client.get(CONFIG_MAPS, "a", "default") == made
    replaced = await client.replace(CONFIG_MAPS, {**made, "data": {"x": "2"}})
    with pytest.raises(APIError) as caught:
        await client.replace(CONFIG_MAPS, made)
    assert caught.value.reason == "Conflict"
    assert (await client.patch(CONFIG_MAPS, "a", {"data": {"y": "3"}}, "default"))["data"] == {"x": "2", "y": "3"}
    op = {"op": "remove", "path": "/data/x"}
    assert (await client.patch(CONFIG_MAPS, "a", [op], "default", kind="json"))["data"] == {"y": "3"}
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"z": "4"}}
    assert (await client.patch(CONFIG_MAPS, "b", applied, "default", kind="apply", field_manager="t"))["data"] == {
        "z": "4"
    }
    with pytest.raises(APIError) as caught:
        await client.delete(CONFIG_MAPS, "a", "default", uid="another")
    assert caught.value.code == 409
    await client.delete(CONFIG_MAPS, "a", "default", uid=replaced["metadata"]["uid"])
    await client.delete_collection(CONFIG_MAPS, "default", labels="a!=b")
    assert (await client.list(CONFIG_MAPS, "default")).items == []


async def test_a_token_is_whose_it_is(cluster: Cluster) -> None:
    await cluster.client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "robot", "namespace": "default"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    told = await cluster.client.create(SERVICE_ACCOUNTS, request, "default", name="robot", subresource="token")
    admin = kubeconfig.read(cluster.kubeconfig)
    access = kubeconfig.Access(server=admin.server, ca_pem=admin.ca_pem, token=told["status"]["token"])
    async with connect(access, clock=CLOCK, user_agent="t", local=cluster.local) as client:
        with pytest.raises(APIError, match='User "system:serviceaccount:default:robot" cannot list resource "nodes"'):
            await client.list(NODES)
    impersonating = kubeconfig.Access(
        server=admin.server,
        ca_pem=admin.ca_pem,
        certificate_pem=admin.certificate_pem,
        key_pem=admin.key_pem,
        impersonation=kubeconfig.Impersonation(user="jane", groups=("a", "b")),
    )
    async with connect(impersonating, clock=CLOCK, user_agent="t", local=cluster.local) as client:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await client.raw(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            [("content-type", "application/json")],
            orjson.dumps(review),
        )
        user = orjson.loads(answer.body)["status"]["userInfo"]
        assert (user["username"], set(user["groups"])) == ("jane", {"a", "b", "system:authenticated"})


async def test_discovery_finds_what_the_others_talk_of(cluster: Cluster) -> None:
    found = {(one.api_version, one.resource): one for one in await cluster.client.discover()}
    for resource in (PODS, NODES, LEASES, CONFIG_MAPS, SCHEDULING_EVENTS):
        known = found[resource.api_version, resource.resource]
        assert (known.kind, known.namespaced) == (resource.kind, resource.namespaced)


async def test_an_informer_keeps_up_with_many_who_write(cluster: Cluster) -> None:
    client = cluster.client
    informer = Informer(client, CLOCK, CONFIG_MAPS, namespace="default", labels="!skipped")
    events: list[str] = []
    informer.on_change(lambda old, new: events.append("+" if old is None else "-" if new is None else "~"))
    await client.create(CONFIG_MAPS, config_map("before"))
    async with informer.running():
        await informer.wait_synced()
        assert "default/before" in informer
        await asyncio.gather(*(client.create(CONFIG_MAPS, config_map(f"c{number}")) for number in range(300)))
        await eventually(lambda: len(informer) == 301)
        await client.patch(CONFIG_MAPS, "c0", {"metadata": {"labels": {"skipped": "yes"}}}, "default")
        await client.patch(CONFIG_MAPS, "c1", {"data": {"a": "b"}}, "default")
        await eventually(lambda: len(events) == 303)
        assert "default/c0" not in informer
        assert (informer.get("default/c1") or {})["data"] == {"a": "b"}
        assert "managedFields" not in (informer.get("default/c1") or {})["metadata"]
        await client.delete_collection(CONFIG_MAPS, "default")
        await eventually(lambda: len(informer) == 0)
    assert (events.count("+"), events.count("~"), events.count("-")) == (301, 1, 301)


async def test_metadata_can_be_followed_alone(cluster: Cluster) -> None:
    informer = Informer(cluster.client, CLOCK, CONFIG_MAPS, namespace="default", metadata_only=True)
    await cluster.client.create(CONFIG_MAPS, config_map("before", x="1"))
    async with informer.running():
        await informer.wait_synced()
        await cluster.client.create(CONFIG_MAPS, config_map("after", x="1"))
        await eventually(lambda: len(informer) == 2)
    assert all("data" not in one for one in informer)


async def test_a_controller_gets_its_way(cluster: Cluster) -> None:
    """Each config map has a copy; whoever deletes or changes one sees it come back."""
    client = cluster.client
    informers = Informers(client, CLOCK)
    originals = informers.of(CONFIG_MAPS, "default", labels="original")
    copies = informers.of(CONFIG_MAPS, "default", labels="copy")
    queue: WorkQueue[str] = WorkQueue(CLOCK)

    async def reconcile(key: str) -> None:
        namespace, name = split_key(key)
        original, copy = originals.get(key), copies.get(f"{namespace}/{name}-copy")
        if original is None or (copy is not None and copy["data"] == original["data"]):
            return
        wanted = {**config_map(f"{name}-copy", **original["data"]), "apiVersion": "v1"}
        wanted["metadata"]["labels"] = {"copy": "yes"}
        await client.patch(
            CONFIG_MAPS, f"{name}-copy", wanted, namespace, kind="apply", field_manager="copier", force=True
        )

    originals.on_change(lambda old, new: queue.add(key_of(new or old or {})))
    copies.on_change(lambda old, new: queue.add(key_of(new or old or {}).removesuffix("-copy")))
    controller = Controller("copier", reconcile, clock=CLOCK, queue=queue, workers=2)
    async with informers.running():
        await informers.synced()
        task = asyncio.create_task(controller.run())
        try:
            original = config_map("a", x="1")
            original["metadata"]["labels"] = {"original": "yes"}
            await client.create(CONFIG_MAPS, original)
            await eventually(lambda: "default/a-copy" in copies)
            uid = (copies.get("default/a-copy") or {})["metadata"]["uid"]
            await client.delete(CONFIG_MAPS, "a-copy", "default")
            await eventually(
                lambda: (copies.get("default/a-copy") or original)["metadata"].get("uid") not in (None, uid)
            )
            await client.patch(CONFIG_MAPS, "a-copy", {"data": {"x": "2"}}, "default")
            await eventually(lambda: (copies.get("default/a-copy") or {}).get("data") == {"x": "1"})
        finally:
            task.cancel()
            await asyncio.wait((task,))


async def test_events_are_as_kubectl_shows_them(cluster: Cluster) -> None:
    namespace = await cluster.client.get(NAMESPACES, "default")
    async with (
        EventRecorder(cluster.client, CLOCK, component="tester").running() as recorder,
        SeriesRecorder(cluster.client, CLOCK, controller="tester", instance="tester-1").running() as series,
    ):
        for _ in range(3):
            recorder.event(namespace, "Warning", "Repeated", "the same")
        series.event(namespace, "Normal", "Done", "all of it", action="Doing")

        async def counted() -> bool:
            items = (await cluster.client.list(EVENTS, "default")).items
            return {(one["reason"], one.get("count")) for one in items} >= {("Repeated", 3), ("Done", None)}

        await eventually(counted)
    shown = await cluster.kubectl("get", "events", "-o", "wide")
    assert "Repeated" in shown
    assert "tester" in shown
    assert "all of it" in await cluster.kubectl("describe", "namespace", "default") + shown


async def test_one_of_two_leads_and_the_other_follows(cluster: Cluster) -> None:
    times = LeaseTimes(lease=3, renew=2, retry=0.2)
    order: list[str] = []
    gates = {name: asyncio.Event() for name in "ab"}

    electors = {name: LeaderElector(cluster.client, CLOCK, identity=name, name="test", times=times) for name in gates}

    async def lead(name: str) -> None:
        async with electors[name].leading():
            order.append(name)
            await gates[name].wait()

    tasks = [asyncio.create_task(lead(name)) for name in gates]
    await eventually(lambda: order and all(elector.leader == order[0] for elector in electors.values()))
    assert len(order) == 1
    gates[order[0]].set()
    await eventually(lambda: len(order) == 2)
    gates[order[1]].set()
    await asyncio.gather(*tasks)
    lease = await cluster.client.get(LEASES, "test", "kube-system")
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("", 1)


async def test_who_loses_the_lease_stops(cluster: Cluster) -> None:
    times = LeaseTimes(lease=3, renew=2, retry=0.2)
    elector = LeaderElector(cluster.client, CLOCK, identity="a", name="test", times=times)

    async def lead() -> None:
        async with elector.leading():
            stolen = {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 60}}
            await cluster.client.patch(LEASES, "test", stolen, "kube-system")
            await asyncio.get_running_loop().create_future()

    with pytest.raises(LeadershipLost):
        await lead()


async def test_the_api_server_says_who_may_read_a_neighbours_metrics(cluster: Cluster) -> None:
    ca_file = cluster.data_dir / "pki" / "ca.crt"
    scheduler = await cluster.connect(cluster.identity("system:kube-scheduler"))
    async with showing(Serving(client_ca=ca_file), clock=CLOCK, client=scheduler, registry=Registry()) as component:

        async def ask(identity: Path | None, path: str) -> int:
            access = kubeconfig.Access(server=f"https://127.0.0.1:{component.port}", insecure=True)
            if identity is not None:
                who = kubeconfig.read(identity)
                access = kubeconfig.Access(
                    server=access.server, insecure=True, certificate_pem=who.certificate_pem, key_pem=who.key_pem
                )
            async with connect(access, clock=CLOCK, user_agent="t") as client:
                return (await client.raw("GET", path)).status

        assert await ask(None, "/healthz") == 200
        assert await ask(None, "/metrics") == 403
        assert await ask(cluster.identity("ann"), "/metrics") == 403
        assert await ask(cluster.kubeconfig, "/metrics") == 200
        monitoring = cluster.identity("watcher", "system:monitoring")
        assert await ask(monitoring, "/metrics") == 200
        assert await ask(monitoring, "/configz") == 403
