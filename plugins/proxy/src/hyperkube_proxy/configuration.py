"""KubeProxyConfiguration, read into the words of the options.

Source: k8s.io/kube-proxy/config/v1alpha1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["translate"]

_VERSION = "kubeproxy.config.k8s.io/v1alpha1"

# Each field with its option; nested ones by their path.
_HONOURED = {
    "bindAddressHardFail": "bind_address_hard_fail",
    "clientConnection.burst": "kube_api_burst",
    "clientConnection.kubeconfig": "kubeconfig",
    "clientConnection.qps": "kube_api_qps",
    "clusterCIDR": "cluster_cidr",
    "detectLocal.bridgeInterface": "pod_bridge_interface",
    "detectLocal.interfaceNamePrefix": "pod_interface_name_prefix",
    "detectLocalMode": "detect_local_mode",
    "healthzBindAddress": "healthz_bind_address",
    "hostnameOverride": "hostname_override",
    "iptables.masqueradeAll": "masquerade_all",
    "metricsBindAddress": "metrics_bind_address",
    "mode": "proxy_mode",
    "nftables.masqueradeAll": "masquerade_all",
    "nftables.masqueradeBit": "masquerade_bit",
    "nftables.minSyncPeriod": "min_sync_period",
    "nftables.syncPeriod": "sync_period",
    "nodePortAddresses": "nodeport_addresses",
}

# Fields that mean the same as a flag that is warned of or refused, by the flag's name: its reason, its treatment.
_FOREIGN = {
    "bindAddress": "bind-address",
    "clientConnection.contentType": "kube-api-content-type",
    "configSyncPeriod": "config-sync-period",
    "conntrack.maxPerCore": "conntrack-max-per-core",
    "conntrack.min": "conntrack-min",
    "conntrack.tcpBeLiberal": "conntrack-tcp-be-liberal",
    "conntrack.tcpCloseWaitTimeout": "conntrack-tcp-timeout-close-wait",
    "conntrack.tcpEstablishedTimeout": "conntrack-tcp-timeout-established",
    "conntrack.udpStreamTimeout": "conntrack-udp-timeout-stream",
    "conntrack.udpTimeout": "conntrack-udp-timeout",
    "enableProfiling": "profiling",
    "iptables.localhostNodePorts": "iptables-localhost-nodeports",
    "iptables.masqueradeBit": "iptables-masquerade-bit",
    "iptables.minSyncPeriod": "iptables-min-sync-period",
    "iptables.syncPeriod": "iptables-sync-period",
    "ipvs.excludeCIDRs": "ipvs-exclude-cidrs",
    "ipvs.minSyncPeriod": "ipvs-min-sync-period",
    "ipvs.scheduler": "ipvs-scheduler",
    "ipvs.strictARP": "ipvs-strict-arp",
    "ipvs.syncPeriod": "ipvs-sync-period",
    "ipvs.tcpFinTimeout": "ipvs-tcpfin-timeout",
    "ipvs.tcpTimeout": "ipvs-tcp-timeout",
    "ipvs.udpTimeout": "ipvs-udp-timeout",
    "logging.flushFrequency": "log-flush-frequency",
    "oomScoreAdj": "oom-score-adj",
    "showHiddenMetricsForVersion": "show-hidden-metrics-for-version",
}

_GROUPS = frozenset(path.partition(".")[0] for path in (*_HONOURED, *_FOREIGN) if "." in path)
_UNSET: tuple[Any, ...] = (None, "", [], {})


def translate(document: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their names. Raises ValueError for a field that can't be done, telling which.

    A field that is empty is one that isn't there, as in Kubernetes.
    """
    if document.get("apiVersion") != _VERSION:
        raise ValueError(f'apiVersion: "{document.get("apiVersion")}" is not {_VERSION}')
    found: dict[str, Any] = {}
    for path, value in _fields(document):
        if path in _HONOURED:
            if found.get(_HONOURED[path]) is not True:  # of two that say the same, the one that switches it on
                found[_HONOURED[path]] = value
        elif path == "detectLocal.clusterCIDRs":
            found["cluster_cidr"] = ",".join(_strings(path, value))
        elif path in _FOREIGN:
            found[_FOREIGN[path]] = _text(path, value)
        elif path == "featureGates":
            found["feature-gates"] = ",".join(f"{name}={_text(path, on)}" for name, on in value.items())
        else:
            raise ValueError(f"{path}: there is no such field, or none that hk's proxy knows")
    return found


def _fields(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if key in ("apiVersion", "kind"):
            continue
        if key in ("windows", "winkernel") and isinstance(value, Mapping):
            set_ones = [inner for inner, each in value.items() if each not in (*_UNSET, False)]
            if set_ones:
                raise ValueError(f"{key}.{set_ones[0]}: there is no Windows here")
        elif key in _GROUPS:
            if value is not None and not isinstance(value, Mapping):
                raise ValueError(f"{key}: must be a mapping")
            for inner, each in (value or {}).items():
                if each not in _UNSET:
                    yield f"{key}.{inner}", each
        elif value not in _UNSET:
            yield key, value


def _strings(path: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{path}: must be a list of strings")
    return value


def _text(path: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_strings(path, value))
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"{path}: must be a plain value")
