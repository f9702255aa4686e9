"""An API server of a third party behind an APIService, as clients see it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from _fruits import GROUP, ROOT, Fruits

Tree = dict[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Any]) -> Any:
    return make_server("--allow-loopback-endpoints")


@pytest.fixture(scope="module")
def front_proxy_ca(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whom to believe, where every extension server looks for that."""
    with server.connect() as connection:
        path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
        told = connection.call("GET", path)[1]["data"]
    assert json.loads(told["requestheader-username-headers"]) == ["X-Remote-User"]
    file = tmp_path_factory.mktemp("proxies") / "ca.crt"
    file.write_text(told["requestheader-client-ca-file"])
    return file


def api_service(fruits: Fruits, **changes: Any) -> Tree:
    spec = {
        "group": GROUP,
        "version": "v1",
        "groupPriorityMinimum": 2000,
        "versionPriority": 10,
        "service": {"namespace": "orchard", "name": "fruits"},
        "caBundle": base64.b64encode(fruits.ca_pem).decode(),
        **changes,
    }
    return {
        "kind": "APIService",
        "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": f"v1.{GROUP}"},
        "spec": spec,
    }


def endpoint_slice(port: int) -> Tree:
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {"name": "fruits", "labels": {"kubernetes.io/service-name": "fruits"}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
    }


SERVICE = {"metadata": {"name": "fruits"}, "spec": {"ports": [{"name": "https", "port": 443}]}}


def wait_for(connection: Any, reason: str, status: str = "True") -> Tree:
    """The APIService once its condition gives that reason."""
    field = f"fieldSelector=metadata.name%3Dv1.{GROUP}&watch=true&sendInitialEvents=true&allowWatchBookmarks=true"
    path = f"{API_SERVICES}?{field}&resourceVersionMatch=NotOlderThan&timeoutSeconds=50"
    answer = connection.send("GET", path)
    try:
        for line in answer:
            obj: Tree = json.loads(line)["object"]
            for one in (obj.get("status") or {}).get("conditions") or ():
                if (one["reason"], one["status"]) == (reason, status):
                    return obj
    finally:
        connection.close()
    raise AssertionError(f"it never became {reason}")


@pytest.fixture
def fruits(server: Any, front_proxy_ca: Path, request: pytest.FixtureRequest) -> Iterator[Fruits]:
    """The server, registered and available."""
    aggregated = getattr(request, "param", True)
    with Fruits(front_proxy_ca, aggregated=aggregated).running() as fruits, server.connect() as connection:
        connection.call("POST", "/api/v1/namespaces", {"metadata": {"name": "orchard"}})
        assert connection.call("POST", "/api/v1/namespaces/orchard/services", SERVICE)[0] == 201
        slices = "/apis/discovery.k8s.io/v1/namespaces/orchard/endpointslices"
        assert connection.call("POST", slices, endpoint_slice(fruits.port))[0] == 201
        status, answer = connection.call("POST", API_SERVICES, api_service(fruits))
        assert status == 201, answer
        wait_for(connection, "Passed")
        yield fruits
        assert connection.call("DELETE", f"{API_SERVICES}/v1.{GROUP}")[0] == 200
        connection.call("DELETE", "/api/v1/namespaces/orchard/services/fruits")
        connection.call("DELETE", f"{slices}/fruits")


def test_requests_go_on_with_who_asks(server: Any, fruits: Fruits) -> None:
    with server.connect() as connection:
        forged = {"X-Remote-User": "mallory", "X-Remote-Group": "thieves", "X-Remote-Extra-Shoe": "9"}
        status, answer = connection.call("GET", f"{ROOT}/whoami", **{**forged, "Impersonate-User": "eve"})
        assert status == 403  # eve may not, and it is this server that says so
        status, answer = connection.call("GET", f"{ROOT}/whoami", **forged)
    assert (status, answer["user"]) == (200, "kubernetes-admin")
    assert answer["groups"] == ["system:masters", "system:authenticated"]
    headers = next(headers for method, path, headers in fruits.asked if path.endswith("/whoami"))
    assert "authorization" not in headers
    assert not [name for name in headers if "shoe" in name or name.startswith("impersonate")]
    assert headers["x-forwarded-uri"] == [f"{ROOT}/whoami"]


def test_objects_are_written_read_watched_and_deleted(server: Any, fruits: Fruits) -> None:
    place = f"{ROOT}/namespaces/orchard/fruits"
    with server.connect() as watching, server.connect() as connection:
        stream = watching.send("GET", f"{place}?watch=1")
        fruit = {"kind": "Fruit", "apiVersion": f"{GROUP}/v1", "metadata": {"name": "apple"}, "colour": "red"}
        status, made = connection.call("POST", place, fruit)
        assert (status, made["metadata"]["namespace"]) == (201, "orchard")
        assert json.loads(stream.readline())["object"]["metadata"]["name"] == "apple"
        assert connection.call("GET", f"{place}/apple")[1]["colour"] == "red"
        assert [one["metadata"]["name"] for one in connection.call("GET", place)[1]["items"]] == ["apple"]
        assert connection.call("GET", f"{place}/pear")[1]["message"] == f'fruits.{GROUP} "pear" not found'


@pytest.mark.parametrize(
    "fruits", [True, False], ids=["aggregated discovery", "discovery of each version"], indirect=True
)
def test_discovery_has_it_among_the_others(server: Any, fruits: Fruits) -> None:
    with server.connect() as connection:
        groups = connection.call("GET", "/apis")[1]["groups"]
        assert GROUP in [one["name"] for one in groups]
        assert connection.call("GET", f"/apis/{GROUP}")[1]["preferredVersion"]["version"] == "v1"
        assert connection.call("GET", ROOT)[1]["resources"][0]["name"] == "fruits"
        items = connection.call("GET", "/apis", accept=AGGREGATED)[1]["items"]
        (found,) = [one for one in items if one["metadata"]["name"] == GROUP]
        (version,) = found["versions"]
        assert version["freshness"] == "Current"
        (resource,) = version["resources"]
        assert (resource["resource"], resource["scope"], resource["shortNames"]) == ("fruits", "Namespaced", ["fr"])
        assert resource["responseKind"] == {"group": GROUP, "version": "v1", "kind": "Fruit"}


def test_redirects_are_not_passed_on(server: Any, fruits: Fruits) -> None:
    with server.connect() as connection:
        answer = connection.send("GET", f"{ROOT}/elsewhere")
        assert answer.status == 502
        assert b"attempted to redirect" in answer.read()


def test_who_is_gone_is_unavailable_and_comes_back(server: Any, fruits: Fruits) -> None:
    slices = "/apis/discovery.k8s.io/v1/namespaces/orchard/endpointslices/fruits"
    with server.connect() as connection, server.connect() as watching:
        dead = {"ports": [{"name": "https", "port": 1, "protocol": "TCP"}]}
        kind = "application/merge-patch+json"
        assert connection.call("PATCH", slices, dead, content_type=kind)[0] == 200
        obj = wait_for(watching, "FailedDiscoveryCheck", "False")
        (condition,) = obj["status"]["conditions"]
        url = f"https://127.0.0.1:1{ROOT}"
        assert condition["message"].startswith(f'failing or missing response from {url}: Get "{url}": dial tcp')
        answer = connection.send("GET", f"{ROOT}/namespaces/orchard/fruits")
        assert (answer.status, answer.read()) == (503, b"service unavailable\n")
        metrics = connection.send("GET", "/metrics").read().decode()
        assert f'aggregator_unavailable_apiservice{{name="v1.{GROUP}"}} 1' in metrics
        assert 'aggregator_unavailable_apiservice{name="v1.apps"} 0' in metrics
        reason = f'aggregator_unavailable_apiservice_total{{name="v1.{GROUP}",reason="FailedDiscoveryCheck"}}'
        assert reason in metrics
        well = {"ports": [{"name": "https", "port": fruits.port, "protocol": "TCP"}]}
        connection.call("PATCH", slices, well, content_type=kind)
        wait_for(watching, "Passed")
        assert connection.call("GET", f"{ROOT}/namespaces/orchard/fruits")[0] == 200


def test_kubectl_uses_it_as_any_other(kubectl_of: Callable[[Any], Any], server: Any, fruits: Fruits) -> None:
    fruits.put("default", {"kind": "Fruit", "apiVersion": f"{GROUP}/v1", "metadata": {"name": "plum"}})
    kubectl = kubectl_of(server)
    assert "plum" in kubectl("get", "fr")
    assert "True" in kubectl("get", "apiservice", f"v1.{GROUP}")
    assert ["fruits", "fr", f"{GROUP}/v1"] in [line.split()[:3] for line in kubectl("api-resources").splitlines()]
    assert "Colour tells whether it is ripe." in kubectl("explain", "fruits")
