"""The kubelet's options. Names, meanings and defaults are upstream's unless the help says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperkube_core import ForeignFlag, SettingsError, flag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CONTAINER_RUNTIMES", "NETWORKS", "Options", "settings_of"]

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


def _check_taints(taints: tuple[str, ...]) -> None:
    for taint in taints:
        parse_taint(taint)


def _check_gates(gates: Mapping[str, bool]) -> None:
    from hyperkube_kubelet.configuration.gates import refused

    if wrong := refused(gates):
        raise ValueError(wrong)


def _check_enforcement(names: tuple[str, ...]) -> None:
    for name in names:
        if name and name not in ENFORCEABLE:
            raise ValueError(f'"{name}" is none of {", ".join(ENFORCEABLE)}')
    if len(names) > 1 and "none" in names:
        raise ValueError("none stands alone")
    for name in ("system-reserved", "kube-reserved"):
        if name in names and f"{name}-compressible" in names:
            raise ValueError(f"{name} and {name}-compressible can't both be enforced")


def _check_cpus(text: str) -> None:
    from hyperkube_kubelet.cpulists import cpu_list

    cpu_list(text)


def _check_reserved(amounts: Mapping[str, str]) -> None:
    from hyperkube_machinery.quantity import Quantity

    for name, text in amounts.items():
        if name not in ("cpu", "memory", "ephemeral-storage", "pid"):
            raise ValueError(f'cannot reserve "{name}" resource')
        if Quantity.parse(text).nano < 0:
            raise ValueError(f'resource quantity for "{name}" cannot be negative: {text}')


def _check_percentages(amounts: Mapping[str, str]) -> None:
    for name, text in amounts.items():
        if name != "memory":
            raise ValueError(f'cannot reserve "{name}" resource')
        if not (text.endswith("%") and text[:-1].isdigit() and int(text[:-1]) <= 100):
            raise ValueError(f'"{text}" is no percentage such as 50%')


def _check_hard(thresholds: dict[str, str]) -> None:
    _check_eviction(hard=thresholds)


def _check_signals(thresholds: dict[str, str]) -> None:
    _check_eviction(hard=thresholds)  # the grace periods that they need are another flag's


def _check_graces(graces: dict[str, str]) -> None:
    _check_eviction(graces=graces)


def _check_reclaims(amounts: dict[str, str]) -> None:
    _check_eviction(reclaims=amounts)


def _check_eviction(
    *,
    hard: Mapping[str, str] | None = None,
    graces: Mapping[str, str] | None = None,
    reclaims: Mapping[str, str] | None = None,
) -> None:
    if hard == DEFAULT_EVICTION or not (hard or graces or reclaims):
        return
    from hyperkube_kubelet.thresholds import parse_thresholds

    parse_thresholds(hard or {}, {}, graces or {}, reclaims or {}, allocatable=False)


def _check_node_ip(text: str) -> None:
    from hyperkube_kubelet.nodeaddresses import parse_node_ips

    parse_node_ips(text)


def _check_labels(labels: dict[str, str]) -> None:
    from hyperkube_kubelet.nodelabels import check_labels

    check_labels(labels)


def _check_suites(suites: tuple[str, ...]) -> None:
    from hyperkube_kubelet.certificates.tlsterms import check_suites

    check_suites(suites)


def _check_size(size: str) -> None:
    from hyperkube_machinery.quantity import Quantity

    if Quantity.parse(size).value <= 0:
        raise ValueError(f'"{size}" is no size such as 10Mi')


def _check_endpoint(endpoint: str) -> None:
    from hyperkube_kubelet.runtime.cri.discovery import socket_of

    if endpoint:
        socket_of(endpoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line, the variables, the config file and the defaults came to."""

    kubeconfig: Path | None = flag(
        None,
        section="API server",
        metavar="file",
        help="A kubeconfig that says where the API server is, and who this is. Without it the kubelet runs the pods of"
        " --pod-manifest-path alone.",
    )
    master: str = flag(
        "",
        section="API server",
        metavar="url",
        help="The address of the API server, in place of the one in the kubeconfig. hk's own flag.",
    )
    bootstrap_kubeconfig: Path | None = flag(
        None,
        section="API server",
        metavar="file",
        help="A kubeconfig to ask for a client certificate with where --kubeconfig is not there or its certificate has"
        " ended; --kubeconfig is written then, and names the certificate, which is in --cert-dir.",
    )
    cert_dir: Path | None = flag(
        None,
        section="API server",
        metavar="folder",
        help="The folder of certificates that are asked for or made. Without it that is pki under --root-dir.",
    )
    rotate_certificates: bool = flag(
        False,
        section="API server",
        help="Ask for another client certificate before the one in --cert-dir ends.",
    )
    kube_api_qps: float = flag(50.0, section="API server", help="How many requests a second the API server is sent.")
    kube_api_burst: int = flag(100, section="API server", minimum=0, help="How many it may be sent at once.")
    event_qps: float = flag(
        50.0, section="API server", minimum=0, help="How many events a second are created; 0 for any number."
    )
    event_burst: int = flag(100, section="API server", minimum=0, help="How many events may be created at once.")

    hostname_override: str = flag(
        "", section="Node", metavar="name", help="The name of the node, in place of the machine's."
    )
    node_ip: str = flag(
        "",
        section="Node",
        check=_check_node_ip,
        metavar="addresses",
        help="The address of the node, or one of each family. 0.0.0.0 or :: stands for the one that the machine's"
        " default route leads by, which is the node's without the flag; but where the API server is on loopback, so is"
        " the node.",
    )
    node_labels: dict[str, str] = flag(
        {},
        section="Node",
        check=_check_labels,
        help="Labels that the node is registered with. Those of kubernetes.io that are not a kubelet's to give are left"
        " out, with a warning.",
    )
    register_node: bool = flag(
        True, section="Node", help="Register the node; else it must be created by somebody else."
    )
    register_with_taints: tuple[str, ...] = flag(
        (), section="Node", check=_check_taints, metavar="taints", help="Taints that the node is registered with."
    )
    cloud_provider: str = flag(
        "",
        section="Node",
        metavar="name",
        help="With `external`, a cloud's controller is waited for before pods come: the node has a taint until then."
        " Any other cloud is warned of, for kubelets have known none since Kubernetes 1.31.",
    )
    provider_id: str = flag("", section="Node", metavar="id", help="What a cloud calls this machine.")
    max_pods: int = flag(110, section="Node", minimum=0, help="How many pods this node runs at most.")
    kube_reserved: dict[str, str] = flag(
        {},
        section="Node",
        check=_check_reserved,
        help="What Kubernetes' own processes take of the machine: cpu, memory, ephemeral-storage, pid.",
    )
    system_reserved: dict[str, str] = flag(
        {},
        section="Node",
        check=_check_reserved,
        help="What all other processes of the system take of the machine.",
    )
    node_status_update_frequency: float = flag(
        10.0, section="Node", kind="duration", minimum=0.1, help="How often the node's state is looked at."
    )
    node_status_max_images: int = flag(
        50, section="Node", minimum=-1, help="How many images the node's status lists at most; -1 for all."
    )
    hollow_nodes: int = flag(
        0,
        section="Node",
        minimum=0,
        maximum=1 << 15,
        help="How many nodes this process stands for, NAME-0 and so on; with --container-runtime=hollow alone. 0 for"
        " one node, NAME. hk's own flag.",
    )

    pods_per_core: int = flag(
        0, section="Resources", minimum=0, help="How many pods this node runs at most for each processor; 0 for any."
    )
    cgroups_per_qos: bool = flag(
        True,
        section="Resources",
        help="Keep pods in control groups of their own, by their quality of service. The process runtime does so only"
        " where --cgroup-root is given, and has groups of containers otherwise.",
    )
    cgroup_root: str = flag(
        "",
        section="Resources",
        metavar="group",
        help="The control group that the group of all pods, kubepods, is made in; it has to be there. Without it that"
        " is the root of each hierarchy.",
    )
    cgroup_driver: str = flag(
        "cgroupfs",
        section="Resources",
        choices=("cgroupfs", "systemd"),
        metavar="driver",
        help="How control groups are named and made, where the container runtime doesn't tell.",
    )
    fail_cgroupv1: bool = flag(
        False,
        section="Resources",
        help="Don't run on a machine with cgroup v1. Upstream's doesn't unless told otherwise.",
    )
    enforce_node_allocatable: tuple[str, ...] = flag(
        ("pods",),
        section="Resources",
        metavar="what",
        check=_check_enforcement,
        help="What control groups hold to what is reserved: pods, system-reserved, kube-reserved, one of these two with"
        " -compressible, for processor time alone; or none.",
    )
    kube_reserved_cgroup: str = flag(
        "",
        section="Resources",
        metavar="group",
        help="The control group of Kubernetes' own processes, which is held to --kube-reserved where that is enforced.",
    )
    system_reserved_cgroup: str = flag(
        "",
        section="Resources",
        metavar="group",
        help="The control group of the system's processes, which is held to --system-reserved where that is enforced.",
    )
    reserved_cpus: str = flag(
        "",
        section="Resources",
        metavar="list",
        check=_check_cpus,
        help="Processors, such as 0-1,3, that pods are not to count on; they go before the cpu in --system-reserved and"
        " --kube-reserved.",
    )
    qos_reserved: dict[str, str] = flag(
        {},
        section="Resources",
        check=_check_percentages,
        help="How much of the memory that better pods ask for is kept from the others: memory=50%.",
    )
    cpu_cfs_quota: bool = flag(
        True, section="Resources", help="Hold containers to their limits of processor time by quotas of the kernel."
    )
    cpu_cfs_quota_period: float = flag(
        0.1,
        section="Resources",
        kind="duration",
        minimum=0.001,
        maximum=1,
        help="The time that a quota is given for.",
    )
    pod_max_pids: int = flag(
        -1, section="Resources", minimum=-1, help="How many processes a pod has at most; -1 for any number."
    )
    fail_swap_on: bool = flag(
        False,
        section="Resources",
        help="Don't run on a machine that swaps. Upstream's doesn't unless told otherwise.",
    )
    memory_swap_behavior: str = flag(
        "",
        section="Resources",
        choices=("", "NoSwap", "LimitedSwap"),
        metavar="behavior",
        help="Whether containers of burstable pods may use swap, in proportion to the memory that they ask for"
        " (LimitedSwap, on cgroup v2), or none may. hk's own flag, for memorySwap.swapBehavior of the config file.",
    )
    memory_reservation_policy: str = flag(
        "None",
        section="Resources",
        choices=("None", "TieredReservation"),
        metavar="policy",
        help="Whether the kernel leaves pods the memory that they ask for (TieredReservation, on cgroup v2). hk's own"
        " flag, for memoryReservationPolicy of the config file.",
    )
    memory_throttling_factor: float = flag(
        0.9,
        section="Resources",
        minimum=0.0,
        maximum=1.0,
        help="How far between its request and its limit a container's memory grows before the kernel slows it, where"
        " memory is reserved. hk's own flag, for memoryThrottlingFactor of the config file.",
    )
    single_process_oom_kill: bool = flag(
        False,
        section="Resources",
        help="Let the kernel kill one process of a container that is out of memory and not all of them (cgroup v2; in"
        " v1 it always is so). hk's own flag, for singleProcessOOMKill of the config file.",
    )

    registry_qps: float = flag(
        5.0, section="Images", minimum=0, help="How many images a second are begun to be pulled; 0 for any number."
    )
    registry_burst: int = flag(10, section="Images", minimum=0, help="How many pulls may be begun at once.")
    serialize_image_pulls: bool = flag(True, section="Images", help="Pull one image at a time.")
    max_parallel_image_pulls: int = flag(
        0,
        section="Images",
        minimum=0,
        help="How many images are pulled at a time without --serialize-image-pulls; 0 for any number. hk's own flag,"
        " for maxParallelImagePulls of the config file.",
    )
    image_credential_provider_config: Path | None = flag(
        None,
        section="Images",
        metavar="file",
        help="A CredentialProviderConfig, or a folder of them: programs that are asked for credentials of registries.",
    )
    image_credential_provider_bin_dir: Path | None = flag(
        None, section="Images", metavar="folder", help="The folder that those programs are in."
    )
    image_pull_credentials_verification_policy: str = flag(
        "NeverVerifyPreloadedImages",
        section="Images",
        choices=VERIFICATION_POLICIES,
        metavar="policy",
        help="Which images that are here already a pod may use only with credentials that they were pulled with. hk's"
        " own flag, for imagePullCredentialsVerificationPolicy of the config file.",
    )
    preloaded_images_verification_allowlist: tuple[str, ...] = flag(
        (),
        section="Images",
        metavar="images",
        help="Images that every pod may use under the policy NeverVerifyAllowlistedImages: names without tags, or"
        " beginnings that end in /*. hk's own flag, for preloadedImagesVerificationAllowlist of the config file.",
    )
    registry_config_dir: Path | None = flag(
        None,
        section="Images",
        metavar="folder",
        help="Mirrors and authorities of registries for the process runtime, in the files that containerd reads:"
        " HOST/hosts.toml or HOST/*.crt. hk's own flag.",
    )

    seccomp_default: bool = flag(
        False,
        section="Pods",
        help="Give containers that name no seccomp profile the runtime's instead of none.",
    )
    allowed_unsafe_sysctls: tuple[str, ...] = flag(
        (),
        section="Pods",
        metavar="patterns",
        help="Kernel settings that pods may set beside the safe ones: names, or beginnings that end in *.",
    )
    max_container_restart_period: float = flag(
        300.0,
        section="Pods",
        kind="duration",
        minimum=1,
        maximum=300,
        help="How long a container that keeps failing waits at most before its next start. hk's own flag, for"
        " crashLoopBackOff.maxContainerRestartPeriod of the config file.",
    )

    node_status_report_frequency: float = flag(
        300.0,
        section="Node",
        kind="duration",
        minimum=0,
        help="How often the node's status is written though nothing in it is new. A key of upstream's config file.",
    )
    node_lease_duration_seconds: int = flag(
        40,
        section="Node",
        minimum=1,
        help="How many seconds the node counts as alive after its lease was renewed, which it is four times in them. A"
        " key of upstream's config file.",
    )

    feature_gates: dict[str, bool] = flag(
        {},
        section="Node",
        check=_check_gates,
        help="Features of Kubernetes that are asked for or not. Here each is there or it isn't: what differs is warned"
        " of, and refused where it would have made the node stricter.",
    )
    config_dir: Path | None = flag(
        None,
        section="Node",
        metavar="folder",
        help="A folder whose files *.conf, and those of the folders in it, are KubeletConfigurations that go before"
        " --config, the last one first.",
    )
    root_dir: Path = flag(
        Path("~/.local/share/hk/kubelet"),
        section="Pods",
        metavar="folder",
        help="The folder of everything that is kept for pods: volumes, logs, images, containers. It is created, for its"
        " owner alone; upstream's is /var/lib/kubelet.",
    )
    container_runtime: str = flag(
        "process",
        section="Pods",
        choices=CONTAINER_RUNTIMES,
        metavar="runtime",
        help="What runs containers: process, supervised processes of this machine; cri, a container runtime such as"
        " containerd (remote is its old name); or hollow, nothing at all: pods go through their states by rule. hk's"
        " own flag.",
    )
    container_runtime_endpoint: str = flag(
        "",
        section="Pods",
        metavar="url",
        check=_check_endpoint,
        help="The socket of the container runtime, as unix:///run/containerd/containerd.sock; given, it means"
        " --container-runtime=cri. Without it that looks where containerd, CRI-O and cri-dockerd listen.",
    )
    image_service_endpoint: str = flag(
        "",
        section="Pods",
        metavar="url",
        check=_check_endpoint,
        help="The socket of who has the runtime's images, where that is not the runtime itself.",
    )
    runtime_request_timeout: float = flag(
        120.0,
        section="Pods",
        kind="duration",
        minimum=0,
        help="How long the container runtime may take to answer; pulling images, streams and logs aside. 0 is 2m.",
    )
    network: str = flag(
        "auto",
        section="Pods",
        choices=NETWORKS,
        metavar="network",
        help="What pods are connected to: namespace, a network of their own behind this user's namespaces; loopback,"
        " each an address 127.x.y.z of this machine; host, all of them the machine's own; auto, the first of these that"
        " can be had. With a container runtime: cni, what its CNI configuration says; auto, a bridge of hk's own where"
        " there is none. hk's own flag.",
    )
    pod_cidr: str = flag(
        "",
        section="Pods",
        metavar="range",
        help="The range of pods' addresses where no API server says one. Without either it is 10.244.0.0/24.",
    )
    cluster_dns: tuple[str, ...] = flag(
        (), section="Pods", metavar="addresses", help="Name servers of pods whose dnsPolicy is ClusterFirst."
    )
    cluster_domain: str = flag(
        "", section="Pods", metavar="domain", help="The cluster's domain: what names of services end in."
    )
    resolv_conf: str = flag(
        "/etc/resolv.conf", section="Pods", metavar="file", help="Where pods' name servers are from otherwise."
    )
    pod_manifest_path: Path | None = flag(
        None,
        section="Pods",
        metavar="path",
        help="A file, or a folder of files, with pods that run on this node whatever the API server says.",
    )
    file_check_frequency: float = flag(
        20.0, section="Pods", kind="duration", minimum=0.1, help="How often --pod-manifest-path is read."
    )
    sync_frequency: float = flag(
        60.0,
        section="Pods",
        kind="duration",
        minimum=1,
        help="How often each pod is looked at though nothing was heard of it.",
    )
    maximum_dead_containers: int = flag(
        -1, section="Pods", minimum=-1, help="How many containers that ended are kept on the whole node; -1 for any."
    )
    maximum_dead_containers_per_container: int = flag(
        1, section="Pods", minimum=-1, help="How many earlier runs of each container are kept; -1 for all."
    )
    container_log_max_size: str = flag(
        "10Mi",
        section="Pods",
        metavar="size",
        check=_check_size,
        help="How large a container's log grows before a new file is begun.",
    )
    container_log_max_files: int = flag(
        5, section="Pods", minimum=2, help="How many files there are of a container's log at most."
    )
    orphan_grace_period: float = flag(
        60.0,
        section="Pods",
        kind="duration",
        minimum=0,
        help="How long pods go on without a kubelet; the next one finds them running until then. hk's own flag.",
    )
    minimum_container_ttl_duration: float = flag(
        0.0, section="Pods", kind="duration", minimum=0, help="How long a container that ended is kept at least."
    )

    eviction_hard: dict[str, str] = flag(
        dict(DEFAULT_EVICTION),
        section="Health",
        kind="less-than-map",
        check=_check_hard,
        metavar="signal<amount",
        help="What the node may have no less of: memory.available, nodefs.available, nodefs.inodesFree,"
        " imagefs.available, imagefs.inodesFree, pid.available, each an amount or a percentage. Below it pods are"
        " evicted at once. Nothing is evicted where it is empty.",
    )
    eviction_soft: dict[str, str] = flag(
        {},
        section="Health",
        kind="less-than-map",
        check=_check_signals,
        metavar="signal<amount",
        help="The same, for pods to be evicted after the grace period of the signal.",
    )
    eviction_soft_grace_period: dict[str, str] = flag(
        {},
        section="Health",
        check=_check_graces,
        metavar="signal=duration",
        help="How long there may be less than --eviction-soft says.",
    )
    eviction_minimum_reclaim: dict[str, str] = flag(
        {},
        section="Health",
        check=_check_reclaims,
        metavar="signal=amount",
        help="How much more there has to be than its threshold before a shortage is over.",
    )
    eviction_pressure_transition_period: float = flag(
        300.0,
        section="Health",
        kind="duration",
        minimum=0,
        help="How long the node's conditions tell of a shortage that is over.",
    )
    eviction_max_pod_grace_period: int = flag(
        0, section="Health", help="How many seconds a pod is given at most that a soft threshold evicts."
    )
    merge_default_eviction_settings: bool = flag(
        False,
        section="Health",
        help="Let --eviction-hard add to what it is unless it is given. Upstream has it in the config file alone.",
    )
    kernel_memcg_notification: bool = flag(
        False,
        section="Health",
        help="Have the kernel tell when memory becomes scarce, rather than to look every ten seconds alone.",
    )
    local_storage_capacity_isolation: bool = flag(
        True,
        section="Health",
        help="Evict pods that take more of the node's disk than their volumes and containers may.",
    )
    image_gc_high_threshold: int = flag(
        85,
        section="Health",
        minimum=0,
        maximum=100,
        help="How many percent of the disk with images may be used before unused ones are removed; 100 for none.",
    )
    image_gc_low_threshold: int = flag(
        80, section="Health", minimum=0, maximum=100, help="How many percent are to be used then."
    )
    minimum_image_ttl_duration: float = flag(
        120.0, section="Health", kind="duration", minimum=0, help="How long an image is kept at least."
    )
    image_maximum_gc_age: float = flag(
        0.0,
        section="Health",
        kind="duration",
        minimum=0,
        help="How long an image is kept that nobody uses; 0 for ever. Upstream has it in the config file alone.",
    )
    volume_stats_agg_period: float = flag(
        60.0,
        section="Health",
        kind="duration",
        help="How often it is measured what pods take of the disk; 0 or less for never.",
    )

    address: str = flag(
        "127.0.0.1",
        section="Serving",
        kind="ip",
        help="The address to listen on. Upstream's listens on all of them unless told otherwise, this one on loopback.",
    )
    port: int = flag(
        10250,
        section="Serving",
        minimum=0,
        maximum=65535,
        help="The port of logs, exec and all else that the API server asks for. 0 has the system choose a free one,"
        " which the node's status tells.",
    )
    enable_server: bool = flag(True, section="Serving", help="Listen on --port.")
    enable_debugging_handlers: bool = flag(True, section="Serving", help="Serve logs, exec and port-forward there.")
    tls_cert_file: Path | None = flag(
        None,
        section="Serving",
        metavar="file",
        help="The certificate to serve with, its intermediates behind it. Without it one is made that vouches for"
        " itself, under --root-dir.",
    )
    tls_private_key_file: Path | None = flag(
        None, section="Serving", metavar="file", help="The private key of --tls-cert-file."
    )
    rotate_server_certificates: bool = flag(
        False,
        section="Serving",
        help="Ask the API server for the certificate to serve with, without --tls-cert-file, and for another before it"
        " ends. Somebody has to approve the requests.",
    )
    tls_min_version: str = flag(
        "",
        section="Serving",
        choices=TLS_VERSIONS,
        metavar="version",
        help="The least version of TLS that is spoken: VersionTLS12, which it is anyway, or VersionTLS13.",
    )
    tls_cipher_suites: tuple[str, ...] = flag(
        (),
        section="Serving",
        check=_check_suites,
        metavar="names",
        help="The cipher suites that are spoken below TLS 1.3, as Go calls them. Without it they are Python's choice.",
    )
    client_ca_file: Path | None = flag(
        None, section="Serving", metavar="file", help="Authorities whose certificates name users."
    )
    anonymous_auth: bool = flag(
        False,
        section="Serving",
        help="Take requests that say nothing about who makes them, as user system:anonymous. Upstream's flag is on"
        " unless told otherwise, its config file off as here.",
    )
    authentication_token_webhook: bool = flag(
        True,
        section="Serving",
        help="Ask the API server about bearer tokens. Upstream's flag is off unless told otherwise, its config file on"
        " as here.",
    )
    authentication_token_webhook_cache_ttl: float = flag(
        120.0, section="Serving", kind="duration", minimum=0, help="How long its answers about tokens are believed."
    )
    streaming_connection_idle_timeout: float = flag(
        14400.0,
        section="Serving",
        kind="duration",
        minimum=0,
        help="How long streams of exec, attach and port-forward may lie still before they are closed; 0 for ever.",
    )
    authorization_mode: str = flag(
        "Webhook",
        section="Serving",
        choices=AUTHORIZATION_MODES,
        metavar="mode",
        help="Who decides what a user may do: Webhook, the API server, or AlwaysAllow. Upstream's flag allows all"
        " unless told otherwise, its config file asks as here.",
    )
    authorization_webhook_cache_authorized_ttl: float = flag(
        300.0, section="Serving", kind="duration", minimum=0, help="How long a yes of the API server is believed."
    )
    authorization_webhook_cache_unauthorized_ttl: float = flag(
        30.0, section="Serving", kind="duration", minimum=0, help="How long a no of the API server is believed."
    )
    enable_system_log_handler: bool = flag(
        True,
        section="Serving",
        help="Serve the machine's log files at /logs/, to who may read them. A key of upstream's config file.",
    )
    lock_file: Path | None = flag(
        None, section="Process", metavar="file", help="A file to lock, after whoever has it locked has let go of it."
    )
    exit_on_lock_contention: bool = flag(
        False, section="Process", help="Leave when another process opens --lock-file, which a next kubelet does."
    )
    oom_score_adj: int | None = flag(
        None,
        section="Process",
        minimum=-1000,
        maximum=1000,
        help="How soon the kernel kills the kubelet when memory is short: -1000 never, 1000 first. Without it that is"
        " left as it is; upstream takes -999.",
    )
    read_only_port: int = flag(
        0,
        section="Serving",
        minimum=0,
        maximum=65535,
        help="A port of plain HTTP on which everybody may read pods, metrics and usage; 0 for none. Upstream's flag is"
        " 10255 unless told otherwise, its config file none as here.",
    )
    healthz_bind_address: str = flag(
        "127.0.0.1", section="Serving", kind="ip", help="The address that /healthz is served on in plain HTTP."
    )
    healthz_port: int = flag(10248, section="Serving", minimum=0, maximum=65535, help="The port of it; 0 for none.")

    @property
    def uses_cri(self) -> bool:
        """Whether containers are run by a container runtime such as containerd."""
        return bool(self.container_runtime_endpoint) or self.container_runtime in ("cri", "remote")

    @staticmethod
    def foreign_flags() -> Mapping[str, ForeignFlag]:
        """Upstream's flags that are not fields here."""
        from hyperkube_kubelet.flags import foreign_flags

        return foreign_flags()

    @classmethod
    def read_config_files(cls, files: Sequence[tuple[Path, Mapping[str, Any]]]) -> Mapping[str, Any]:
        """What KubeletConfigurations, or a plain mapping of flags, come to. Raises ValueError."""
        from hyperkube_kubelet.configuration.reading import read_configurations

        return read_configurations(files, cls.__dataclass_fields__)

    def __post_init__(self) -> None:
        # Absolute, for the reaper has a working directory of its own.
        object.__setattr__(self, "root_dir", self.root_dir.expanduser().absolute())
        if self.cert_dir is None:
            object.__setattr__(self, "cert_dir", self.root_dir / "pki")
        if self.exit_on_lock_contention and self.lock_file is None:
            why = "cannot exit on lock file contention: no lock file specified"
            raise SettingsError("lock-file", "flag --lock-file", why)
        if self.bootstrap_kubeconfig is not None and self.kubeconfig is None:
            raise SettingsError("kubeconfig", "flag --kubeconfig", "must be given with --bootstrap-kubeconfig")
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            given, missing = "--tls-cert-file", "--tls-private-key-file"
            if self.tls_cert_file is None:
                given, missing = missing, given
            raise SettingsError(missing.lstrip("-"), f"flag {missing}", f"must be given together with {given}")
        fitting = ("auto", "cni") if self.uses_cri else NETWORKS[:-1]
        if self.network not in fitting:
            what = "a container runtime" if self.uses_cri else f"--container-runtime={self.container_runtime}"
            raise SettingsError("network", "flag --network", f"can't be {self.network} with {what}")
        if self.container_runtime_endpoint and self.container_runtime == "hollow":
            name = "container-runtime-endpoint"
            raise SettingsError(name, f"flag --{name}", "can't be given together with --container-runtime=hollow")
        if self.hollow_nodes and self.container_runtime != "hollow":
            name = "hollow-nodes"
            raise SettingsError(name, f"flag --{name}", "needs --container-runtime=hollow")
        for name in ("system-reserved", "kube-reserved"):
            field = f"{name}-cgroup"
            if {name, f"{name}-compressible"} & {*self.enforce_node_allocatable} and not getattr(
                self, field.replace("-", "_")
            ):
                what = f"must be given where --enforce-node-allocatable has {name}"
                raise SettingsError(field, f"flag --{field}", what)
        if self.reserved_cpus and (self.system_reserved_cgroup or self.kube_reserved_cgroup):
            name = "reserved-cpus"
            what = "can't be given together with --system-reserved-cgroup or --kube-reserved-cgroup"
            raise SettingsError(name, f"flag --{name}", what)
        reachable = self.kubeconfig is not None or self.master
        if self.hollow_nodes and not reachable:
            raise SettingsError("kubeconfig", "flag --kubeconfig", "must be given for --hollow-nodes")
        if not reachable and self.pod_manifest_path is None:
            name, why = "kubeconfig", "must be given, or --pod-manifest-path for pods without an API server"
            raise SettingsError(name, f"flag --{name}", why)


def settings_of(options: Options) -> dict[str, Any]:
    """Every field, by its name."""
    return {name: getattr(options, name) for name in Options.__dataclass_fields__}
