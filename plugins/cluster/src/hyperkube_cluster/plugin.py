"""What hk learns of a Kubernetes cluster without importing what prepares one."""

from __future__ import annotations

from hyperkube_core import Contribution, Part, hookimpl


@hookimpl
def hyperkube_clusters() -> list[Contribution]:
    """What this plugin contributes to clusters."""
    return [
        Contribution(
            kind="kubernetes",
            summary="Kubernetes on this machine: one control plane, one node.",
            groundwork="hyperkube_cluster.groundwork:Kubernetes",
            parts=(
                Part(server="apiserver", distribution="hyperkube-apiserver", needed=True),
                Part(server="controller-manager", distribution="hyperkube-controller-manager", after=("apiserver",)),
                Part(server="scheduler", distribution="hyperkube-scheduler", after=("apiserver",)),
                Part(server="kubelet", distribution="hyperkube-kubelet", after=("apiserver",)),
                # It asks the kubelet for its way into the pods' network.
                Part(server="proxy", distribution="hyperkube-proxy", after=("apiserver", "kubelet")),
            ),
        )
    ]
