"""The node, and where its settings are from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hyperkube_core import flag
from hyperkube_kubelet.optiongroups.checks import check_gates, check_labels, check_node_ip, check_reserved, check_taints

__all__ = ["NodeOptions"]


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    """The node, and where its settings are from."""

    hostname_override: str = flag(
        "", section="Node", metavar="name", help="The name of the node, in place of the machine's."
    )
    node_ip: str = flag(
        "",
        section="Node",
        check=check_node_ip,
        metavar="addresses",
        help="The address of the node, or one of each family. 0.0.0.0 or :: stands for the one that the machine's"
        " default route leads by, which is the node's without the flag; but where the API server is on loopback, so is"
        " the node.",
    )
    node_labels: dict[str, str] = flag(
        {},
        section="Node",
        check=check_labels,
        help="Labels that the node is registered with. Those of kubernetes.io that are not a kubelet's to give are left"
        " out, with a warning.",
    )
    register_node: bool = flag(
        True, section="Node", help="Register the node; else it must be created by somebody else."
    )
    register_with_taints: tuple[str, ...] = flag(
        (), section="Node", check=check_taints, metavar="taints", help="Taints that the node is registered with."
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
        check=check_reserved,
        help="What Kubernetes' own processes take of the machine: cpu, memory, ephemeral-storage, pid.",
    )
    system_reserved: dict[str, str] = flag(
        {},
        section="Node",
        check=check_reserved,
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
        check=check_gates,
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
