"""The proxy's options. Names, meanings and defaults are kube-proxy's unless the help says otherwise."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperkube_core import ForeignFlag, SettingsError, flag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LEGACY_MODES", "LOCAL_MODES", "MODES", "PRIMARY", "Options", "split_address"]

MODES = ("auto", "nftables", "userspace", "relays")
LEGACY_MODES = ("iptables", "ipvs")
"""Those in whose place nftables acts."""
LOCAL_MODES = ("ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")
PRIMARY = "primary"
"""Of --nodeport-addresses: the node's own addresses, as its Node tells them."""


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
    if mode == "kernelspace":
        raise ValueError("the mode kernelspace is refused: there is no Windows here")
    if mode and mode not in (*MODES, *LEGACY_MODES):
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


def _check_ip(text: str) -> None:
    ipaddress.ip_address(text)


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
    bind_address: str = flag(
        "0.0.0.0",
        section="Node",
        check=_check_ip,
        metavar="ip",
        help="The node's primary address, in place of the one that its Node tells; 0.0.0.0 and :: are none. Nothing is"
        " bound to it.",
    )
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
        " --relay-status-file has it. In place of kube-proxy's iptables and ipvs nftables acts.",
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
        " (primary). Without it that is primary under nftables, all where it acts in place of iptables or ipvs, and"
        " nowhere but loopback in userspace; in a network of the pods' own every address of the node in it.",
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
    iptables_masquerade_bit: int = flag(
        14,
        section="Services",
        minimum=0,
        maximum=31,
        help="What --masquerade-bit is where --proxy-mode is iptables or ipvs.",
    )
    iptables_min_sync_period: float | None = flag(
        None,
        section="Services",
        kind="duration",
        minimum=0,
        help="In place of --min-sync-period, unless --proxy-mode is ipvs.",
    )
    iptables_sync_period: float | None = flag(
        None,
        section="Services",
        kind="duration",
        minimum=0.001,
        help="In place of --sync-period, unless --proxy-mode is ipvs.",
    )
    ipvs_min_sync_period: float | None = flag(
        None,
        section="Services",
        kind="duration",
        minimum=0,
        help="In place of --min-sync-period, where --proxy-mode is ipvs.",
    )
    ipvs_sync_period: float | None = flag(
        None,
        section="Services",
        kind="duration",
        minimum=0,
        help="In place of --sync-period, where --proxy-mode is ipvs.",
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

    conntrack_max_per_core: int = flag(
        32768,
        section="Connections",
        minimum=0,
        help="How many connections the kernel tracks for each processor, a million at most in all; 0 leaves it as it"
        " is. This, and what follows, is set where rules are the machine's own.",
    )
    conntrack_min: int = flag(
        131072, section="Connections", minimum=0, help="How many at least, whatever --conntrack-max-per-core comes to."
    )
    conntrack_tcp_timeout_established: float = flag(
        86400.0,
        section="Connections",
        kind="duration",
        minimum=0,
        help="How long an idle connection is tracked; 0 leaves it as it is.",
    )
    conntrack_tcp_timeout_close_wait: float = flag(
        3600.0,
        section="Connections",
        kind="duration",
        minimum=0,
        help="How long a connection is tracked that one end has closed; 0 leaves it as it is.",
    )
    conntrack_tcp_be_liberal: bool = flag(
        False, section="Connections", help="Take packets for valid whose sequence numbers are out of the window."
    )
    conntrack_udp_timeout: float = flag(
        0.0,
        section="Connections",
        kind="duration",
        minimum=0,
        help="How long a flow of UDP is tracked that nobody has answered; 0 leaves it as it is.",
    )
    conntrack_udp_timeout_stream: float = flag(
        0.0,
        section="Connections",
        kind="duration",
        minimum=0,
        help="How long one is tracked that goes both ways; 0 leaves it as it is.",
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

    feature_gates: dict[str, bool] = flag(
        {},
        metavar="gates",
        help="kube-proxy's gates. What is done here is done always, and one that asks for anything else is warned of.",
    )
    oom_score_adj: int = flag(
        -999,
        minimum=-1000,
        maximum=1000,
        help="How much less, or more, likely than others this process is to be killed for memory, where it may say so.",
    )
    cleanup: bool = flag(
        False,
        help="Remove from the kernel what a proxy left there, kube-proxy's in other modes too, and end. Connections"
        " that are there go on if others have the kernel translate addresses as well, as CNI does.",
    )
    end_with_change_of: Path | None = flag(
        None,
        metavar="file",
        help="End when what is in this file changes, for whoever started the proxy to start it again. Of a"
        " KubeProxyConfiguration in --config that is so anyway. A flag of hk's own.",
    )
    init_only: bool = flag(
        False, help="Do what only an administrator may, and end: then a proxy needs no rights but to the network."
    )
    write_config_to: Path | None = flag(
        None, metavar="file", help="Write what the settings come to, as a KubeProxyConfiguration, and end."
    )

    @staticmethod
    def foreign_flags() -> Mapping[str, ForeignFlag]:
        """kube-proxy's flags that are not fields here."""
        from hyperkube_proxy.flags import foreign_flags

        return foreign_flags()

    @classmethod
    def read_config_files(cls, files: Sequence[tuple[Path, Mapping[str, Any]]]) -> Mapping[str, Any]:
        """What a KubeProxyConfiguration says in the words of these fields; other files are these words already."""
        ((file, document),) = files
        if document.get("kind") != "KubeProxyConfiguration":
            return document
        from hyperkube_proxy.configuration import translate

        return {**translate(document), "end_with_change_of": str(file)}

    @classmethod
    def flags_overruled(cls, document: Mapping[str, Any]) -> frozenset[str]:
        """The flags before which a config file goes: kube-proxy's, with few exceptions, where it is kube-proxy's."""
        if document.get("kind") != "KubeProxyConfiguration":
            return frozenset()
        from hyperkube_proxy.configuration import FLAGS_BESIDE
        from hyperkube_proxy.flags import treatments

        honoured = {flag for flag, treatment in treatments().items() if treatment == "honoured"}
        return frozenset(honoured - FLAGS_BESIDE)

    @property
    def legacy(self) -> bool:
        """Whether a mode was asked for in whose place nftables acts."""
        return self.proxy_mode in LEGACY_MODES

    @property
    def mode(self) -> str:
        """The mode that acts."""
        return "nftables" if self.legacy else self.proxy_mode or "auto"

    @property
    def mark_bit(self) -> int:
        return self.iptables_masquerade_bit if self.legacy else self.masquerade_bit

    @property
    def sync_seconds(self) -> float:
        """The longest time before what failed is tried again."""
        asked = self.ipvs_sync_period if self.proxy_mode == "ipvs" else self.iptables_sync_period
        return asked or self.sync_period

    @property
    def min_sync_seconds(self) -> float:
        """The least time between two changes of what is in the kernel."""
        asked = self.ipvs_min_sync_period if self.proxy_mode == "ipvs" else self.iptables_min_sync_period
        return self.min_sync_period if asked is None else asked

    def __post_init__(self) -> None:
        needed = {
            "BridgeInterface": ("pod-bridge-interface", self.pod_bridge_interface),
            "InterfaceNamePrefix": ("pod-interface-name-prefix", self.pod_interface_name_prefix),
        }
        name, value = needed.get(self.detect_local_mode, ("", "unneeded"))
        if not value:
            why = f"must be given with --detect-local-mode={self.detect_local_mode}"
            raise SettingsError(name, f"flag --{name}", why)
        if self.min_sync_seconds > self.sync_seconds:
            raise SettingsError("sync-period", "flag --sync-period", "must not be less than --min-sync-period")
        if self.proxy_mode == "relays" and self.relay_status_file is None:
            name = "relay-status-file"
            raise SettingsError(name, f"flag --{name}", "must be given with --proxy-mode=relays")
        ends = self.cleanup or self.init_only or self.write_config_to is not None
        if self.kubeconfig is None and not self.master and not ends:
            name = "kubeconfig"
            raise SettingsError(name, f"flag --{name}", "must be given, or --master for an API server that asks nobody")
