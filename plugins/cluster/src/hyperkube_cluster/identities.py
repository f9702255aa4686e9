"""Who each server of a cluster is: users and groups that upstream's bootstrap roles are bound to."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KUBELET_CLIENT", "Identity", "identities", "kubelet_names"]

KUBELET_CLIENT = "kube-apiserver-kubelet-client"
"""Who the API server is to kubelets. Source: k8s.io/kubernetes/cmd/kubeadm/app/constants"""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, and the server whose kubeconfig says so."""

    server: str
    user: str
    groups: tuple[str, ...] = ()


def identities(node: str) -> tuple[Identity, ...]:
    """Those with a kubeconfig. Source: k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go"""
    return (
        Identity("controller-manager", "system:kube-controller-manager"),
        Identity("scheduler", "system:kube-scheduler"),
        Identity("kubelet", f"system:node:{node}", ("system:nodes",)),
        Identity("proxy", "system:kube-proxy"),
        Identity("admin", "kubernetes-admin", ("system:masters",)),
    )


def kubelet_names(node: str) -> tuple[str, ...]:
    """What the kubelet is reached by, on loopback."""
    return (node, "localhost", "127.0.0.1", "::1")
