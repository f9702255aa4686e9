"""The kubelet's options. Names, meanings and defaults are upstream's unless the help says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperkube_core import ForeignFlag, SettingsError, flag

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTAINER_RUNTIMES", "NETWORKS", "Options"]

CONTAINER_RUNTIMES = ("process", "hollow")
NETWORKS = ("auto", "namespace", "loopback", "host")
AUTHORIZATION_MODES = ("Webhook", "AlwaysAllow")
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


def _check_size(size: str) -> None:
    from hyperkube_machinery.quantity import Quantity

    if Quantity.parse(size).value <= 0:
        raise ValueError(f'"{size}" is no size such as 10Mi')


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
    kube_api_qps: float = flag(50.0, section="API server", help="How many requests a second the API server is sent.")
    kube_api_burst: int = flag(100, section="API server", minimum=0, help="How many it may be sent at once.")
    event_qps: float = flag(
        50.0, section="API server", minimum=0, help="How many events a second are created; 0 for any number."
    )
    event_burst: int = flag(100, section="API server", minimum=0, help="How many events may be created at once.")

    hostname_override: str = flag(
        "", section="Node", metavar="name", help="The name of the node, in place of the machine's."
    )
    node_ip: str | None = flag(
        None,
        section="Node",
        kind="ip",
        help="The address of the node. Without it that is loopback, 127.0.0.1, where all of this kubelet is; upstream's"
        " takes the address of the default interface.",
    )
    node_labels: dict[str, str] = flag({}, section="Node", help="Labels that the node is registered with.")
    register_node: bool = flag(
        True, section="Node", help="Register the node; else it must be created by somebody else."
    )
    register_with_taints: tuple[str, ...] = flag(
        (), section="Node", check=_check_taints, metavar="taints", help="Taints that the node is registered with."
    )
    provider_id: str = flag("", section="Node", metavar="id", help="What a cloud calls this machine.")
    max_pods: int = flag(110, section="Node", minimum=0, help="How many pods this node runs at most.")
    kube_reserved: dict[str, str] = flag(
        {}, section="Node", help="What Kubernetes' own processes take of the machine: cpu, memory, ephemeral-storage."
    )
    system_reserved: dict[str, str] = flag(
        {}, section="Node", help="What all other processes of the system take of the machine."
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
        help="What runs containers: process, supervised processes of this machine, or hollow, nothing at all: pods go"
        " through their states by rule. hk's own flag.",
    )
    network: str = flag(
        "auto",
        section="Pods",
        choices=NETWORKS,
        metavar="network",
        help="What pods are connected to: namespace, a network of their own behind this user's namespaces; loopback,"
        " each an address 127.x.y.z of this machine; host, all of them the machine's own; auto, the first of these that"
        " can be had. hk's own flag.",
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
    healthz_bind_address: str = flag(
        "127.0.0.1", section="Serving", kind="ip", help="The address that /healthz is served on in plain HTTP."
    )
    healthz_port: int = flag(10248, section="Serving", minimum=0, maximum=65535, help="The port of it; 0 for none.")

    @staticmethod
    def foreign_flags() -> Mapping[str, ForeignFlag]:
        """Upstream's flags that are not fields here."""
        from hyperkube_kubelet.flags import foreign_flags

        return foreign_flags()

    @classmethod
    def read_config(cls, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a KubeletConfiguration, or a plain mapping of flags, comes to. Raises ValueError."""
        from hyperkube_kubelet.configuration import read_configuration

        return read_configuration(document)

    def __post_init__(self) -> None:
        # Absolute, for the reaper has a working directory of its own.
        object.__setattr__(self, "root_dir", self.root_dir.expanduser().absolute())
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            given, missing = "--tls-cert-file", "--tls-private-key-file"
            if self.tls_cert_file is None:
                given, missing = missing, given
            raise SettingsError(missing.lstrip("-"), f"flag {missing}", f"must be given together with {given}")
        if self.hollow_nodes and self.container_runtime != "hollow":
            name = "hollow-nodes"
            raise SettingsError(name, f"flag --{name}", "needs --container-runtime=hollow")
        reachable = self.kubeconfig is not None or self.master
        if self.hollow_nodes and not reachable:
            raise SettingsError("kubeconfig", "flag --kubeconfig", "must be given for --hollow-nodes")
        if not reachable and self.pod_manifest_path is None:
            name, why = "kubeconfig", "must be given, or --pod-manifest-path for pods without an API server"
            raise SettingsError(name, f"flag --{name}", why)
