"""Which labels a kubelet may give its own node.

Source: k8s.io/kubernetes/plugin/pkg/admission/noderestriction, k8s.io/kubelet/pkg/apis/well_known_labels.go.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["forbidden_labels"]

_RESTRICTED = "node-restriction.kubernetes.io"
_KUBERNETES = ("kubernetes.io", "k8s.io")
_KUBELETS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_KNOWN = frozenset(
    {
        *("kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "node.kubernetes.io/instance-type"),
        *("topology.kubernetes.io/zone", "topology.kubernetes.io/region"),
        *("beta.kubernetes.io/os", "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type"),
        *("failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region"),
    }
)


def forbidden_labels(labels: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    """The labels that were added, changed or taken away and are not the kubelet's to touch, sorted."""
    changed = {key for key in labels.keys() | before.keys() if labels.get(key) != before.get(key)}
    return sorted(key for key in changed if not _is_free(key))


def _is_free(key: str) -> bool:
    domain = key.partition("/")[0] if "/" in key else ""
    if _is_in(domain, _RESTRICTED):
        return False
    if not any(_is_in(domain, one) for one in _KUBERNETES):
        return True
    return key in _KNOWN or any(_is_in(domain, one) for one in _KUBELETS)


def _is_in(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")
