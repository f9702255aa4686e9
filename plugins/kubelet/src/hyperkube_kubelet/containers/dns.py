"""What /etc/resolv.conf of a pod says, and what is to be remarked on it.

Source: k8s.io/kubernetes/pkg/kubelet/network/dns/dns.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hyperkube_kubelet.podspec import Tree, described, uses_host_network
from hyperkube_kubelet.runtime.values import DNS
from hyperkube_machinery import meta

__all__ = ["MISSING", "PodDNS", "Remark", "pod_dns", "without_resolver"]

MOST_SERVERS, MOST_SEARCHES, MOST_CHARACTERS = 3, 32, 2048
LONGEST_SEARCH = 253
MISSING = (
    'kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy. Falling back to'
    ' "Default" policy.'
)


@dataclass(frozen=True, slots=True)
class Remark:
    """An event of the pod."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PodDNS:
    """What a pod gets, and what people are told of it."""

    dns: DNS
    remarks: tuple[Remark, ...] = ()


def without_resolver(node_ips: Sequence[str]) -> DNS:
    """What stands for the node's own where it is told to have none: nothing is looked up."""
    servers = tuple("::1" if ":" in ip else "127.0.0.1" for ip in node_ips)
    return DNS(servers or ("127.0.0.1",), (".",))


def pod_dns(pod: Tree, node: DNS, cluster_servers: Sequence[str], cluster_domain: str) -> PodDNS:
    """`node`: what the node's own resolv.conf says."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    remarks: list[Remark] = []
    base = node
    if policy == "None":
        base = DNS()
    elif policy != "Default" and not (policy == "ClusterFirst" and uses_host_network(pod)):
        if cluster_servers:
            searches = list(node.searches)
            if cluster_domain:
                of_cluster = (f"{meta.namespace(pod)}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain)
                searches = [*of_cluster, *searches]
            base = DNS(tuple(cluster_servers), tuple(dict.fromkeys(searches)), ("ndots:5",))
        else:
            remarks.append(Remark("MissingClusterDNS", f'pod: "{described(pod)}". {MISSING}'))
    if own := spec.get("dnsConfig"):
        base = _merged(base, own)
    fitting = DNS(_servers(base.servers, remarks), _searches(base.searches, remarks), base.options)
    return PodDNS(fitting, tuple(remarks))


def _merged(base: DNS, own: Mapping[str, Sequence[Tree]]) -> DNS:
    """The pod's own behind those of its policy; an option of the same name goes before it."""
    servers = dict.fromkeys([*base.servers, *map(str, own.get("nameservers") or ())])
    searches = dict.fromkeys([*base.searches, *map(str, own.get("searches") or ())])
    options = {option.partition(":")[0]: option for option in base.options}
    for option in own.get("options") or ():
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    return DNS(tuple(servers), tuple(searches), tuple(options.values()))


def _servers(servers: tuple[str, ...], remarks: list[Remark]) -> tuple[str, ...]:
    if len(servers) <= MOST_SERVERS:
        return servers
    kept = servers[:MOST_SERVERS]
    why = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is:"
    remarks.append(Remark("DNSConfigForming", f"{why} {' '.join(kept)}"))
    return kept


def _searches(searches: tuple[str, ...], remarks: list[Remark]) -> tuple[str, ...]:
    """As many as fit; glibc aborts at one that is too long."""
    kept = [search for search in searches[:MOST_SEARCHES] if len(search) <= LONGEST_SEARCH]
    while len(" ".join(kept)) > MOST_CHARACTERS:
        kept.pop()
    if len(kept) < len(searches):
        why = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is:"
        remarks.append(Remark("DNSConfigForming", f"{why} {' '.join(kept)}"))
    return tuple(kept)
