"""The controller manager's options. Names, meanings and defaults are upstream's unless the help says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from hyperkube_controller_manager.catalog import check_names, known_names
from hyperkube_core import ForeignFlag, SettingsError, flag

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Options"]


def _check_lock(lock: str) -> None:
    if lock != "leases":
        raise ValueError(f'"{lock}" is no lock that there is: it must be leases')


def _check_ranges(ranges: tuple[str, ...]) -> None:
    versions = [ip_network(one.strip(), strict=False).version for one in ranges]
    if len(versions) > 2 or len(set(versions)) != len(versions):
        raise ValueError("there may be one range, or one of IPv4 and one of IPv6")


def _check_positive(seconds: float) -> None:
    if seconds <= 0:
        raise ValueError("it must be more than 0")


def _workers(default: int, section: str, of: str) -> int:
    help = f"How many {of} are worked on at a time."
    return flag(default, section=section, minimum=1, help=help)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line, the variables, the config file and the defaults came to."""

    kubeconfig: Path | None = flag(
        None,
        section="API server",
        metavar="file",
        help="A kubeconfig that says where the API server is, and who this is. Without it and --master, what a pod"
        " finds counts.",
    )
    master: str = flag(
        "",
        section="API server",
        metavar="url",
        help="The address of the API server, in place of the one in the kubeconfig.",
    )
    kube_api_qps: float = flag(
        20.0,
        section="API server",
        help="How many requests a second each controller may send to the API server; less than 0 for any number.",
    )
    kube_api_burst: int = flag(30, section="API server", minimum=0, help="How many it may send at once.")

    controllers: tuple[str, ...] = flag(
        ("*",),
        section="Controllers",
        check=check_names,
        metavar="names",
        help="Which controllers to run: * for all that are on by default, foo for the controller foo, -foo for all but"
        f" that. There are: {', '.join(known_names())}.",
    )
    use_service_account_credentials: bool = flag(
        False,
        section="Controllers",
        help="Have each controller be a service account of its own in kube-system, with the rights that it needs and no"
        " others.",
    )
    leader_elect: bool = flag(
        True,
        section="Leader election",
        help="Work only while holding a lease, so that several of these servers may run and one works.",
    )
    leader_elect_lease_duration: float = flag(
        15.0,
        section="Leader election",
        kind="duration",
        check=_check_positive,
        help="How long others wait after the lease was last renewed until they take it.",
    )
    leader_elect_renew_deadline: float = flag(
        10.0,
        section="Leader election",
        kind="duration",
        check=_check_positive,
        help="How long the leader tries to renew the lease before it gives up; less than the lease lasts.",
    )
    leader_elect_retry_period: float = flag(
        2.0,
        section="Leader election",
        kind="duration",
        check=_check_positive,
        help="How long to wait between tries to take or renew the lease.",
    )
    leader_elect_resource_lock: str = flag(
        "leases", section="Leader election", check=_check_lock, help="The kind of object that is the lock: leases."
    )
    leader_elect_resource_name: str = flag(
        "kube-controller-manager", section="Leader election", metavar="name", help="The name of the lease."
    )
    leader_elect_resource_namespace: str = flag(
        "kube-system", section="Leader election", metavar="namespace", help="The namespace of the lease."
    )

    bind_address: str = flag(
        "127.0.0.1",
        section="Serving",
        kind="ip",
        help="The address to serve health and metrics on. kube-controller-manager listens on all of them unless told"
        " otherwise, this server on loopback.",
    )
    secure_port: int = flag(
        10257,
        section="Serving",
        minimum=0,
        maximum=65535,
        help="The port of HTTPS for health and metrics; 0 to serve nothing.",
    )
    tls_cert_file: Path | None = flag(
        None,
        section="Serving",
        metavar="file",
        help="The certificate to serve with, its intermediates behind it. Without it the server makes one that it signs"
        " itself.",
    )
    tls_private_key_file: Path | None = flag(
        None, section="Serving", metavar="file", help="The private key of --tls-cert-file."
    )
    client_ca_file: Path | None = flag(
        None, section="Serving", metavar="file", help="Authorities whose certificates name users."
    )
    authentication_kubeconfig: Path | None = flag(
        None,
        section="Serving",
        metavar="file",
        help="A kubeconfig to ask the API server with whose a token is. Without it that is --kubeconfig.",
    )
    authorization_kubeconfig: Path | None = flag(
        None,
        section="Serving",
        metavar="file",
        help="A kubeconfig to ask the API server with what a user may do. Without it that is --kubeconfig.",
    )
    authorization_always_allow_paths: tuple[str, ...] = flag(
        ("/healthz", "/readyz", "/livez"),
        section="Serving",
        metavar="paths",
        help="Paths that anybody may read; a * at the end stands for anything.",
    )

    authentication_token_webhook_cache_ttl: float = flag(
        10.0, section="Serving", kind="duration", minimum=0, help="How long it is remembered whose a token is."
    )
    authorization_webhook_cache_authorized_ttl: float = flag(
        10.0, section="Serving", kind="duration", minimum=0, help="How long it is remembered that a user may."
    )
    authorization_webhook_cache_unauthorized_ttl: float = flag(
        10.0, section="Serving", kind="duration", minimum=0, help="How long it is remembered that a user may not."
    )

    root_ca_file: Path | None = flag(
        None,
        section="Service accounts",
        metavar="file",
        help="The authorities that pods are to believe the API server by; they are put into every namespace. Without it"
        " those of the kubeconfig are.",
    )

    cluster_signing_cert_file: Path | None = flag(
        None,
        section="Certificates",
        metavar="file",
        help="The authority that signs for all four signers. With it no other --cluster-signing-*-file may be given.",
    )
    cluster_signing_key_file: Path | None = flag(
        None,
        section="Certificates",
        metavar="file",
        help="The private key of --cluster-signing-cert-file.",
    )
    cluster_signing_kubelet_serving_cert_file: Path | None = flag(
        None,
        section="Certificates",
        metavar="file",
        help="The authority that signs for kubernetes.io/kubelet-serving.",
    )
    cluster_signing_kubelet_serving_key_file: Path | None = flag(
        None,
        section="Certificates",
        metavar="file",
        help="The private key of --cluster-signing-kubelet-serving-cert-file.",
    )
    cluster_signing_kubelet_client_cert_file: Path | None = flag(
        None,
        section="Certificates",
        metavar="file",
        help="The authority that signs for kubernetes.io/kube-apiserver-client-kubelet.",
    )
    cluster_signing_kubelet_client_key_file: Path | None = flag(
        None,
        section="Certificates",
        metavar="file",
        help="The private key of --cluster-signing-kubelet-client-cert-file.",
    )
    cluster_signing_kube_apiserver_client_cert_file: Path | None = flag(
        None,
        section="Certificates",
        metavar="file",
        help="The authority that signs for kubernetes.io/kube-apiserver-client.",
    )
    cluster_signing_kube_apiserver_client_key_file: Path | None = flag(
        None,
        section="Certificates",
        metavar="file",
        help="The private key of --cluster-signing-kube-apiserver-client-cert-file.",
    )
    cluster_signing_legacy_unknown_cert_file: Path | None = flag(
        None,
        section="Certificates",
        metavar="file",
        help="The authority that signs for kubernetes.io/legacy-unknown.",
    )
    cluster_signing_legacy_unknown_key_file: Path | None = flag(
        None,
        section="Certificates",
        metavar="file",
        help="The private key of --cluster-signing-legacy-unknown-cert-file.",
    )
    cluster_signing_duration: float = flag(
        365 * 86400.0,
        section="Certificates",
        kind="duration",
        check=_check_positive,
        help="How long certificates are good that are signed here, unless less is asked for.",
    )

    concurrent_namespace_syncs: int = _workers(10, "Garbage", "namespaces being deleted")
    enable_garbage_collector: bool = flag(
        True, section="Garbage", help="Delete objects whose owners are gone, and owners after their dependents."
    )
    concurrent_gc_syncs: int = _workers(20, "Garbage", "objects whose owners may be gone")
    terminated_pod_gc_threshold: int = flag(
        12500,
        section="Garbage",
        help="How many pods that have ended there may be before the oldest are deleted; 0 or less for any number.",
    )
    concurrent_ttl_after_finished_syncs: int = _workers(5, "Garbage", "finished jobs that have had their time")

    node_monitor_period: float = flag(
        5.0, section="Nodes", kind="duration", check=_check_positive, help="How often the health of nodes is looked at."
    )
    node_monitor_grace_period: float = flag(
        50.0,
        section="Nodes",
        kind="duration",
        check=_check_positive,
        help="How long a node may be silent before it is marked as unhealthy. Several times how often kubelets tell of"
        " themselves.",
    )
    node_startup_grace_period: float = flag(
        60.0,
        section="Nodes",
        kind="duration",
        check=_check_positive,
        help="How long a new node may take to tell of itself at all.",
    )
    node_eviction_rate: float = flag(
        0.1, section="Nodes", minimum=0, help="How many failed nodes a second may lose their pods in a healthy zone."
    )
    secondary_node_eviction_rate: float = flag(
        0.01, section="Nodes", minimum=0, help="The same in an unhealthy zone, if it is a large one; else none may."
    )
    unhealthy_zone_threshold: float = flag(
        0.55, section="Nodes", help="Which part of a zone's nodes, three at the least, make it unhealthy by failing."
    )
    large_cluster_size_threshold: int = flag(50, section="Nodes", help="A zone of more nodes than this is a large one.")
    allocate_node_cidrs: bool = flag(
        False, section="Nodes", help="Give each node a range of --cluster-cidr for its pods' addresses."
    )
    cluster_cidr: tuple[str, ...] = flag(
        (),
        section="Nodes",
        check=_check_ranges,
        metavar="ranges",
        help="The range of all pods' addresses, or one of IPv4 and one of IPv6.",
    )
    node_cidr_mask_size: int = flag(
        0,
        section="Nodes",
        minimum=0,
        metavar="bits",
        help="The mask of a node's range: 24, or 64 for IPv6, unless told.",
    )
    node_cidr_mask_size_ipv4: int = flag(
        0, section="Nodes", minimum=0, metavar="bits", help="The same for the range of IPv4 alone."
    )
    node_cidr_mask_size_ipv6: int = flag(
        0, section="Nodes", minimum=0, metavar="bits", help="The same for the range of IPv6 alone."
    )
    service_cluster_ip_range: tuple[str, ...] = flag(
        (),
        section="Nodes",
        check=_check_ranges,
        metavar="ranges",
        help="The range of services' addresses, which no node is given if it lies in --cluster-cidr.",
    )

    concurrent_deployment_syncs: int = _workers(5, "Workloads", "deployments")
    concurrent_replicaset_syncs: int = _workers(5, "Workloads", "replica sets")
    concurrent_rc_syncs: int = _workers(5, "Workloads", "replication controllers")
    concurrent_daemonset_syncs: int = _workers(2, "Workloads", "daemon sets")
    concurrent_job_syncs: int = _workers(5, "Workloads", "jobs")
    concurrent_cron_job_syncs: int = _workers(5, "Workloads", "cron jobs")
    concurrent_statefulset_syncs: int = _workers(5, "Workloads", "stateful sets")

    concurrent_endpoint_syncs: int = _workers(5, "Endpoints", "services whose Endpoints change")
    endpoint_updates_batch_period: float = flag(
        0.0,
        section="Endpoints",
        kind="duration",
        minimum=0,
        help="How long to wait after a pod changed for others to change as well, before Endpoints are written.",
    )
    concurrent_service_endpoint_syncs: int = _workers(5, "Endpoints", "services whose EndpointSlices change")
    endpointslice_updates_batch_period: float = flag(
        0.0,
        section="Endpoints",
        kind="duration",
        minimum=0,
        help="How long to wait after a pod changed for others to change as well, before EndpointSlices are written.",
    )
    max_endpoints_per_slice: int = flag(
        100, section="Endpoints", minimum=1, maximum=1000, help="How many endpoints there are at most in a slice."
    )

    concurrent_resource_quota_syncs: int = _workers(5, "Quotas", "quotas whose use is counted")
    resource_quota_sync_period: float = flag(
        300.0,
        section="Quotas",
        kind="duration",
        minimum=0,
        help="How often all quotas are counted anew, whether something was seen to change or not; 0 for never.",
    )

    @staticmethod
    def foreign_flags() -> Mapping[str, ForeignFlag]:
        """kube-controller-manager's flags that are not fields here."""
        from hyperkube_controller_manager.flags import foreign_flags

        return foreign_flags()

    def __post_init__(self) -> None:
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            given, missing = "--tls-cert-file", "--tls-private-key-file"
            if self.tls_cert_file is None:
                given, missing = missing, given
            raise SettingsError(missing.lstrip("-"), f"flag {missing}", f"must be given together with {given}")
        self._check_signing()
        if not self.leader_elect_retry_period < self.leader_elect_renew_deadline < self.leader_elect_lease_duration:
            name, why = (
                "leader-elect-renew-deadline",
                "must be less than the lease lasts and more than the retry period",
            )
            raise SettingsError(name, f"flag --{name}", why)
        if self.allocate_node_cidrs and not self.cluster_cidr:
            raise SettingsError("cluster-cidr", "flag --cluster-cidr", "must be given with --allocate-node-cidrs")
        if self.node_cidr_mask_size and len(self.cluster_cidr) > 1:
            name, why = "node-cidr-mask-size", "is for one range: use --node-cidr-mask-size-ipv4 and -ipv6"
            raise SettingsError(name, f"flag --{name}", why)

    def _check_signing(self) -> None:
        """Raise SettingsError for authorities without keys, and for one of all beside one of some."""
        given = []
        for signer in ("", "kubelet-serving-", "kubelet-client-", "kube-apiserver-client-", "legacy-unknown-"):
            names = [f"cluster-signing-{signer}{what}-file" for what in ("cert", "key")]
            there = [getattr(self, name.replace("-", "_")) is not None for name in names]
            if any(there):
                given.append(names[0])
            if there == [True, False]:
                raise SettingsError(names[1], f"flag --{names[1]}", "cannot specify cert without key")
            if there == [False, True]:
                raise SettingsError(names[0], f"flag --{names[0]}", "cannot specify key without cert")
        if len(given) > 1 and given[0] == "cluster-signing-cert-file":
            why = "cannot specify --cluster-signing-{cert,key}-file and other --cluster-signing-*-file flags"
            raise SettingsError(given[0], f"flag --{given[0]}", f"{why} at the same time")
