"""What pods and their containers are told of names and name servers.

Source: k8s.io/kubernetes/pkg/kubelet (kubelet_pods.go) and pkg/kubelet/network/dns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hyperkube_kubelet.podspec import Tree, uses_host_network
from hyperkube_kubelet.runtime.values import DNS
from hyperkube_machinery import meta

__all__ = ["dns_of", "host_name", "hosts_file"]

LONGEST_NAME = 63
MOST_SERVERS, MOST_SEARCHES = 3, 32
HEADER = "# Kubernetes-managed hosts file.\n"
HEADER_OF_NODE = "# Kubernetes-managed hosts file (host network).\n"


def host_name(pod: Tree, cluster_domain: str) -> tuple[str, str]:
    """The pod's host name, and the domain that its subdomain puts it in, or ""."""
    spec = pod["spec"]
    if override := spec.get("hostnameOverride"):
        return override, ""
    name = spec.get("hostname") or meta.name(pod)[:LONGEST_NAME].rstrip("-.")
    domain = ""
    if subdomain := spec.get("subdomain"):
        domain = f"{subdomain}.{meta.namespace(pod)}.svc.{cluster_domain}"
    return name, domain


def hosts_file(pod: Tree, ips: Sequence[str], of_node: str, cluster_domain: str) -> str:
    """The text of /etc/hosts. `of_node`: that of the node's own, for pods in its network."""
    if uses_host_network(pod):
        text = HEADER_OF_NODE + of_node
    else:
        name, domain = host_name(pod, cluster_domain)
        lines = [
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::0\tip6-localnet",
            "fe00::0\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
        ]
        names = f"{name}.{domain}\t{name}" if domain else name
        lines += [f"{ip}\t{names}" for ip in ips]
        text = HEADER + "\n".join(lines) + "\n"
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias['ip']}\t" + "\t".join(alias.get("hostnames") or ()) + "\n" for alias in aliases)
    return text


def dns_of(pod: Tree, node: DNS, cluster_servers: Sequence[str], cluster_domain: str) -> DNS | None:
    """What the pod's resolv.conf says; None where it is the node's."""
    spec = pod["spec"]
    policy = spec.get("dnsPolicy") or "ClusterFirst"
    own: Mapping[str, Sequence[Tree]] = spec.get("dnsConfig") or {}
    if policy == "ClusterFirst" and uses_host_network(pod):
        policy = "Default"
    base = node
    if policy == "None":
        base = DNS()
    elif policy != "Default" and cluster_servers:
        searches = list(node.searches)
        if cluster_domain:
            of_cluster = (f"{meta.namespace(pod)}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain)
            searches = [*of_cluster, *searches]
        base = DNS(tuple(cluster_servers), tuple(searches), ("ndots:5",))
    elif not own:
        return None
    return _merged(base, own)


def _merged(base: DNS, own: Mapping[str, Sequence[Tree]]) -> DNS:
    servers = dict.fromkeys([*base.servers, *map(str, own.get("nameservers") or ())])
    searches = dict.fromkeys([*base.searches, *map(str, own.get("searches") or ())])
    options = {option.partition(":")[0]: option for option in base.options}
    for option in own.get("options") or ():
        value = option.get("value")
        options[option["name"]] = f"{option['name']}:{value}" if value else option["name"]
    return DNS(tuple(servers)[:MOST_SERVERS], tuple(searches)[:MOST_SEARCHES], tuple(options.values()))
