"""Fields of a pod, and resources of its containers, as its containers may be told them (the downward API).

Source: k8s.io/kubernetes/pkg/fieldpath and pkg/api/v1/resource/helpers.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hyperkube_kubelet.podspec import Tree, container_named
from hyperkube_machinery import meta
from hyperkube_machinery.quantity import Quantity
from hyperkube_machinery.quoting import quoted

__all__ = ["Addresses", "DownwardError", "field_value", "resource_value"]

_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")
_RESOURCES = ("cpu", "memory", "ephemeral-storage")


class DownwardError(ValueError):
    """A field or resource can't be told; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the pod and its node are, and how large the node is."""

    pod_ips: Sequence[str] = ()
    host_ips: Sequence[str] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)  # what a container without limits has at most


def field_value(path: str, pod: Tree, addresses: Addresses) -> str:
    """The text of `metadata.name`, `metadata.labels['x']`, `status.podIP` and so on. Raises DownwardError."""
    if match := _SUBSCRIPT.fullmatch(path):
        found = meta.labels_of(pod) if match[1] == "metadata.labels" else meta.annotations_of(pod)
        return found.get(match[2], "")
    match path:
        case "metadata.name":
            return meta.name(pod)
        case "metadata.namespace":
            return meta.namespace(pod)
        case "metadata.uid":
            return meta.uid(pod)
        case "metadata.labels":
            return _lines(meta.labels_of(pod))
        case "metadata.annotations":
            return _lines(meta.annotations_of(pod))
        case "spec.nodeName":
            return str(pod["spec"].get("nodeName") or "")
        case "spec.serviceAccountName":
            return str(pod["spec"].get("serviceAccountName") or "")
        case "status.hostIP":
            return addresses.host_ips[0] if addresses.host_ips else ""
        case "status.hostIPs":
            return ",".join(addresses.host_ips)
        case "status.podIP":
            return addresses.pod_ips[0] if addresses.pod_ips else ""
        case "status.podIPs":
            return ",".join(addresses.pod_ips)
    raise DownwardError(f"field label not supported: {path}")


def resource_value(selector: Tree, pod: Tree, container: Tree, addresses: Addresses) -> str:
    """The number that a `resourceFieldRef` asks for, in units of its divisor, rounded up. Raises DownwardError."""
    name = selector.get("containerName")
    if name:
        found = container_named(pod, name)
        if found is None:
            raise DownwardError(f"container {name} not found")
        container = found
    which, _, resource = str(selector["resource"]).partition(".")
    if which not in ("limits", "requests") or not (resource in _RESOURCES or resource.startswith("hugepages-")):
        raise DownwardError(f"unsupported container resource : {selector['resource']}")
    amounts = container.get("resources") or {}
    text = (amounts.get(which) or {}).get(resource)
    if text is None and which == "limits" and resource in _RESOURCES:
        text = addresses.allocatable.get(resource)
    return _divided(Quantity.parse(str(text or "0")), str(selector.get("divisor") or "0"), cpu=resource == "cpu")


def _divided(amount: Quantity, divisor_text: str, *, cpu: bool) -> str:
    divisor = Quantity.parse(divisor_text)
    if not divisor:
        divisor = Quantity.parse("1")
    if cpu:
        return str(-(-amount.milli // divisor.milli))
    return str(-(-amount.value // divisor.value))


def _lines(mapping: Mapping[str, str]) -> str:
    """As files show labels: `key="value"`, sorted."""
    return "\n".join(f"{key}={quoted(value)}" for key, value in sorted(mapping.items()))
