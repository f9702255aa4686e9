"""The kubelet's config file: a KubeletConfiguration, or plain flags.

A key that is no option here is treated as the flag of its name is: warned of or refused, unless its value says what
happens anyway. Source: k8s.io/kubelet/config/v1beta1/types.go.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_kubelet.flags import foreign_flags

__all__ = ["read_configuration"]

log = logging.getLogger(__name__)

GROUP = "kubelet.config.k8s.io/v1beta1"

_OPTIONS = {
    "syncFrequency": "sync_frequency",
    "fileCheckFrequency": "file_check_frequency",
    "staticPodPath": "pod_manifest_path",
    "address": "address",
    "port": "port",
    "tlsCertFile": "tls_cert_file",
    "tlsPrivateKeyFile": "tls_private_key_file",
    "authentication.x509.clientCAFile": "client_ca_file",
    "authentication.webhook.enabled": "authentication_token_webhook",
    "authentication.webhook.cacheTTL": "authentication_token_webhook_cache_ttl",
    "authentication.anonymous.enabled": "anonymous_auth",
    "authorization.mode": "authorization_mode",
    "authorization.webhook.cacheAuthorizedTTL": "authorization_webhook_cache_authorized_ttl",
    "authorization.webhook.cacheUnauthorizedTTL": "authorization_webhook_cache_unauthorized_ttl",
    "registerNode": "register_node",
    "registerWithTaints": "register_with_taints",
    "providerID": "provider_id",
    "eventRecordQPS": "event_qps",
    "eventBurst": "event_burst",
    "kubeAPIQPS": "kube_api_qps",
    "kubeAPIBurst": "kube_api_burst",
    "enableServer": "enable_server",
    "enableDebuggingHandlers": "enable_debugging_handlers",
    "healthzPort": "healthz_port",
    "healthzBindAddress": "healthz_bind_address",
    "clusterDomain": "cluster_domain",
    "clusterDNS": "cluster_dns",
    "resolvConf": "resolv_conf",
    "nodeStatusUpdateFrequency": "node_status_update_frequency",
    "nodeStatusMaxImages": "node_status_max_images",
    "maxPods": "max_pods",
    "containerLogMaxSize": "container_log_max_size",
    "containerLogMaxFiles": "container_log_max_files",
    "podCIDR": "pod_cidr",
    "kubeReserved": "kube_reserved",
    "systemReserved": "system_reserved",
}

_FLAGS = {
    "imageMinimumGCAge": "minimum-image-ttl-duration",
    "imageGCHighThresholdPercent": "image-gc-high-threshold",
    "imageGCLowThresholdPercent": "image-gc-low-threshold",
    "podPidsLimit": "pod-max-pids",
    "staticPodURL": "manifest-url",
    "staticPodURLHeader": "manifest-url-header",
    "rotateCertificates": "rotate-certificates",
    "serverTLSBootstrap": "rotate-server-certificates",
    "registryPullQPS": "registry-qps",
    "cpuCFSQuota": "cpu-cfs-quota",
    "cpuCFSQuotaPeriod": "cpu-cfs-quota-period",
    "failCgroupV1": "fail-cgroupv1",
    "reservedSystemCPUs": "reserved-cpus",
    "makeIPTablesUtilChains": "make-iptables-util-chains",
}
"""Keys whose flag is not simply their name with dashes."""

_IDLE = frozenset(
    [
        "cgroupsPerQOS",
        "cgroupDriver",
        "containerLogMaxWorkers",
        "containerLogMonitorInterval",
        "configMapAndSecretChangeDetectionStrategy",
        "crashLoopBackOff",
        "enableProfilingHandler",
        "enableSystemLogHandler",
        "enableSystemLogQuery",
        "evictionPressureTransitionPeriod",
        "flushFrequency",
        "imageMaximumGCAge",
        "imagePullCredentialsVerificationPolicy",
        "kubeletCgroups",
        "localStorageCapacityIsolation",
        "logging",
        "maxParallelImagePulls",
        "memorySwap",
        "memoryThrottlingFactor",
        "mergeDefaultEvictionSettings",
        "nodeLeaseDurationSeconds",
        "nodeStatusReportFrequency",
        "podLogsDir",
        "preloadedImagesVerificationAllowlist",
        "shutdownGracePeriod",
        "shutdownGracePeriodByPodPriority",
        "shutdownGracePeriodCriticalPods",
        "showHiddenMetricsForVersion",
        "singleProcessOOMKill",
        "systemCgroups",
        "tracing",
        "userNamespaces",
        "volumePluginDir",
        "volumeStatsAggPeriod",
    ]
)
"""Keys without a flag that do nothing here, and loosen nothing that others rely on."""

_PARENTS = (
    "authentication",
    "authentication.anonymous",
    "authentication.webhook",
    "authentication.x509",
    "authorization",
    "authorization.webhook",
)


def read_configuration(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields of the options, by what `document` says. Raises ValueError for what is refused or not known."""
    kind, version = document.get("kind"), document.get("apiVersion")
    if kind is None and version is None:
        return {key.replace("-", "_"): value for key, value in document.items()}
    if (kind, version) != ("KubeletConfiguration", GROUP):
        raise ValueError(f"kind {kind} of {version} is no KubeletConfiguration of {GROUP}")
    found: dict[str, Any] = {}
    for key, value in _leaves({name: item for name, item in document.items() if name not in ("kind", "apiVersion")}):
        field = _OPTIONS.get(key)
        if field is not None:
            found[field] = _taints(value) if field == "register_with_taints" else value
        else:
            _treat(key, value)
    return found


def _leaves(document: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        key = f"{path}{name}"
        if key in _PARENTS and isinstance(value, Mapping):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _treat(key: str, value: Any) -> None:
    flag = _FLAGS.get(key) or re.sub(r"(?<=[a-z])([A-Z])", r"-\1", key).lower()
    foreign = foreign_flags().get(flag)
    if foreign is None:
        if key not in _IDLE:
            raise ValueError(f'unknown field "{key}"')
        log.warning("config file: %s has no effect", key)
        return
    if _text(value) in foreign.agrees:
        return
    if foreign.treatment == "refused":
        raise ValueError(f"{key} is refused: {foreign.reason}")
    log.warning("config file: %s has no effect: %s", key, foreign.reason)


def _taints(value: Any) -> list[str]:
    """As the flag has them."""
    if not isinstance(value, list):
        raise ValueError("registerWithTaints must be a list")
    return [f"{item['key']}={item.get('value') or ''}:{item['effect']}" for item in value]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
