"""How long a pod that is being stopped is given. Source: k8s.io/kubernetes/pkg/kubelet/pod_workers.go."""

from __future__ import annotations

from hyperkube_kubelet.podspec import Tree
from hyperkube_machinery import meta

__all__ = ["LEAST_SECONDS", "shortened"]

LEAST_SECONDS = 1


def shortened(known: int | None, pod: Tree, asked: int | None) -> int:
    """The grace in seconds: the least of what was `known` before, what the API server says and what is `asked` here.

    Where nobody says anything it is what the pod wants.
    """
    told = meta.metadata(pod).get("deletionGracePeriodSeconds")
    limits = [seconds for seconds in (known, told, asked) if seconds is not None]
    if not limits:
        limits = [int(pod["spec"].get("terminationGracePeriodSeconds", 30))]
    return max(LEAST_SECONDS, min(limits))
