"""Services and EndpointSlices, read into the model."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_proxy.model import Endpoint, PortName
from hyperkube_proxy.objects import read_service, read_slice, service_of_slice


def service(**spec: Any) -> dict[str, Any]:
    given = {"clusterIP": "10.0.0.7", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}], **spec}
    return {"metadata": {"namespace": "ns", "name": "web"}, "spec": given}


HTTP = PortName("ns", "web", "http", "TCP")


@pytest.mark.parametrize(
    "spec",
    [{"clusterIP": "None"}, {"clusterIP": ""}, {"type": "ExternalName", "clusterIP": "10.0.0.7"}],
    ids=["headless", "no address yet", "external name"],
)
def test_services_without_an_address_of_their_own_are_not_proxied(spec: dict[str, Any]) -> None:
    assert read_service(service(**spec)) == {}


def test_each_port_is_one_of_its_own() -> None:
    found = read_service(service(ports=[{"name": "dns", "port": 53, "protocol": p} for p in ("TCP", "UDP")]))
    assert {(name.protocol, port.port, port.cluster_ip) for name, port in found.items()} == {
        ("TCP", 53, "10.0.0.7"),
        ("UDP", 53, "10.0.0.7"),
    }


def test_each_family_has_its_own_addresses() -> None:
    dual = service(
        clusterIPs=["10.0.0.7", "FD00::7"],
        ipFamilies=["IPv4", "IPv6"],
        externalIPs=["192.0.2.1", "2001:db8::1"],
        loadBalancerSourceRanges=["10.0.0.0/8", " fd00::/8 "],
    )
    found = read_service(dual)
    four, six = found[HTTP], found[HTTP._replace(family="IPv6")]
    assert (four.cluster_ip, four.external_ips, four.source_ranges) == ("10.0.0.7", ("192.0.2.1",), ("10.0.0.0/8",))
    assert (six.cluster_ip, six.external_ips, six.source_ranges) == ("fd00::7", ("2001:db8::1",), ("fd00::/8",))


def test_only_load_balancers_whose_traffic_keeps_their_address_are_known_by_it() -> None:
    given = service(type="LoadBalancer")
    ingress = [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "ipMode": "Proxy"}, {"hostname": "lb"}, {"ip": "2001:db8::1"}]
    given["status"] = {"loadBalancer": {"ingress": ingress}}
    assert read_service(given)[HTTP].load_balancer_ips == ("192.0.2.1",)


def test_a_range_of_everybody_is_none_at_all() -> None:
    given = service(loadBalancerSourceRanges=["10.0.0.0/8", "0.0.0.0/0"])
    assert read_service(given)[HTTP].source_ranges == ()


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 0),
        ({"sessionAffinity": "None"}, 0),
        ({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}}, 5),
        ({"sessionAffinity": "ClientIP"}, 10800),
    ],
)
def test_affinity_has_a_time(spec: dict[str, Any], seconds: int) -> None:
    assert read_service(service(**spec))[HTTP].affinity_seconds == seconds


@pytest.mark.parametrize(
    ("spec", "local", "checked"),
    [
        ({"externalTrafficPolicy": "Local"}, False, 0),
        ({"externalTrafficPolicy": "Local", "type": "NodePort"}, True, 0),
        ({"externalTrafficPolicy": "Local", "externalIPs": ["192.0.2.1"]}, True, 0),
        ({"externalTrafficPolicy": "Local", "type": "LoadBalancer", "healthCheckNodePort": 31000}, True, 31000),
        ({"externalTrafficPolicy": "Cluster", "type": "LoadBalancer", "healthCheckNodePort": 31000}, False, 0),
    ],
)
def test_policies_for_traffic_from_outside(spec: dict[str, Any], local: bool, checked: int) -> None:
    port = read_service(service(**spec))[HTTP]
    assert (port.external_local, port.health_check_node_port) == (local, checked)


def slice_(*endpoints: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ns", "name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
        **fields,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Endpoint("10.1.0.1", 8080)),
        ({"conditions": {"ready": None, "serving": None}}, Endpoint("10.1.0.1", 8080)),
        ({"conditions": {"ready": False}}, Endpoint("10.1.0.1", 8080, ready=False)),
        (
            {"conditions": {"ready": False, "serving": True, "terminating": True}},
            Endpoint("10.1.0.1", 8080, ready=False, terminating=True),
        ),
        ({"nodeName": "n1"}, Endpoint("10.1.0.1", 8080, local=True)),
        ({"nodeName": "n2"}, Endpoint("10.1.0.1", 8080)),
        (
            {"hints": {"forZones": [{"name": "a"}], "forNodes": [{"name": "n1"}]}},
            Endpoint("10.1.0.1", 8080, zones=frozenset("a"), nodes=frozenset({"n1"})),
        ),
    ],
)
def test_endpoints_have_conditions_and_a_place(given: dict[str, Any], expected: Endpoint) -> None:
    assert read_slice(slice_({"addresses": ["10.1.0.1"], **given}), node_name="n1") == {HTTP: (expected,)}


@pytest.mark.parametrize(
    "given",
    [
        slice_({"addresses": []}, ports=[]),
        slice_({"addresses": ["10.1.0.1"]}, ports=[{"name": None, "port": 80}]),
        slice_({"addresses": ["10.1.0.1"]}, ports=[{"name": "http", "port": None}]),
        slice_({"addresses": ["web.example"]}, addressType="FQDN"),
        slice_({"addresses": ["10.1.0.1"]}, metadata={"namespace": "ns", "name": "web-1"}),
    ],
    ids=["no port", "port without name", "every port", "names", "nobody's"],
)
def test_slices_that_say_nothing_to_a_proxy(given: dict[str, Any]) -> None:
    assert read_slice(given, node_name="n1") == {}


def test_a_slice_belongs_to_the_service_that_its_label_names() -> None:
    assert str(service_of_slice(slice_())) == "ns/web"
    assert service_of_slice(slice_(metadata={"namespace": "ns", "name": "x", "labels": {}})) is None
