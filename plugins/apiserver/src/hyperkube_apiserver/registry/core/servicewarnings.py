"""What the API server warns of in services. Source: k8s.io/kubernetes/pkg/api/service."""

from __future__ import annotations

from hyperkube_apiserver.registry.addresses import address_warnings, network_warnings
from hyperkube_apiserver.registry.strategy import Tree
from hyperkube_machinery import meta

__all__ = ["balancer_warnings", "service_warnings"]

_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def service_warnings(obj: Tree) -> list[str]:
    spec = obj.get("spec") or {}
    kind, cluster_ip = spec.get("type") or "", spec.get("clusterIP") or ""
    external, balancer = spec.get("externalIPs") or (), spec.get("loadBalancerIP") or ""
    headless = kind == "ClusterIP" and cluster_ip == "None"
    texts: list[str] = []
    if _HINTS in meta.annotations_of(obj):
        texts.append(f"annotation {_HINTS} is deprecated, please use {_MODE} instead")
    if cluster_ip not in ("", "None"):
        for index, address in enumerate(spec.get("clusterIPs") or ()):
            texts += address_warnings(address, f"spec.clusterIPs[{index}]")
    if headless:
        ignored = {"loadBalancerIP": balancer, "externalIPs": external}
        ignored["SessionAffinity"] = spec.get("sessionAffinity") != "None"
        texts += [f"spec.{field} is ignored for headless services" for field, given in ignored.items() if given]
    for index, address in enumerate(external):
        texts += address_warnings(address, f"spec.externalIPs[{index}]")
    if external and not headless and kind != "ExternalName":
        texts.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    texts += address_warnings(balancer, "spec.loadBalancerIP")
    for index, network in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        texts += network_warnings(network, f"spec.loadBalancerSourceRanges[{index}]")
    if external and kind == "ExternalName":
        texts.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.get("externalName") and kind != "ExternalName":
        texts.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("trafficDistribution") == "PreferClose":
        texts.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return texts


def balancer_warnings(obj: Tree) -> list[str]:
    """The same for what a load balancer reports in a service's status."""
    ingress = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [
        text
        for index, entry in enumerate(ingress)
        for text in address_warnings(entry.get("ip") or "", f"status.loadBalancer.ingress[{index}]")
    ]
