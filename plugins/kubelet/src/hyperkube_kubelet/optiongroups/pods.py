"""What runs pods, and what they are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperkube_core import flag
from hyperkube_kubelet.optiongroups.checks import (
    CONTAINER_RUNTIMES,
    NETWORKS,
    VERIFICATION_POLICIES,
    check_endpoint,
    check_size,
)

__all__ = ["PodOptions"]


@dataclass(frozen=True, kw_only=True)
class PodOptions:
    """What runs pods, and what they are given."""

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
        check=check_endpoint,
        help="The socket of the container runtime, as unix:///run/containerd/containerd.sock; given, it means"
        " --container-runtime=cri. Without it that looks where containerd, CRI-O and cri-dockerd listen.",
    )
    image_service_endpoint: str = flag(
        "",
        section="Pods",
        metavar="url",
        check=check_endpoint,
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
        check=check_size,
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
