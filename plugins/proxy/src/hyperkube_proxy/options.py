"""The proxy's options. Names, meanings and defaults are kube-proxy's unless the help says otherwise."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperkube_core import ForeignFlag, SettingsError, flag

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LOCAL_MODES", "MODES", "PRIMARY", "Options", "split_address"]

MODES = ("auto", "nftables", "userspace", "relays")
LOCAL_MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
PRIMARY = "primary"
"""Of --nodeport-addresses: the node's own addresses, as its Node tells them."""

_NO_MODE = {
    "iptables": "its rules are nftables' by another name: use nftables",
    "ipvs": "use nftables",
    "kernelspace": "there is no Windows here",
}


def split_address(text: str, default_port: int) -> tuple[str, int]:
    """Host and port of `IP`, `IP:port` or `[IP]:port`. Raises ValueError."""
    host, port = text, default_port
    before, colon, after = text.rpartition(":")
    if colon and (before.endswith("]") or ":" not in before):
        if not after.isdecimal() or not 0 <= int(after) <= 65535:
            raise ValueError(f'"{after}" is not a port')
        host, port = before, int(after)
    return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), port


def _check_mode(mode: str) -> None:
    if mode in _NO_MODE:
        raise ValueError(f"the mode {mode} is refused: {_NO_MODE[mode]}")
    if mode and mode not in MODES:
        raise ValueError(f'"{mode}" is not a mode; there are {", ".join(MODES)}')


def _check_local_mode(mode: str) -> None:
    if mode and mode not in LOCAL_MODES:
        raise ValueError(f'"{mode}" is not a way to tell local traffic; there are {", ".join(LOCAL_MODES)}')


def _check_cluster_cidr(text: str) -> None:
    networks = [ipaddress.ip_network(part, strict=False) for part in text.split(",") if part]
    if len(networks) > 2 or len({network.version for network in networks}) != len(networks):
        raise ValueError("must be one CIDR, or one of each family")


def _check_node_ports(texts: tuple[str, ...]) -> None:
    if PRIMARY in texts:
        if len(texts) > 1:
            raise ValueError(f"can't use both '{PRIMARY}' and CIDRs")
        return
    for text in texts:
        ipaddress.ip_network(text, strict=False)


def _check_address(text: str) -> None:
    if text:
        split_address(text, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line, the variables, the config file and the defaults came to."""

    kubeconfig: Path | None = flag(
        None,
        section="API server",
        metavar="file",
        help="A kubeconfig that says where the API server is, and who this is.",
    )
    master: str = flag(
        "",
        section="API server",
        metavar="url",
        help="The address of the API server, in place of the one in the kubeconfig.",
    )
    kube_api_qps: float = flag(
        5.0,
        section="API server",
        help="How many requests a second the API server is sent; less than 0 for any number.",
    )
    kube_api_burst: int = flag(10, section="API server", minimum=0, help="How many it may be sent at once.")
    hostname_override: str = flag(
        "", section="Node", metavar="name", help="The name of the node, in place of the machine's."
    )

    proxy_mode: str = flag(
        "auto",
        section="Services",
        check=_check_mode,
        metavar="mode",
        help="How services are made to work: nftables, by rules in the kernel; userspace, by relays in this process;"
        " auto, nftables where nft is installed and works, else userspace; relays, on loopback alone, as"
        " --relay-status-file has it. kube-proxy has iptables and ipvs beside nftables.",
    )
    pod_network: Path | None = flag(
        None,
        section="Services",
        metavar="socket",
        help="The Unix socket of the kubelet's that leads into the pods' network, where that is not the machine's own."
        " hk's own flag.",
    )
    relay_status_file: Path | None = flag(
        None,
        section="Services",
        metavar="file",
        help="Open each service's port on loopback of this machine as well, and keep a file that says where:"
        ' {"default/web/80": "127.0.0.1:40123"}. hk\'s own flag.',
    )
    nodeport_addresses: tuple[str, ...] = flag(
        (),
        section="Services",
        check=_check_node_ports,
        metavar="cidrs",
        help="Where node ports are opened: at the node's addresses within these ranges, or at its primary ones"
        " (primary). Without it that is primary under nftables, and nowhere but loopback in userspace; in a network"
        " of the pods' own every address of the node in it.",
    )
    cluster_cidr: str = flag(
        "",
        section="Services",
        check=_check_cluster_cidr,
        metavar="cidrs",
        help="The addresses of the cluster's pods: connections to services from elsewhere are masqueraded.",
    )
    detect_local_mode: str = flag(
        "",
        section="Services",
        check=_check_local_mode,
        metavar="mode",
        help="How connections of this node's pods are told from others: ClusterCIDR, NodeCIDR, BridgeInterface or"
        " InterfaceNamePrefix.",
    )
    pod_bridge_interface: str = flag(
        "", section="Services", metavar="name", help="The bridge of --detect-local-mode=BridgeInterface."
    )
    pod_interface_name_prefix: str = flag(
        "", section="Services", metavar="prefix", help="The prefix of --detect-local-mode=InterfaceNamePrefix."
    )
    masquerade_all: bool = flag(
        False, section="Services", help="Masquerade all connections to services' cluster addresses."
    )
    masquerade_bit: int = flag(
        14,
        section="Services",
        minimum=0,
        maximum=31,
        help="The bit of a packet's mark that says that it is to be masqueraded. A flag of hk's own; kube-proxy knows"
        " it from its configuration alone.",
    )
    min_sync_period: float = flag(
        0.1,
        section="Services",
        kind="duration",
        minimum=0,
        help="The least time between two changes of what is opened or in the kernel. A flag of hk's own; kube-proxy"
        " knows it from its configuration alone, and waits a second.",
    )
    sync_period: float = flag(
        30.0,
        section="Services",
        kind="duration",
        minimum=0.001,
        help="The longest time before what failed is tried again, and half of what a change may wait before the proxy"
        " counts as unhealthy. A flag of hk's own; kube-proxy knows it from its configuration alone.",
    )

    healthz_bind_address: str = flag(
        "127.0.0.1:10256",
        section="Serving",
        check=_check_address,
        metavar="ip:port",
        help="Where /healthz and /livez are served; empty for nowhere. kube-proxy listens on all addresses, this server"
        " on loopback.",
    )
    metrics_bind_address: str = flag(
        "127.0.0.1:10249",
        section="Serving",
        check=_check_address,
        metavar="ip:port",
        help="Where /metrics, /proxyMode and /configz are served; empty for nowhere.",
    )
    bind_address_hard_fail: bool = flag(
        False, section="Serving", help="End where a port to serve on is taken, rather than go on without."
    )

    cleanup: bool = flag(
        False, help="Remove from the kernel what a proxy left there, and end. Connections that are there go on."
    )

    @staticmethod
    def foreign_flags() -> Mapping[str, ForeignFlag]:
        """kube-proxy's flags that are not fields here."""
        from hyperkube_proxy.flags import foreign_flags

        return foreign_flags()

    @classmethod
    def read_config(cls, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a KubeProxyConfiguration says in the words of these fields; other files are these words already."""
        if document.get("kind") != "KubeProxyConfiguration":
            return document
        from hyperkube_proxy.configuration import translate

        return translate(document)

    def __post_init__(self) -> None:
        needed = {
            "BridgeInterface": ("pod-bridge-interface", self.pod_bridge_interface),
            "InterfaceNamePrefix": ("pod-interface-name-prefix", self.pod_interface_name_prefix),
        }
        name, value = needed.get(self.detect_local_mode, ("", "unneeded"))
        if not value:
            why = f"must be given with --detect-local-mode={self.detect_local_mode}"
            raise SettingsError(name, f"flag --{name}", why)
        if self.min_sync_period > self.sync_period:
            raise SettingsError("sync-period", "flag --sync-period", "must not be less than --min-sync-period")
        if self.proxy_mode == "relays" and self.relay_status_file is None:
            name = "relay-status-file"
            raise SettingsError(name, f"flag --{name}", "must be given with --proxy-mode=relays")
        if self.kubeconfig is None and not self.master and not self.cleanup:
            name = "kubeconfig"
            raise SettingsError(name, f"flag --{name}", "must be given, or --master for an API server that asks nobody")
