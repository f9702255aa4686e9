"""The environment of containers, and what else refers to it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from hyperkube_kubelet.containers.environment import (
    Holdings,
    UnmetReference,
    environment,
    references,
    service_variables,
)
from hyperkube_kubelet.containers.expansion import expand
from hyperkube_kubelet.containers.fieldpaths import Addresses, DownwardError, field_value, resource_value

from ..builders import container, pod

WHERE = Addresses(pod_ips=("10.244.0.5", "fd00::5"), host_ips=("192.0.2.1",), allocatable={"cpu": "4", "memory": "8Gi"})


def made(
    spec: dict[str, Any], *services: dict[str, Any], holdings: Holdings | None = None, **of_pod: Any
) -> dict[str, str]:
    return environment(pod(spec, **of_pod), spec, services, holdings or Holdings(), WHERE)


def env(*variables: tuple[str, Any]) -> dict[str, Any]:
    return container(
        env=[
            {"name": name, "value": value} if isinstance(value, str) else {"name": name, "valueFrom": value}
            for name, value in variables
        ]
    )


def service(name: str, *ports: dict[str, Any], namespace: str = "default", address: str = "10.0.0.9") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": address, "ports": list(ports)}}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("$(A)$(B)", "12"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("a$", "a$"),
        ("$$$(A)", "$1"),
    ],
)
def test_references_are_replaced(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}, {"A": "0", "B": "2"}) == expanded


def test_values_refer_to_those_before_them() -> None:
    found = made(env(("LATER", "$(EARLIER)"), ("EARLIER", "1"), ("BOTH", "$(EARLIER)-$(LATER)")))
    assert found == {"LATER": "$(EARLIER)", "EARLIER": "1", "BOTH": "1-$(EARLIER)"}


def test_services_are_told_as_they_always_were() -> None:
    web = service("web-app", {"port": 80, "name": "http"}, {"port": 53, "protocol": "UDP", "name": "dns"})
    assert service_variables([web], "default", links=True) == {
        "WEB_APP_SERVICE_HOST": "10.0.0.9",
        "WEB_APP_SERVICE_PORT": "80",
        "WEB_APP_SERVICE_PORT_HTTP": "80",
        "WEB_APP_SERVICE_PORT_DNS": "53",
        "WEB_APP_PORT": "tcp://10.0.0.9:80",
        "WEB_APP_PORT_80_TCP": "tcp://10.0.0.9:80",
        "WEB_APP_PORT_80_TCP_PROTO": "tcp",
        "WEB_APP_PORT_80_TCP_PORT": "80",
        "WEB_APP_PORT_80_TCP_ADDR": "10.0.0.9",
        "WEB_APP_PORT_53_UDP": "udp://10.0.0.9:53",
        "WEB_APP_PORT_53_UDP_PROTO": "udp",
        "WEB_APP_PORT_53_UDP_PORT": "53",
        "WEB_APP_PORT_53_UDP_ADDR": "10.0.0.9",
    }


def test_of_other_namespaces_only_the_api_server_is_told() -> None:
    there = [
        service(name, {"port": 1}, namespace=namespace)
        for name, namespace in (("kubernetes", "default"), ("b", "other"), ("c", "mine"))
    ]
    hosts = [name for name in service_variables(there, "mine", links=True) if name.endswith("_HOST")]
    assert hosts == ["C_SERVICE_HOST", "KUBERNETES_SERVICE_HOST"]
    hosts = [name for name in service_variables(there, "mine", links=False) if name.endswith("_HOST")]
    assert hosts == ["KUBERNETES_SERVICE_HOST"]


def test_services_without_an_address_are_not_told() -> None:
    assert service_variables([service("a", {"port": 1}, address="None")], "default", links=True) == {}


def test_a_containers_own_variables_go_before_services() -> None:
    found = made(env(("WEB_SERVICE_HOST", "mine"), ("URL", "$(WEB_PORT)")), service("web", {"port": 80}))
    assert (found["WEB_SERVICE_HOST"], found["URL"]) == ("mine", "tcp://10.0.0.9:80")


def test_whole_objects_become_variables() -> None:
    spec = container(
        envFrom=[{"configMapRef": {"name": "c"}, "prefix": "P_"}, {"secretRef": {"name": "s"}}],
        env=[{"name": "OWN", "value": "$(P_a)"}],
    )
    held = Holdings({"c": {"data": {"a": "1"}}}, {"s": {"data": {"a": base64.b64encode(b"2").decode()}}})
    assert made(spec, holdings=held) == {"P_a": "1", "a": "2", "OWN": "1"}


def test_keys_become_variables_and_missing_ones_are_told() -> None:
    key = {"configMapKeyRef": {"name": "c", "key": "k"}}
    assert made(env(("A", key)), holdings=Holdings({"c": {"data": {"k": "v"}}})) == {"A": "v"}
    with pytest.raises(UnmetReference, match=r"^couldn't find key k in ConfigMap default/c$"):
        made(env(("A", key)), holdings=Holdings({"c": {"data": {}}}))
    with pytest.raises(UnmetReference, match=r"^couldn't find key k in Secret default/s$"):
        made(env(("A", {"secretKeyRef": {"name": "s", "key": "k"}})))
    assert made(env(("A", {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}))) == {}


def test_objects_to_read_are_known_beforehand() -> None:
    spec = env(
        ("A", {"configMapKeyRef": {"name": "c", "key": "k", "optional": True}}),
        ("B", {"secretKeyRef": {"name": "s", "key": "k"}}),
    )
    spec["envFrom"] = [{"configMapRef": {"name": "c"}}]
    wanted = references(spec)
    assert (wanted.config_maps, wanted.secrets) == ({"c": False}, {"s": False})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web"),
        ("metadata.namespace", "default"),
        ("metadata.uid", "uid-1"),
        ("metadata.labels['app']", "shop"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['a/b']", "c"),
        ("metadata.labels", 'app="shop"'),
        ("spec.nodeName", "n"),
        ("spec.serviceAccountName", "sa"),
        ("status.podIP", "10.244.0.5"),
        ("status.podIPs", "10.244.0.5,fd00::5"),
        ("status.hostIP", "192.0.2.1"),
    ],
)
def test_fields_are_told(path: str, value: str) -> None:
    made_pod = pod(meta_labels={"app": "shop"}, meta_annotations={"a/b": "c"}, nodeName="n", serviceAccountName="sa")
    assert field_value(path, made_pod, WHERE) == value


def test_a_field_that_is_none_is_refused() -> None:
    with pytest.raises(DownwardError, match=r"field label not supported: status.phase"):
        field_value("status.phase", pod(), WHERE)


RESOURCES = {"limits": {"cpu": "1500m", "memory": "1Gi"}, "requests": {"cpu": "250m"}}


@pytest.mark.parametrize(
    ("selector", "value"),
    [
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "limits.memory"}, str(1 << 30)),
        ({"resource": "limits.memory", "divisor": "1Mi"}, "1024"),
        ({"resource": "requests.cpu"}, "1"),
        ({"resource": "requests.memory"}, "0"),
        ({"resource": "limits.cpu", "containerName": "other"}, "4"),
    ],
)
def test_resources_are_told(selector: dict[str, str], value: str) -> None:
    spec = container(resources=RESOURCES)
    assert resource_value(selector, pod(spec, container("other")), spec, WHERE) == value
