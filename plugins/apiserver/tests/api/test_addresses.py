"""Cluster IPs and the IPAddresses that record them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from typing import Any

import pytest

from hyperkube_apiserver.assembly import API, Settings, assemble, follow_holdings
from hyperkube_apiserver.populate import populate
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_core.testing import VirtualClock
from hyperkube_machinery.storage.memory import MemoryStore

pytestmark = pytest.mark.anyio

SERVICES = "/api/v1/namespaces/default/services"
RECORDS = "/apis/networking.k8s.io/v1/ipaddresses"
RANGES = "/apis/networking.k8s.io/v1/servicecidrs"
NOW = "2026-01-01T00:00:00Z"


def service(name: str = "s", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


async def recorded(api: Any) -> dict[str, str]:
    """The names of the services that addresses are recorded for."""
    items = (await api.get(RECORDS)).json["items"]
    return {one["metadata"]["name"]: one["spec"]["parentRef"]["name"] for one in items}


async def until_recorded(api: Any, expected: dict[str, str]) -> None:
    for _ in range(1000):
        if await recorded(api) == expected:
            return
        await asyncio.sleep(0)
    assert await recorded(api) == expected


async def test_a_fresh_server_tells_of_its_range_and_of_its_own_address(api: Any) -> None:
    found = (await api.get(f"{RANGES}/kubernetes")).json
    assert found["spec"] == {"cidrs": ["10.0.0.0/24"]}
    (condition,) = found["status"]["conditions"]
    assert condition.pop("lastTransitionTime")
    assert condition == {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    }
    record = (await api.get(f"{RECORDS}/10.0.0.1")).json
    assert record["spec"] == {"parentRef": {"resource": "services", "namespace": "default", "name": "kubernetes"}}
    assert record["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }
    endpoints = (await api.get("/api/v1/namespaces/default/endpoints/kubernetes")).json
    assert endpoints["subsets"] == [
        {"addresses": [{"ip": "192.0.2.7"}], "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}]}
    ]
    slice_ = (await api.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")).json
    assert slice_["endpoints"] == [{"addresses": ["192.0.2.7"], "conditions": {"ready": True}}]


async def test_an_address_is_recorded_as_long_as_its_service_has_it(api: Any) -> None:
    own = {"10.0.0.1": "kubernetes"}
    await api.create(SERVICES, service(clusterIP="10.0.0.9"))
    assert await recorded(api) == {**own, "10.0.0.9": "s"}
    change = {"spec": {"type": "ExternalName", "externalName": "a.b", "clusterIP": "", "clusterIPs": None}}
    reply = await api.call("PATCH", f"{SERVICES}/s", change, content_type="application/merge-patch+json")
    assert reply.status == 200
    await until_recorded(api, own)
    change = {"spec": {"type": "ClusterIP", "externalName": None, "clusterIP": "10.0.0.9"}}
    reply = await api.call("PATCH", f"{SERVICES}/s", change, content_type="application/merge-patch+json")
    assert reply.status == 200
    assert await recorded(api) == {**own, "10.0.0.9": "s"}
    await api.call("DELETE", f"{SERVICES}/s")
    assert await recorded(api) == own


async def test_a_service_that_goes_with_its_last_finalizer_takes_its_record_along(api: Any) -> None:
    given = service(clusterIP="10.0.0.9")
    given["metadata"]["finalizers"] = ["example.com/wait"]
    await api.create(SERVICES, given)
    await api.call("DELETE", f"{SERVICES}/s")
    assert "10.0.0.9" in await recorded(api)
    change = {"metadata": {"finalizers": None}}
    await api.call("PATCH", f"{SERVICES}/s", change, content_type="application/merge-patch+json")
    assert "10.0.0.9" not in await recorded(api)


@pytest.mark.parametrize("path", [SERVICES, f"{SERVICES}?dryRun=All"])
async def test_a_service_that_is_not_stored_leaves_no_record(api: Any, path: str) -> None:
    ports = [{"port": 80}] if "dryRun" in path else [{"port": 0}]
    reply = await api.call("POST", path, service(clusterIP="10.0.0.9", ports=ports))
    assert reply.status == (201 if "dryRun" in path else 422)
    assert await recorded(api) == {"10.0.0.1": "kubernetes"}


async def test_an_address_that_somebody_recorded_by_hand_is_theirs(api: Any) -> None:
    parent = {"group": "example.com", "resource": "gateways", "name": "g"}
    await api.create(RECORDS, {"metadata": {"name": "10.0.0.9"}, "spec": {"parentRef": parent}})
    reply = await api.call("POST", SERVICES, service(clusterIP="10.0.0.9"))
    assert reply.json["message"] == (
        'Service "s" is invalid: spec.clusterIPs: Invalid value: ["10.0.0.9"]: failed to allocate IP 10.0.0.9: '
        "provided IP is already allocated"
    )
    await api.call("DELETE", f"{RECORDS}/10.0.0.9")
    await api.create(SERVICES, service(clusterIP="10.0.0.9"))


async def test_a_record_that_is_deleted_under_its_service_is_made_again(api: Any) -> None:
    await api.create(SERVICES, service(clusterIP="10.0.0.9"))
    await api.call("DELETE", f"{RECORDS}/10.0.0.9")
    await until_recorded(api, {"10.0.0.1": "kubernetes", "10.0.0.9": "s"})


async def test_a_second_range_gives_addresses_too(api: Any) -> None:
    reply = await api.call("POST", SERVICES, service(clusterIP="10.1.0.9"))
    assert "the provided network does not match the current range" in reply.json["message"]
    await api.create(RANGES, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.1.0.0/28"]}})
    await api.create(SERVICES, service(clusterIP="10.1.0.9"))
    assert (await recorded(api))["10.1.0.9"] == "s"


@pytest.mark.parametrize("api", [Settings(service_networks=(IPv4Network("10.0.0.0/27"),))], indirect=True)
async def test_concurrent_services_never_share_an_address(api: Any) -> None:
    replies = await asyncio.gather(*(api.call("POST", SERVICES, service(f"s{number}")) for number in range(40)))
    made = [reply.json["spec"]["clusterIP"] for reply in replies if reply.status == 201]
    assert len(made) == len(set(made)) == 29  # of 30, one is the server's own
    refused = [reply.json["message"].rpartition(": ")[2] for reply in replies if reply.status != 201]
    assert refused == ["range is full"] * 11
    assert set(await recorded(api)) == {"10.0.0.1", *made}


class Restarts:
    """Servers one after the other, over one store."""

    def __init__(self, store: MemoryStore, clock: VirtualClock) -> None:
        self.store, self.clock = store, clock

    @asynccontextmanager
    async def server(self) -> AsyncIterator[API]:
        api = assemble(self.store, self.clock, Settings())
        async with api.hub.running():
            follow_holdings(api)
            await populate(api, self.clock, Settings(), secure_port=6443)
            yield api


async def _names(api: API) -> set[str]:
    await api.hub.fresh()
    return {item.name for item in api.resource("networking.k8s.io", "ipaddresses").cache.items()}


@pytest.fixture
async def restarts() -> AsyncIterator[Restarts]:
    clock = VirtualClock()
    async with MemoryStore.open(clock=clock) as store:
        yield Restarts(store, clock)


async def test_what_a_crash_left_between_a_record_and_its_service_is_free_after_a_restart(restarts: Restarts) -> None:
    async with restarts.server() as api:
        assert await api.addresses.write("10.0.0.9", "default", "never-stored")
    async with restarts.server() as api:
        assert await _names(api) == {"10.0.0.1"}


async def test_services_of_a_store_without_records_are_recorded_at_the_start(restarts: Restarts) -> None:
    context = WriteContext(now=NOW, namespace="default")
    async with restarts.server() as api:
        tree = {"kind": "Service", "apiVersion": "v1", **service(clusterIP="10.0.0.9")}
        await api.resource("", "services").registry.create(tree, context, print)
        for name in ("10.0.0.1", "10.0.0.9"):
            item = api.resource("networking.k8s.io", "ipaddresses").cache.get(f"/registry/ipaddresses/{name}")
            assert item is not None
            await restarts.store.delete(item.key, expected=item.revision)  # type: ignore[arg-type]
        assert await _names(api) == set()
    async with restarts.server() as api:
        assert await _names(api) == {"10.0.0.1", "10.0.0.9"}


async def test_a_server_starts_again_that_crashed_before_it_had_made_its_own_service(restarts: Restarts) -> None:
    async with restarts.server() as api:
        item = api.resource("", "services").cache.get("/registry/services/specs/default/kubernetes")
        assert item is not None
        await restarts.store.delete(item.key, expected=item.revision)  # type: ignore[arg-type]
    async with restarts.server() as api:
        assert await _names(api) == {"10.0.0.1"}
        assert api.resource("", "services").cache.get(item.key) is not None
