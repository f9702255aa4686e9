"""What kube-proxy leaves in the kernel in its modes iptables and ipvs, removed: it would go on leading connections.

Source: k8s.io/kubernetes/pkg/proxy/iptables and ipvs (CleanupLeftovers).
"""

from __future__ import annotations

import logging
import socket
import struct
from itertools import pairwise

from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_proxy.netlink import Conversation, Message, attribute, attributes
from hyperkube_proxy.parts import SyncError

__all__ = ["removal", "remove_iptables", "remove_ipvs"]

log = logging.getLogger(__name__)

_CHAINS = frozenset(
    {
        "KUBE-EXTERNAL-SERVICES",
        "KUBE-FORWARD",
        "KUBE-IPVS-FILTER",
        "KUBE-IPVS-OUT-FILTER",
        "KUBE-LOAD-BALANCER",
        "KUBE-MARK-MASQ",
        "KUBE-NODE-PORT",
        "KUBE-NODEPORTS",
        "KUBE-POSTROUTING",
        "KUBE-PROXY-CANARY",
        "KUBE-PROXY-FIREWALL",
        "KUBE-SERVICES",
        "KUBE-SOURCE-RANGES-FIREWALL",
    }
)
_OF_SERVICES = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-FW-", "KUBE-EXT-", "KUBE-XLB-")
_BUILT_IN = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
_VARIANTS = ("iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy")
_TABLES = ("nat", "filter", "mangle")

_DUMMY = "kube-ipvs0"
_SETS = ("KUBE-LOOP-BACK", "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-LOAD-BALANCER", "KUBE-NODE-PORT",
         "KUBE-HEALTH-CHECK-NODE-PORT", "KUBE-IPVS-IPS")  # fmt: skip
_ROUTE, _GENERIC = 0, 16  # NETLINK_ROUTE, NETLINK_GENERIC
_DELETE_LINK, _LINK_NAME = 17, 3
_CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 3, 1, 2
_FLUSH = 17  # IPVS_CMD_FLUSH


def removal(table: str, saved: str) -> str:
    """What iptables-restore has to be told so that kube-proxy's chains go, by what iptables-save told; "" if none is.

    A chain that somebody else's still jumps to stays.
    """
    lines = saved.splitlines()
    chains = {line[1:].split()[0] for line in lines if line.startswith(":")}
    rules = [_Rule(line) for line in lines if line.startswith("-A ")]
    ours = {chain for chain in chains if _is_ours(chain)}
    kept = {target for rule in rules if rule.chain not in ours | _BUILT_IN for target in rule.targets}
    gone = sorted(ours - kept)
    if not gone:
        return ""
    emptied = [f":{chain} - [0:0]" for chain in gone]
    jumps = [f"-D {rule.text}" for rule in rules if rule.chain in _BUILT_IN and rule.targets.intersection(gone)]
    return "\n".join([f"*{table}", *emptied, *jumps, *(f"-X {chain}" for chain in gone), "COMMIT", ""])


class _Rule:
    def __init__(self, line: str) -> None:
        self.text = line.removeprefix("-A ")
        words = self.text.split()
        self.chain = words[0]
        self.targets = {value for option, value in pairwise(words) if option in ("-j", "-g")}


def _is_ours(chain: str) -> bool:
    return chain in _CHAINS or chain.startswith(_OF_SERVICES)


async def remove_iptables(network: PodNetwork) -> None:
    """Remove chains of the modes iptables and ipvs, where there are such programs. Raises SyncError."""
    for variant in _VARIANTS:
        for table in _TABLES:
            try:
                saved = await network.run([f"{variant}-save", "-t", table])
            except FileNotFoundError:
                break
            if saved.exit_code != 0:
                continue  # nothing of that table is there
            text = removal(table, saved.stdout.decode(errors="replace"))
            if not text:
                continue
            log.info("removing kube-proxy's rules of %s from the table %s", variant, table)
            done = await network.run([f"{variant}-restore", "--noflush"], text.encode())
            if done.exit_code != 0:
                why = done.stderr.decode(errors="replace").strip()
                raise SyncError(f"{variant}-restore doesn't remove kube-proxy's rules from the table {table}: {why}")


async def remove_ipvs(network: PodNetwork) -> None:
    """Remove virtual servers, their interface and sets where kube-proxy's interface says that they are its."""
    with Conversation(await network.netlink(_ROUTE)) as routes:
        try:
            routes.ask(_without_link())
        except OSError as exc:
            log.debug("there is no interface %s: %s", _DUMMY, exc.strerror)
            return
    log.info("removing what kube-proxy left in its mode ipvs")
    with Conversation(await network.netlink(_GENERIC)) as generic:
        _flush(generic)
    await _remove_sets(network)


def _without_link() -> Message:
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + attribute(_LINK_NAME, _DUMMY.encode() + b"\0")
    return Message(_DELETE_LINK, body)


def _flush(generic: Conversation) -> None:
    try:
        family = generic.answer(
            Message(_CONTROL, struct.pack("=BBH", _GET_FAMILY, 1, 0) + attribute(_FAMILY_NAME, b"IPVS\0"))
        )
        (kind,) = struct.unpack("=H", attributes(family.body[4:])[_FAMILY_ID])
        generic.ask(Message(kind, struct.pack("=BBH", _FLUSH, 1, 0)))
    except OSError as exc:
        log.debug("there are no virtual servers: %s", exc.strerror)


async def _remove_sets(network: PodNetwork) -> None:
    try:
        listed = await network.run(["ipset", "list", "-n"])
    except FileNotFoundError:
        return
    for name in listed.stdout.decode().split():
        if name.replace("KUBE-6-", "KUBE-", 1).startswith(_SETS):
            await network.run(["ipset", "destroy", name])
