"""Where a cluster keeps what, and what it is called: plain values, from which arguments and identities follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LOOPBACK", "POD_NETWORK", "PORTS", "SERVICE_NETWORK", "Layout"]

LOOPBACK = "127.0.0.1"
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"

PORTS: Mapping[str, int] = {
    "apiserver": 6443,
    "controller-manager": 10257,
    "scheduler": 10259,
    "kubelet": 10250,
    "kubelet-healthz": 10248,
    "proxy-healthz": 10256,
    "proxy-metrics": 10249,
}
"""What a cluster listens on where nobody else does. Source: k8s.io/kubernetes/pkg/cluster/ports"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one cluster.

    The authority is the API server's own, in its data directory, which it takes as it finds it: whoever of the two
    comes first makes it, and the other has nothing to be told.
    """

    folder: Path
    name: str

    @property
    def node(self) -> str:
        """What its node is called."""
        return f"hk-{self.name}"

    @property
    def apiserver(self) -> Path:
        return self.folder / "apiserver"

    @property
    def kubelet(self) -> Path:
        return self.folder / "kubelet"

    @property
    def pod_network_socket(self) -> Path:
        """Where the kubelet's agent lets others into the pods' network, where that is not the machine's."""
        return self.kubelet / "network.sock"

    @property
    def relays(self) -> Path:
        """Where the proxy says on which address of loopback a service is reached."""
        return self.folder / "proxy" / "relays.json"

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def ca(self) -> Path:
        return self.apiserver / "pki" / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.apiserver / "pki" / "ca.key"

    def kubeconfig(self, server: str) -> Path:
        """Of `server`, or `admin`."""
        return self.folder / f"{server}.kubeconfig"

    def certificate(self, name: str) -> Path:
        return self.pki / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.pki / f"{name}.key"
