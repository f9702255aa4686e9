"""The model follows what informers tell, and says whose services changed."""

from __future__ import annotations

from typing import Any

from hyperkube_proxy.changes import TRIGGER_ANNOTATION, Model
from hyperkube_proxy.model import Endpoint, PortName, ServiceName

WEB = ServiceName("ns", "web")
HTTP = PortName("ns", "web", "http", "TCP")


def service(port: int = 80, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ns", "name": "web", **metadata},
        "spec": {"clusterIP": "10.0.0.7", "ports": [{"name": "http", "port": port, "protocol": "TCP"}]},
    }


def slice_(*addresses: str, name: str = "web-1", of: str = "web", terminating: bool = False) -> dict[str, Any]:
    conditions = {"ready": not terminating, "serving": True, "terminating": terminating}
    return {
        "metadata": {"namespace": "ns", "name": name, "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": conditions} for address in addresses],
    }


def addresses(model: Model) -> list[str]:
    return [endpoint.ip for endpoint in model.endpoints(HTTP)]


def test_a_service_comes_changes_and_goes() -> None:
    model = Model()
    assert model.on_service(None, service())
    assert model.take().services == {WEB}
    assert model.ports(WEB)[HTTP].port == 80
    assert model.on_service(service(), service(81))
    assert model.ports(WEB)[HTTP].port == 81
    assert model.on_service(service(81), None)
    assert not model.ports(WEB)
    assert model.take().services == {WEB}
    assert not model.take().services


def test_what_a_proxy_does_not_care_for_is_no_change() -> None:
    model = Model()
    model.on_service(None, service())
    model.on_slice(None, slice_("10.1.0.1"))
    model.take()
    assert not model.on_service(service(), service(annotations={"a": "b"}))
    assert not model.on_slice(slice_("10.1.0.1"), slice_("10.1.0.1"))
    assert not model.take().services
    assert (model.service_changes, model.endpoint_changes) == (2, 2), "all are counted"


def test_endpoints_are_those_of_all_slices_in_order() -> None:
    model = Model()
    model.on_slice(None, slice_("10.1.0.3", "10.1.0.1"))
    model.on_slice(None, slice_("10.1.0.2", name="web-2"))
    assert addresses(model) == ["10.1.0.1", "10.1.0.2", "10.1.0.3"]
    model.on_slice(slice_("10.1.0.2", name="web-2"), None)
    assert addresses(model) == ["10.1.0.1", "10.1.0.3"]


def test_endpoints_before_their_service_are_kept() -> None:
    model = Model()
    model.on_slice(None, slice_("10.1.0.1"))
    model.on_service(None, service())
    assert model.take().services == {WEB}
    assert addresses(model) == ["10.1.0.1"]


def test_a_slice_that_moves_to_another_service_leaves_the_first() -> None:
    model = Model()
    model.on_slice(None, slice_("10.1.0.1"))
    model.take()
    model.on_slice(slice_("10.1.0.1"), slice_("10.1.0.1", of="api"))
    assert model.take().services == {WEB, ServiceName("ns", "api")}
    assert not addresses(model)


def test_an_address_that_is_used_again_is_that_of_the_running_pod() -> None:
    for order in (("web-1", "web-2"), ("web-2", "web-1")):
        model = Model()
        for name in order:
            model.on_slice(None, slice_("10.1.0.1", name=name, terminating=name == "web-1"))
        assert model.endpoints(HTTP) == (Endpoint("10.1.0.1", 8080),)


def test_it_is_known_when_pods_changed_that_endpoints_changed_for() -> None:
    model = Model()
    changed = slice_("10.1.0.1")
    changed["metadata"]["annotations"] = {TRIGGER_ANNOTATION: "2026-01-02T03:04:05.5Z"}
    model.on_slice(None, changed)
    odd = slice_("10.1.0.2", name="web-2")
    odd["metadata"]["annotations"] = {TRIGGER_ANNOTATION: "some time ago"}
    model.on_slice(None, odd)
    assert model.take().triggers == [1767323045.5]


def test_changes_that_wait_are_counted_until_they_are_taken() -> None:
    model = Model()
    model.on_service(None, service())
    model.on_slice(None, slice_("10.1.0.1"))
    assert (model.pending_services, model.pending_endpoints) == (1, 1)
    model.take()
    assert (model.pending_services, model.pending_endpoints) == (0, 0)
