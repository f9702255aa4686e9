"""What values of options can be, and what can't. Each check raises ValueError."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "AUTHORIZATION_MODES",
    "CONTAINER_RUNTIMES",
    "DEFAULT_EVICTION",
    "ENFORCEABLE",
    "NETWORKS",
    "TAINT_EFFECTS",
    "TLS_VERSIONS",
    "VERIFICATION_POLICIES",
    "check_cpus",
    "check_endpoint",
    "check_enforcement",
    "check_gates",
    "check_graces",
    "check_hard",
    "check_labels",
    "check_node_ip",
    "check_percentages",
    "check_reclaims",
    "check_reserved",
    "check_signals",
    "check_size",
    "check_suites",
    "check_taints",
    "parse_taint",
]

CONTAINER_RUNTIMES = ("process", "hollow", "cri", "remote")
NETWORKS = ("auto", "namespace", "loopback", "host", "cni")
AUTHORIZATION_MODES = ("Webhook", "AlwaysAllow")
VERIFICATION_POLICIES = (
    "NeverVerify",
    "NeverVerifyPreloadedImages",
    "NeverVerifyAllowlistedImages",
    "AlwaysVerify",
)
ENFORCEABLE = (
    "none",
    "pods",
    "system-reserved",
    "system-reserved-compressible",
    "kube-reserved",
    "kube-reserved-compressible",
)
DEFAULT_EVICTION = {
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
}
"""Source: k8s.io/kubernetes/pkg/kubelet/eviction (DefaultEvictionHard on Linux)."""
TLS_VERSIONS = ("", "VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13")
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def parse_taint(text: str) -> tuple[str, str, str]:
    """Key, value and effect of `key=value:effect` or `key:effect`. Source: k8s.io/kubernetes/pkg/util/taints."""
    name, colon, effect = text.partition(":")
    key, _, value = name.partition("=")
    if not (colon and key) or effect not in TAINT_EFFECTS:
        raise ValueError(f'"{text}" is not a taint such as dedicated=tests:NoSchedule')
    return key, value, effect


def check_taints(taints: tuple[str, ...]) -> None:
    for taint in taints:
        parse_taint(taint)


def check_gates(gates: Mapping[str, bool]) -> None:
    from hyperkube_kubelet.configuration.gates import refused

    if wrong := refused(gates):
        raise ValueError(wrong)


def check_enforcement(names: tuple[str, ...]) -> None:
    for name in names:
        if name and name not in ENFORCEABLE:
            raise ValueError(f'"{name}" is none of {", ".join(ENFORCEABLE)}')
    if len(names) > 1 and "none" in names:
        raise ValueError("none stands alone")
    for name in ("system-reserved", "kube-reserved"):
        if name in names and f"{name}-compressible" in names:
            raise ValueError(f"{name} and {name}-compressible can't both be enforced")


def check_cpus(text: str) -> None:
    from hyperkube_kubelet.cpulists import cpu_list

    cpu_list(text)


def check_reserved(amounts: Mapping[str, str]) -> None:
    from hyperkube_machinery.quantity import Quantity

    for name, text in amounts.items():
        if name not in ("cpu", "memory", "ephemeral-storage", "pid"):
            raise ValueError(f'cannot reserve "{name}" resource')
        if Quantity.parse(text).nano < 0:
            raise ValueError(f'resource quantity for "{name}" cannot be negative: {text}')


def check_percentages(amounts: Mapping[str, str]) -> None:
    for name, text in amounts.items():
        if name != "memory":
            raise ValueError(f'cannot reserve "{name}" resource')
        if not (text.endswith("%") and text[:-1].isdigit() and int(text[:-1]) <= 100):
            raise ValueError(f'"{text}" is no percentage such as 50%')


def check_hard(thresholds: dict[str, str]) -> None:
    check_eviction(hard=thresholds)


def check_signals(thresholds: dict[str, str]) -> None:
    check_eviction(hard=thresholds)  # the grace periods that they need are another flag's


def check_graces(graces: dict[str, str]) -> None:
    check_eviction(graces=graces)


def check_reclaims(amounts: dict[str, str]) -> None:
    check_eviction(reclaims=amounts)


def check_eviction(
    *,
    hard: Mapping[str, str] | None = None,
    graces: Mapping[str, str] | None = None,
    reclaims: Mapping[str, str] | None = None,
) -> None:
    if hard == DEFAULT_EVICTION or not (hard or graces or reclaims):
        return
    from hyperkube_kubelet.thresholds import parse_thresholds

    parse_thresholds(hard or {}, {}, graces or {}, reclaims or {}, allocatable=False)


def check_node_ip(text: str) -> None:
    from hyperkube_kubelet.nodeaddresses import parse_node_ips

    parse_node_ips(text)


def check_labels(labels: dict[str, str]) -> None:
    from hyperkube_kubelet.nodelabels import check_labels

    check_labels(labels)


def check_suites(suites: tuple[str, ...]) -> None:
    from hyperkube_kubelet.certificates.tlsterms import check_suites

    check_suites(suites)


def check_size(size: str) -> None:
    from hyperkube_machinery.quantity import Quantity

    if Quantity.parse(size).value <= 0:
        raise ValueError(f'"{size}" is no size such as 10Mi')


def check_endpoint(endpoint: str) -> None:
    from hyperkube_kubelet.runtime.cri.discovery import socket_of

    if endpoint:
        socket_of(endpoint)
