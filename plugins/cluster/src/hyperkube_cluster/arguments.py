"""The flags of each server of a cluster. None is a secret: those are in the files that flags name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hyperkube_cluster.identities import KUBELET_CLIENT
from hyperkube_cluster.layout import LOOPBACK, POD_NETWORK, SERVICE_NETWORK

if TYPE_CHECKING:
    from hyperkube_cluster.layout import Layout

__all__ = ["arguments"]

_NO_LIMIT = -1

Port = Callable[[str], int]
"""The port that the cluster keeps for a use."""


def arguments(server: str, layout: Layout, port: Port, *, pod_network: bool) -> list[str]:
    """The flags of `server`; none for one that is not Kubernetes' own.

    `pod_network` says whether pods are in a network of their own, which the proxy has to be led into.
    """
    flags: dict[str, object] = {}
    if server == "apiserver":
        flags = _apiserver(layout, port)
    elif server == "controller-manager":
        flags = _controller_manager(layout, port)
    elif server == "scheduler":
        flags = _scheduler(layout, port)
    elif server == "kubelet":
        flags = _kubelet(layout, port)
    elif server == "proxy":
        flags = _proxy(layout, port, pod_network=pod_network)
    return [f"--{name}={value}" for name, value in flags.items()]


def _apiserver(layout: Layout, port: Port) -> dict[str, object]:
    return {
        "data-dir": layout.apiserver,
        "secure-port": port("apiserver"),
        "service-cluster-ip-range": SERVICE_NETWORK,
        "authorization-mode": "Node,RBAC",
        "allow-privileged": "true",
        "enable-bootstrap-token-auth": "true",
        # All of the cluster is on this machine, so it may be on loopback.
        "allow-loopback-endpoints": "true",
        # Nobody listens there where pods are in the machine's network, and before there is a kubelet.
        "pod-network": layout.pod_network_socket,
        "kubelet-certificate-authority": layout.ca,
        "kubelet-client-certificate": layout.certificate(KUBELET_CLIENT),
        "kubelet-client-key": layout.key(KUBELET_CLIENT),
        # Nobody resolves the node's name.
        "kubelet-preferred-address-types": "InternalIP,Hostname",
    }


def _controller_manager(layout: Layout, port: Port) -> dict[str, object]:
    return {
        "kubeconfig": layout.kubeconfig("controller-manager"),
        "secure-port": port("controller-manager"),
        "client-ca-file": layout.ca,
        "root-ca-file": layout.ca,
        "cluster-signing-cert-file": layout.ca,
        "cluster-signing-key-file": layout.ca_key,
        "controllers": "*,bootstrapsigner,tokencleaner",
        "use-service-account-credentials": "true",
        "allocate-node-cidrs": "true",
        "cluster-cidr": POD_NETWORK,
        "service-cluster-ip-range": SERVICE_NETWORK,
        # There is one; whoever follows on a killed one need not wait for its lease to end.
        "leader-elect": "false",
        # Whom it would spare is on this machine, and limits what it takes on by itself.
        "kube-api-qps": _NO_LIMIT,
    }


def _scheduler(layout: Layout, port: Port) -> dict[str, object]:
    return {
        "kubeconfig": layout.kubeconfig("scheduler"),
        "secure-port": port("scheduler"),
        "client-ca-file": layout.ca,
        "leader-elect": "false",
    }


def _kubelet(layout: Layout, port: Port) -> dict[str, object]:
    return {
        "kubeconfig": layout.kubeconfig("kubelet"),
        "hostname-override": layout.node,
        "root-dir": layout.kubelet,
        "port": port("kubelet"),
        "healthz-port": port("kubelet-healthz"),
        "tls-cert-file": layout.certificate("kubelet"),
        "tls-private-key-file": layout.key("kubelet"),
        "client-ca-file": layout.ca,
        "cluster-domain": "cluster.local",
        "kube-api-qps": _NO_LIMIT,
        # It shares its disk with all else of the machine, and images that were loaded by hand are in no registry.
        "eviction-hard": "memory.available<100Mi,nodefs.available<500Mi",
        "image-gc-high-threshold": 100,
    }


def _proxy(layout: Layout, port: Port, *, pod_network: bool) -> dict[str, object]:
    flags: dict[str, object] = {
        "kubeconfig": layout.kubeconfig("proxy"),
        "hostname-override": layout.node,
        "cluster-cidr": POD_NETWORK,
        "relay-status-file": layout.relays,
        "healthz-bind-address": f"{LOOPBACK}:{port('proxy-healthz')}",
        "metrics-bind-address": f"{LOOPBACK}:{port('proxy-metrics')}",
    }
    if pod_network:
        flags["pod-network"] = layout.pod_network_socket
    else:  # pods are in the machine's own network, which is not the cluster's to change
        flags["proxy-mode"] = "relays"
    return flags
