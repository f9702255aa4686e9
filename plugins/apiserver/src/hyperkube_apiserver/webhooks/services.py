"""Where a service leads that a webhook is behind.

Upstream connects to the cluster IP, or, where that is not routed from the machine of the API server, to an endpoint.
Source: k8s.io/apiserver/pkg/util/proxy, k8s.io/kube-aggregator/pkg/apiserver/resolvers.go.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from hyperkube_apiserver.webhooks.routing import Place, Routing

__all__ = ["Services", "Unresolved"]

Tree = dict[str, Any]

_ROUTED = ("ClusterIP", "LoadBalancer", "NodePort")
SERVICE_LABEL = "kubernetes.io/service-name"


class Unresolved(Exception):
    """A service leads nowhere; the text is upstream's."""


class Objects(Protocol):
    """The stored services and endpoint slices."""

    def find(self, resource: str, name: str, namespace: str = "", *, group: str = "") -> Tree | None:
        """An object by its name."""

    def having(self, resource: str, words: bytes, *, group: str = "") -> Iterable[Tree]:
        """The objects in whose bytes `words` stand."""


class Services:
    """Finds the place that a port of a service is served at."""

    def __init__(self, objects: Objects, routing: Callable[[], Routing]) -> None:
        self._objects = objects
        self._routing = routing

    def locate(self, namespace: str, name: str, port: int) -> Place:
        """A host and a port to connect to. Raises Unresolved."""
        routing = self._routing()
        if routing.own is not None and (namespace, name, port) == ("default", "kubernetes", 443):
            return routing.own
        service = self._objects.find("services", name, namespace)
        if service is None:
            raise Unresolved(f'service "{name}" not found')
        if not routing.to_endpoints:
            return cluster_place(service, port)
        wanted = f'"{SERVICE_LABEL}":"{name}"'.encode()
        slices = [
            one
            for one in self._objects.having("endpointslices", wanted, group="discovery.k8s.io")
            if one["metadata"].get("namespace") == namespace
            and (one["metadata"].get("labels") or {}).get(SERVICE_LABEL) == name
        ]
        return endpoint_place(service, slices, port)


def cluster_place(service: Tree, port: int) -> Place:
    """The cluster IP, or the name that the service stands for."""
    spec = service.get("spec") or {}
    kind, address = spec.get("type") or "ClusterIP", spec.get("clusterIP") or ""
    if kind == "ExternalName":
        return spec.get("externalName") or "", port
    if kind not in _ROUTED:
        raise Unresolved(f'unsupported service type "{kind}"')
    if kind == "ClusterIP" and address == "None":
        raise Unresolved('cannot route to service with ClusterIP "None"')
    _port_of(service, port)
    return address, port


def endpoint_place(service: Tree, slices: Sequence[Tree], port: int) -> Place:
    """One that is ready of the endpoints in `slices`, rather of the service's first IP family than of another."""
    spec = service.get("spec") or {}
    kind, name = spec.get("type") or "ClusterIP", service["metadata"]["name"]
    if kind not in _ROUTED:
        raise Unresolved(f'unsupported service type "{kind}"')
    port_name = _port_of(service, port).get("name") or ""
    first = next(iter(spec.get("ipFamilies") or ()), "")
    shuffled = random.sample(slices, len(slices))
    for one in sorted(shuffled, key=lambda found: found.get("addressType") != first):
        for told in one.get("ports") or ():
            if (told.get("name") or "") != port_name or told.get("port") is None:
                continue
            ready = list(filter(_is_ready, one.get("endpoints") or ()))
            if ready:
                return random.choice(ready)["addresses"][0], told["port"]
    raise Unresolved(f'no endpoints available for service "{name}"')


def _is_ready(endpoint: Tree) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _port_of(service: Tree, port: int) -> Tree:
    for told in (service.get("spec") or {}).get("ports") or ():
        if told.get("port") == port:
            found: Tree = told
            return found
    raise Unresolved(f'no service port {port} found for service "{service["metadata"]["name"]}"')
