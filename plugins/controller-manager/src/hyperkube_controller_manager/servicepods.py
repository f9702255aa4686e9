"""What services and their pods have to do with each other, for both kinds of endpoints.

Source: k8s.io/endpointslice and k8s.io/kubernetes/pkg/controller/endpoint.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from hyperkube_controller_manager.podstates import condition_of, is_ready, is_terminal
from hyperkube_machinery.informers import Informer, key_of
from hyperkube_machinery.meta import deletion_timestamp, labels_of, metadata, name, namespace

__all__ = [
    "HEADLESS",
    "TRIGGER_TIME",
    "Triggers",
    "addresses_of",
    "container_port",
    "hostname_of",
    "is_headless",
    "is_selected",
    "may_be_endpoint",
    "services_concerned",
    "takes_pods",
]

HEADLESS = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"

Tree = Mapping[str, Any]


def takes_pods(service: Tree) -> bool:
    """Whether its endpoints are made here: it selects pods, and is not just another name."""
    spec = service.get("spec") or {}
    return spec.get("type") != "ExternalName" and bool(spec.get("selector"))


def is_headless(service: Tree) -> bool:
    return (service["spec"].get("clusterIP") or "None") == "None"


def is_selected(service: Tree, labels: Mapping[str, str]) -> bool:
    selector = (service.get("spec") or {}).get("selector") or {}
    return bool(selector) and selector.items() <= labels.items()


def may_be_endpoint(pod: Tree, *, going: bool) -> bool:
    """Whether the pod has an address and has not ended; `going` says whether one that is being deleted counts."""
    status = pod.get("status") or {}
    if is_terminal(pod) or not (status.get("podIP") or status.get("podIPs")):
        return False
    return going or deletion_timestamp(pod) is None


def addresses_of(pod: Tree, version: int) -> list[str]:
    """The pod's addresses of one IP version, each in its normal form."""
    given = [one.get("ip") or "" for one in (pod.get("status") or {}).get("podIPs") or ()]
    return [str(address) for text in given if (address := _address(text)) is not None and address.version == version]


@lru_cache(maxsize=8192)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def container_port(pod: Tree, port: Tree) -> int | None:
    """The number that the service's port has in the pod; None if no container has a port of that name."""
    target = port.get("targetPort", port.get("port"))
    if isinstance(target, int):
        return target
    spec = pod.get("spec") or {}
    sidecars = (one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always")
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for offered in container.get("ports") or ():
            same_protocol = offered.get("protocol", "TCP") == port.get("protocol", "TCP")
            if offered.get("name") == target and same_protocol:
                return int(offered["containerPort"])
    return None


def hostname_of(pod: Tree, service: Tree) -> str:
    """The name by which the service's domain has the pod, if it has one."""
    spec = pod.get("spec") or {}
    return (spec.get("hostname") or "") if spec.get("subdomain") == name(service) else ""


def services_concerned(services: Informer, old: Tree | None, new: Tree | None) -> set[str]:
    """The keys of the services whose endpoints a change of a pod may change."""
    pod = new if new is not None else old
    if pod is None:
        return set()
    candidates = services.list(namespace(pod))
    if old is None or new is None:
        return {key_of(one) for one in candidates if is_selected(one, labels_of(pod))}
    matters = _seen_by_services(old) != _seen_by_services(new)
    if not matters and labels_of(old) == labels_of(new):
        return set()
    now = {key_of(one) for one in candidates if is_selected(one, labels_of(new))}
    before = {key_of(one) for one in candidates if is_selected(one, labels_of(old))}
    return now | before if matters else now ^ before


def _seen_by_services(pod: Tree) -> tuple[Any, ...]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    addresses = [one.get("ip") for one in status.get("podIPs") or ()]
    going = deletion_timestamp(pod) is not None
    return is_ready(pod), is_terminal(pod), going, addresses, spec.get("hostname"), spec.get("subdomain")


class Triggers:
    """Since when each service's endpoints are out of date: the earliest change since they were last looked at.

    Of an object that changed twice in between only the later change is known. Times are RFC 3339, so that they sort.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, dict[str, str]]] = {}

    def observe(self, service: Tree, pods: Iterable[Tree]) -> str:
        """The time to tell with what is written now; empty if nothing is known to have changed."""
        key, created = key_of(service), metadata(service).get("creationTimestamp") or ""
        times = {name(pod): time for pod in pods if (time := _readiness_changed(pod))}
        known = self._known.get(key)
        self._known[key] = (created, times)
        if known is None:
            return created
        changed = [time for pod, time in times.items() if time > known[1].get(pod, "")]
        return min([*changed, *([created] if created > known[0] else [])], default="")

    def forget(self, key: str) -> None:
        self._known.pop(key, None)


def _readiness_changed(pod: Tree) -> str:
    return (condition_of(pod, "Ready") or {}).get("lastTransitionTime") or ""
