"""What pods and their containers are called, and what their /etc/hosts says.

Source: k8s.io/kubernetes/pkg/kubelet (kubelet_pods.go) and pkg/kubelet/util.
"""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_kubelet.podspec import Tree, uses_host_network
from hyperkube_kubelet.runtime.errors import InvalidConfig
from hyperkube_machinery import meta

__all__ = ["host_name", "hosts_file", "kernel_name"]

LONGEST_NAME = 63
LONGEST_KERNEL_NAME = 64
HEADER = "# Kubernetes-managed hosts file.\n"
HEADER_OF_NODE = "# Kubernetes-managed hosts file (host network).\n"


def host_name(pod: Tree, cluster_domain: str) -> tuple[str, str]:
    """The pod's host name, and the domain that its subdomain puts it in, or ""."""
    spec = pod["spec"]
    if override := spec.get("hostnameOverride"):
        return _cut(override), ""
    name = _cut(spec.get("hostname") or meta.name(pod))
    domain = ""
    if subdomain := spec.get("subdomain"):
        domain = f"{subdomain}.{meta.namespace(pod)}.svc.{cluster_domain}"
    return name, domain


def kernel_name(pod: Tree, cluster_domain: str) -> str:
    """What `hostname` says in the pod: with its domain where setHostnameAsFQDN asks for it. Raises InvalidConfig."""
    name, domain = host_name(pod, cluster_domain)
    if not (pod["spec"].get("setHostnameAsFQDN") and domain):
        return name
    whole = f"{name}.{domain}"
    if len(whole) > LONGEST_KERNEL_NAME:
        raise InvalidConfig(
            f"failed to construct FQDN from pod hostname and cluster domain, FQDN {whole} is too long"
            f" ({LONGEST_KERNEL_NAME} characters is the max, {len(whole)} characters requested)"
        )
    return whole


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME].rstrip("-.")


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
