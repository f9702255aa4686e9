"""Which labels a kubelet may give its own node. Pure.

Source: ValidateKubeletFlags in k8s.io/kubernetes/cmd/kubelet/app/options, k8s.io/kubelet/pkg/apis.
"""

from __future__ import annotations

from collections.abc import Mapping

from hyperkube_machinery.names import label_value, qualified_name

__all__ = ["check_labels", "restricted"]

_KUBERNETES = ("kubernetes.io", "k8s.io")
_OWN = frozenset(
    [
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    ]
)
_OWN_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise ValueError for names and values that no label can have."""
    wrong = []
    for name, value in labels.items():
        for text, complaints in ((name, qualified_name(name)), (value, label_value(value))):
            if complaints:
                wrong.append(f"'{text}' - {', '.join(complaints)}")
    if wrong:
        raise ValueError(f"invalid node labels: {'; '.join(wrong)}")


def restricted(labels: Mapping[str, str]) -> list[str]:
    """Those in Kubernetes' own namespaces that are not for kubelets to give."""
    return sorted(name for name in labels if _is_kubernetes(name) and not _is_own(name))


def _is_kubernetes(name: str) -> bool:
    return _is_within(name, _KUBERNETES)


def _is_own(name: str) -> bool:
    return name in _OWN or _is_within(name, _OWN_NAMESPACES)


def _is_within(name: str, namespaces: tuple[str, ...]) -> bool:
    namespace, slash, _ = name.partition("/")
    return bool(slash) and any(namespace == one or namespace.endswith(f".{one}") for one in namespaces)
