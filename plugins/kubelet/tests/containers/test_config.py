"""What sandboxes and containers are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.containers.config import Made, container_config, sandbox_config
from hyperkube_kubelet.containers.limits import Rules, container_limits
from hyperkube_kubelet.containers.names import host_name, hosts_file, kernel_name
from hyperkube_kubelet.containers.security import RootForbidden, security_of
from hyperkube_kubelet.runtime.errors import InvalidConfig
from hyperkube_kubelet.runtime.values import CONTAINER_KIND, Image, Limits, PortMapping, Security

from ..builders import container, pod, sidecar

GIB = 1 << 30


def image(user: str = "") -> Image:
    return Image(id="sha256:1", tags=(), digests=(), size=1, user=user)


def config(spec: dict[str, Any], **of_pod: Any) -> Any:
    made = Made(environment={"A": "1"}, mounts=(), limits=Limits(), security=Security(), attempt=2)
    return container_config(pod(spec, **of_pod), spec, made)


def test_commands_refer_to_the_environment() -> None:
    found = config(container(command=["run", "$(A)"], args=["$(B)", "$$(A)"]))
    assert (found.command, found.args) == (("run", "1"), ("$(B)", "$(A)"))
    assert found.env == (("A", "1"),)


def test_runs_are_counted_where_logs_and_the_next_kubelet_find_it() -> None:
    found = config(container("web"))
    assert (found.attempt, found.log_path) == (2, "web/2.log")
    assert found.annotations["io.kubernetes.container.restartCount"] == "2"
    assert found.labels["io.kubernetes.pod.uid"] == "uid-1"


def test_a_sidecar_is_told_from_what_only_comes_first() -> None:
    first, beside = container("first"), sidecar("beside")
    kinds = {
        one["name"]: config(one, initContainers=[first, beside]).annotations[CONTAINER_KIND] for one in (first, beside)
    }
    assert kinds == {"first": "init", "beside": "sidecar"}


def test_a_sandbox_is_its_pods() -> None:
    made = pod(container(ports=[{"containerPort": 80, "hostPort": 8080}]), hostname="www", shareProcessNamespace=True)
    found = sandbox_config(made, attempt=3, logs=Path("/logs"), dns=None, cluster_domain="cluster.local")
    assert (found.name, found.namespace, found.uid, found.attempt) == ("web", "default", "uid-1", 3)
    assert (found.hostname, found.share_processes) == ("www", True)
    assert found.log_directory == Path("/logs/default_web_uid-1")
    assert found.ports == (PortMapping(80, 8080),)


def test_in_the_nodes_network_nothing_is_mapped_or_named() -> None:
    made = pod(container(ports=[{"containerPort": 80, "hostPort": 80}]), hostNetwork=True)
    found = sandbox_config(made, attempt=0, logs=Path("/logs"), dns=None, cluster_domain="")
    assert (found.host_network, found.hostname, found.ports) == (True, "", ())


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, ("web", "")),
        ({"hostname": "www"}, ("www", "")),
        ({"subdomain": "shop"}, ("web", "shop.default.svc.cluster.local")),
        ({"hostnameOverride": "x.y"}, ("x.y", "")),
    ],
)
def test_host_names(spec: dict[str, Any], names: tuple[str, str]) -> None:
    assert host_name(pod(**spec), "cluster.local") == names


def test_long_names_are_cut() -> None:
    assert host_name(pod(name="a" * 62 + "-b"), "")[0] == "a" * 62


def test_a_name_with_its_domain_has_64_characters_at_most() -> None:
    spec: dict[str, Any] = {"setHostnameAsFQDN": True, "subdomain": "shop"}
    assert kernel_name(pod(**spec), "cluster.local") == "web.shop.default.svc.cluster.local"
    with pytest.raises(InvalidConfig, match=r"is too long \(64 characters is the max, 69 characters requested\)"):
        kernel_name(pod(name="a" * 38, **spec), "cluster.local")


def test_the_hosts_file_is_upstreams() -> None:
    made = pod(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    lines = hosts_file(made, ["10.244.0.5"], "", "cluster.local").splitlines()
    assert lines[0] == "# Kubernetes-managed hosts file."
    assert lines[1] == "127.0.0.1\tlocalhost"
    assert lines[-4:] == ["10.244.0.5\tweb", "", "# Entries added by HostAliases.", "1.2.3.4\ta\tb"]


def test_what_the_container_says_goes_before_what_the_pod_says() -> None:
    spec = container(securityContext={"runAsUser": 7, "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}})
    made = pod(spec, securityContext={"runAsUser": 5, "runAsGroup": 6, "supplementalGroups": [8], "fsGroup": 9})
    found = security_of(made, spec, None)
    assert (found.run_as_user, found.run_as_group, found.supplemental_groups) == (7, 6, (9, 8))
    assert (found.add_capabilities, found.drop_capabilities) == (("NET_ADMIN",), ("ALL",))
    assert "/proc/kcore" in found.masked_paths


@pytest.mark.parametrize(
    ("context", "user", "refusal"),
    [
        ({"runAsUser": 0}, "", "container's runAsUser breaks non-root policy"),
        ({}, "", "container has runAsNonRoot and image will run as root"),
        ({}, "0:0", "container has runAsNonRoot and image will run as root"),
        ({}, "www", "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root"),
        ({}, "1000:1000", ""),
        ({"runAsUser": 5}, "", ""),
    ],
)
def test_who_must_not_be_root(context: dict[str, Any], user: str, refusal: str) -> None:
    spec = container(securityContext={"runAsNonRoot": True, **context})
    if not refusal:
        security_of(pod(spec), spec, image(user))
        return
    with pytest.raises(RootForbidden) as caught:
        security_of(pod(spec), spec, image(user))
    assert str(caught.value).startswith(refusal)


def test_resources_become_limits() -> None:
    spec = container(resources={"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "250m"}})
    found = container_limits(pod(spec, status={"qosClass": "Burstable"}), spec, Rules(memory_capacity=4 * GIB))
    assert (found.cpu_shares, found.cpu_quota, found.cpu_period, found.memory_bytes) == (256, 50_000, 100_000, GIB)


@pytest.mark.parametrize(
    ("quality", "request_", "score"),
    [("Guaranteed", GIB, -997), ("BestEffort", 0, 1000), ("Burstable", GIB, 750), ("Burstable", 0, 999)],
)
def test_who_is_killed_first_when_memory_is_short(quality: str, request_: int, score: int) -> None:
    spec = container(resources={"requests": {"memory": str(request_)}} if request_ else {})
    found = container_limits(pod(spec, status={"qosClass": quality}), spec, Rules(memory_capacity=4 * GIB))
    assert found.oom_score_adj == score
