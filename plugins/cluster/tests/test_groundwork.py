"""What each server of a cluster is told, and what is said of the cluster: plain values."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hyperkube_cluster.arguments import arguments
from hyperkube_cluster.groundwork import Kubernetes
from hyperkube_cluster.layout import PORTS, Layout
from hyperkube_cluster.plugin import hyperkube_clusters
from hyperkube_cluster.readiness import waits_for
from hyperkube_cluster.reporting import node_row, service_rows, services
from hyperkube_core import Clock, SystemClock

pytestmark = pytest.mark.anyio

SERVERS = ("apiserver", "controller-manager", "scheduler", "kubelet", "proxy")


class Home:
    """A cluster's home, as core has one."""

    name = "mine"
    in_process = False

    def __init__(self, folder: Path, servers: tuple[str, ...] = SERVERS) -> None:
        self.folder = folder
        self.servers = servers
        self.clock: Clock = SystemClock()

    def port(self, use: str, preferred: int = 0) -> int:
        return preferred


def flags(server: str, folder: Path = Path("/c"), *, pod_network: bool = False) -> dict[str, str]:
    words = arguments(server, Layout(folder, "mine"), PORTS.__getitem__, pod_network=pod_network)
    return dict(word.removeprefix("--").split("=", 1) for word in words)


def test_servers_agree_on_what_they_share() -> None:
    told = {server: flags(server) for server in SERVERS}
    assert told["apiserver"]["service-cluster-ip-range"] == told["controller-manager"]["service-cluster-ip-range"]
    assert told["controller-manager"]["cluster-cidr"] == told["proxy"]["cluster-cidr"]
    assert told["kubelet"]["hostname-override"] == told["proxy"]["hostname-override"] == "hk-mine"
    authority = "/c/apiserver/pki/ca.crt"
    assert told["apiserver"]["kubelet-certificate-authority"] == told["kubelet"]["client-ca-file"] == authority
    assert len({told[server]["kubeconfig"] for server in SERVERS[1:]}) == 4


def test_the_proxy_is_led_into_the_pods_network_where_there_is_one() -> None:
    assert flags("proxy", pod_network=True)["pod-network"] == "/c/kubelet/network.sock"
    assert "proxy-mode" not in flags("proxy", pod_network=True)
    assert "pod-network" not in flags("proxy")
    assert flags("proxy")["proxy-mode"] == "relays", "the machine's own network is left as it is"
    assert flags("kubelet")["root-dir"] == "/c/kubelet"


def test_a_server_of_somebody_else_is_told_nothing() -> None:
    assert flags("dns") == {}


def test_every_port_is_another() -> None:
    assert len(set(PORTS.values())) == len(PORTS)


def test_what_is_contributed_can_be_had() -> None:
    (contribution,) = hyperkube_clusters()
    assert [part.server for part in contribution.parts] == list(SERVERS)
    assert [part.server for part in contribution.parts if part.needed] == ["apiserver"]
    assert all(part.distribution == f"hyperkube-{part.server}" for part in contribution.parts)


async def test_credentials_are_there_before_the_first_server_starts(tmp_path: Path) -> None:
    work = Kubernetes(Home(tmp_path))
    told = await work.arguments("apiserver")
    files = [word.partition("=")[2] for word in told if word.partition("=")[2].startswith(str(tmp_path))]
    assert len(files) == 5
    to_come = {str(tmp_path / "apiserver"), str(tmp_path / "kubelet" / "network.sock")}
    assert {file for file in files if not os.path.isfile(file)} == to_come  # noqa: ASYNC240
    assert "admin.kubeconfig" in os.listdir(tmp_path)
    assert not [word for word in told if "PRIVATE KEY" in word]


async def test_the_report_says_where_servers_are(tmp_path: Path) -> None:
    report = await Kubernetes(Home(tmp_path, ("apiserver", "proxy", "dns"))).report()
    assert report.addresses == {"apiserver": "https://127.0.0.1:6443", "proxy": "http://127.0.0.1:10256"}
    assert report.sections == {"services": []}
    assert report.notes == [f"kubectl --kubeconfig {tmp_path}/admin.kubeconfig get nodes,pods --all-namespaces"]


async def test_what_is_to_be_typed_is_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "my cluster"
    [note] = (await Kubernetes(Home(folder, ("apiserver",))).report()).notes
    assert note == f"kubectl --kubeconfig '{folder}/admin.kubeconfig' get nodes,pods --all-namespaces"


async def test_there_is_nothing_to_clean_up_where_nothing_ran(tmp_path: Path) -> None:
    await Kubernetes(Home(tmp_path)).clean_up()
    assert os.listdir(tmp_path) == []


NODE: dict[str, Any] = {"metadata": {"name": "n"}}
READY: dict[str, Any] = {**NODE, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
NOT_READY: dict[str, Any] = {
    **NODE,
    "status": {"conditions": [{"type": "Ready", "status": "False", "message": "no network yet"}]},
}
TAINTED = {**READY, "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}}
DEDICATED = {**READY, "spec": {"taints": [{"key": "dedicated", "effect": "NoSchedule"}]}}


@pytest.mark.parametrize(
    ("node", "taints", "waits"),
    [
        (NODE, True, "node n to be Ready: its kubelet has not said so yet"),
        (NOT_READY, True, "node n to be Ready: no network yet"),
        (TAINTED, True, "node n to lose its taint node.kubernetes.io/not-ready"),
        (TAINTED, False, ""),
        (DEDICATED, True, ""),
        (READY, True, ""),
    ],
)
def test_what_a_cluster_waits_for_is_said(node: dict[str, Any], taints: bool, waits: str) -> None:
    assert waits_for(node, taints=taints) == waits


def test_a_node_is_told_in_a_row() -> None:
    node = {
        **READY,
        "spec": {"podCIDR": "10.244.0.0/24"},
        "status": {
            **READY["status"],
            "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "127.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.2"},
        },
    }
    row = {"node": "n", "ready": True, "version": "v1.36.2", "address": "127.0.0.1", "pods": "10.244.0.0/24"}
    assert node_row(node) == row
    assert node_row(NODE) == {**row, "ready": False, "version": "", "address": "", "pods": ""}


def test_services_are_told_in_rows(tmp_path: Path) -> None:
    relays = {"default/web/80": "127.0.0.1:40123", "default/api/443": "127.0.0.1:40124"}
    rows = [
        {"service": "default/api", "port": "443", "address": "127.0.0.1:40124"},
        {"service": "default/web", "port": "80", "address": "127.0.0.1:40123"},
    ]
    assert service_rows(relays) == rows
    file = tmp_path / "relays.json"
    assert services(file) == []
    file.write_text(json.dumps(relays))
    assert services(file) == rows
