"""What the server's flags change in the API."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest

from hyperkube_apiserver.admission import AdmissionSettings
from hyperkube_apiserver.admissionplugins import chosen
from hyperkube_apiserver.assembly import Settings
from hyperkube_apiserver.registry.strategy import Policy

pytestmark = pytest.mark.anyio

PODS = "/api/v1/namespaces/default/pods"
SERVICES = "/api/v1/namespaces/default/services"
PRIVILEGED = {
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "i:1", "securityContext": {"privileged": True}}]},
}


async def test_privileged_containers_are_refused_unless_they_are_allowed(api: Any) -> None:
    reply = await api.call("POST", PODS, PRIVILEGED)
    assert reply.status == 422
    assert "privileged" in reply.json["message"]


PRIVILEGES = Settings(
    policy=Policy(allow_privileged=True), admission=AdmissionSettings(plugins=chosen(disable=["ServiceAccount"]))
)


@pytest.mark.parametrize("api", [PRIVILEGES], indirect=True)
async def test_privileged_containers_are_taken_where_they_are_allowed(api: Any) -> None:
    assert (await api.call("POST", PODS, PRIVILEGED)).status == 201


@pytest.mark.parametrize(
    "api", [Settings(service_networks=(IPv4Network("192.168.7.0/29"),), node_ports=range(31000, 31001))], indirect=True
)
async def test_addresses_and_ports_of_services_come_from_their_ranges(api: Any) -> None:
    kubernetes = (await api.get(f"{SERVICES}/kubernetes")).json
    assert kubernetes["spec"]["clusterIP"] == "192.168.7.1"
    body = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    made = await api.create(SERVICES, body)
    assert IPv4Address(made["spec"]["clusterIP"]) in IPv4Network("192.168.7.0/29")
    assert made["spec"]["ports"][0]["nodePort"] == 31000
    body["metadata"] = {"name": "t"}
    full = await api.call("POST", SERVICES, body)
    assert full.status == 500
    assert "range is full" in full.json["message"]


DUAL = Settings(service_networks=(IPv4Network("192.168.7.0/24"), IPv6Network("fd00::/112")))


@pytest.mark.parametrize("api", [DUAL], indirect=True)
async def test_services_of_both_families_have_an_address_of_each_range(api: Any) -> None:
    (range_,) = (await api.get("/apis/networking.k8s.io/v1/servicecidrs")).json["items"]
    assert range_["spec"]["cidrs"] == ["192.168.7.0/24", "fd00::/112"]
    assert range_["status"]["conditions"][0]["status"] == "True"
    spec = {"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}]}
    made = (await api.create(SERVICES, {"metadata": {"name": "s"}, "spec": spec}))["spec"]
    assert made["ipFamilies"] == ["IPv4", "IPv6"]
    assert IPv4Address(made["clusterIPs"][0]) in IPv4Network("192.168.7.0/24")
    assert IPv6Address(made["clusterIPs"][1]) in IPv6Network("fd00::/112")


@pytest.mark.parametrize("api", [Settings(event_ttl_seconds=60)], indirect=True)
async def test_events_last_as_long_as_they_are_told_to(api: Any) -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}, "reason": "R", "message": "m"}
    await api.create("/api/v1/namespaces/default/events", event)
    async with api.watch("/api/v1/namespaces/default/events?watch=1") as stream:
        await stream.names(1)
        await api.clock.advance(120)
        assert await stream.names(1) == [("DELETED", "e")]
