"""Where a request that is passed on goes: the kubelet of a node, a pod, or one that a service leads to.

Source: k8s.io/kubernetes/pkg/registry/core/{pod,node,service} (ResourceLocation), pkg/kubelet/client.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from hyperkube_apiserver.call import Served
from hyperkube_apiserver.registry.addresses import parse_address
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.exchange import ExchangeError, Peer, failure_text
from hyperkube_machinery.podnetwork import NetworkUnavailable, PodNetwork
from hyperkube_machinery.tls import client_context

__all__ = ["KubeletTerms", "Targets", "container_of", "is_global", "is_reachable_here", "trusting_anybody"]

Tree = dict[str, Any]

_SCHEMES = ("", "http", "https")
_PORTS = {"http": 80, "https": 443}
_NOT_ALLOWED = "address not allowed"


def trusting_anybody(certificate_pem: bytes = b"", key_pem: bytes = b"") -> ssl.SSLContext:
    """For servers whose certificates nobody can check, as those in pods."""
    return client_context(certificate_pem=certificate_pem, key_pem=key_pem, trusts_anybody=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletTerms:
    """How kubelets are reached."""

    tls: ssl.SSLContext  # that checks their certificates, as far as anybody told how
    unchecked_tls: ssl.SSLContext  # for who asks not to
    port: int = 10250  # of nodes that don't tell theirs
    loopback: bool = False  # whether nodes and pods are on this machine, and may have its addresses
    pod_network: PodNetwork | None = None  # that of this machine's pods, where it may not be the machine's
    address_types: tuple[str, ...] = ("Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP")

    @classmethod
    def unchecked(cls) -> KubeletTerms:
        """For who was told nothing, which upstream takes for trusting any kubelet."""
        context = trusting_anybody()
        return cls(tls=context, unchecked_tls=context)


def is_global(address: str) -> bool:
    """Whether an address is one that pods and nodes may have: not this machine's, nor a link's or a group's."""
    parsed: IPv4Address | IPv6Address | None = parse_address(address)
    if parsed is None:
        return False
    refused = parsed.is_loopback or parsed.is_multicast or parsed.is_link_local or parsed.is_unspecified
    return not refused and parsed != IPv4Address("255.255.255.255")


def is_reachable_here(address: str) -> bool:
    """The same where all pods and nodes are on this machine."""
    parsed: IPv4Address | IPv6Address | None = parse_address(address)
    return is_global(address) or (parsed is not None and parsed.is_loopback)


class Targets:
    """Finds the server that a request is for. All raise APIError."""

    def __init__(
        self,
        resources: Mapping[str, Served],
        hub: Hub,
        kubelets: KubeletTerms,
    ) -> None:
        """`resources` are those of the core group, by name."""
        self._resources = resources
        self._hub = hub
        self._kubelets = kubelets
        self._allows = is_reachable_here if kubelets.loopback else is_global
        self._pod_tls = trusting_anybody()

    async def get(self, resource: str, namespace: str, name: str, *, asked: str = "pods") -> Tree:
        """An object as it is now. One that is missing is told of as upstream does: as of the resource `asked` for."""
        await self._hub.fresh()
        served = self._resources[resource]
        item = served.cache.get(served.kind.key(namespace, name))
        if item is None:
            raise APIError.not_found(self._resources[asked].kind.resource, name)
        return decode_body(item.body)

    async def kubelet(self, node: str, *, checked: bool = True, asked: str = "pods") -> Peer:
        """The kubelet of a node."""
        terms, status = self._kubelets, (await self.get("nodes", "", node, asked=asked)).get("status") or {}
        addresses = status.get("addresses") or ()
        found = (one.get("address") for kind in terms.address_types for one in addresses if one.get("type") == kind)
        host = next(found, None)
        if host is None:
            known = " ".join(f"{{{one.get('type') or ''} {one.get('address') or ''}}}" for one in addresses)
            raise APIError.of(500, "", f"no preferred addresses found; known addresses: [{known}]")
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or terms.port
        return Peer(host, port, terms.tls if checked else terms.unchecked_tls)

    async def declares(self, node: str, feature: str) -> bool:
        """Whether a node says of its kubelet that it has a feature."""
        status = (await self.get("nodes", "", node)).get("status") or {}
        return feature in (status.get("declaredFeatures") or ())

    async def node(self, given: str) -> Peer:
        """The kubelet of a node, or another port of the node: `[scheme:]name[:port]`."""
        scheme, name, port = _split("node", given)
        kubelet = await self.kubelet(name, asked="nodes")
        await self._check_host(kubelet.host)
        if port in ("", str(kubelet.port)):
            return kubelet
        return self._peer(scheme, kubelet.host, port)

    async def pod(self, namespace: str, given: str) -> Peer:
        """A port of a pod, the first that it tells if none is given."""
        scheme, name, port = _split("pod", given)
        pod = await self.get("pods", namespace, name)
        if not port:
            told = [one for container in pod["spec"].get("containers") or () for one in container.get("ports") or ()]
            port = str(told[0].get("containerPort") or "") if told else ""
        status = pod.get("status") or {}
        addresses = status.get("podIPs") or [{"ip": status.get("podIP") or ""}]
        address = addresses[0].get("ip") or ""
        if not self._allows(address):
            raise APIError.bad_request(_NOT_ALLOWED)
        return self._peer(scheme, address, port)

    async def service(self, namespace: str, given: str) -> Peer:
        """A pod behind a service, at the port that the service's port leads to."""
        scheme, name, port = _split("service", given)
        if port.isdecimal():
            service = await self.get("services", namespace, name, asked="services")
            listed = (service.get("spec") or {}).get("ports") or ()
            found = next((one for one in listed if one.get("port") == int(port)), None)
            if found is None:
                raise _unavailable(f'no service port {int(port)} found for service "{name}"')
            port = found.get("name") or ""
        subsets = list((await self.get("endpoints", namespace, name, asked="services")).get("subsets") or ())
        if not subsets:
            raise _unavailable(f'no endpoints available for service "{name}"')
        random.shuffle(subsets)
        for subset in subsets:
            ports = [one for one in subset.get("ports") or () if (one.get("name") or "") == port]
            addresses = list(subset.get("addresses") or ())
            random.shuffle(addresses)
            for one in ports:
                for address in addresses:
                    if await self._is_of_pod(address, namespace):
                        return self._peer(scheme, address["ip"], str(one.get("port") or 0))
        raise _unavailable(f'no endpoints available for service "{given}"')

    async def connected(self, peer: Peer) -> socket.socket | None:
        """A connection to a pod that is in a network of its own; None for others, which anybody can connect to.

        Raises ExchangeError.
        """
        network = self._kubelets.pod_network
        if network is None:
            return None
        try:
            pods = (await network.describe()).pod_cidr
            if not pods or ip_address(peer.host) not in ip_network(pods):
                return None
            return await network.dial(peer.host, peer.port)
        except NetworkUnavailable:  # there is none as long as nobody is there to ask
            return None
        except OSError as exc:
            raise ExchangeError(failure_text(peer, exc)) from exc

    async def _is_of_pod(self, address: Tree, namespace: str) -> bool:
        """Whether an address of endpoints is that of a pod: those of anything else are not asked."""
        target = address.get("targetRef") or {}
        if target.get("namespace") != namespace:
            return False
        try:
            pod = await self.get("pods", namespace, target.get("name") or "")
        except APIError:
            return False
        known = ((pod.get("status") or {}).get("podIPs")) or ()
        return any(one.get("ip") == address.get("ip") for one in known)

    async def _check_host(self, host: str) -> None:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise APIError.bad_request(f"lookup {host}: no such host") from None
        if not all(self._allows(str(ip_address(str(one[4][0]).partition("%")[0]))) for one in found):
            raise APIError.bad_request(_NOT_ALLOWED)

    def _peer(self, scheme: str, host: str, port: str) -> Peer:
        scheme = scheme or "http"
        number = int(port) if port.isascii() and port.isdecimal() else -1 if port else _PORTS[scheme]
        if not 0 <= number < 1 << 16:
            raise _unavailable(f"error trying to reach service: dial tcp: lookup tcp/{port}: unknown port")
        return Peer(host, number, self._pod_tls if scheme == "https" else None)


def _split(kind: str, given: str) -> tuple[str, str, str]:
    """Scheme, name and port of `name`, `name:port` or `scheme:name:port`."""
    scheme, name, port = "", given, ""
    match given.split(":"):
        case [name]:
            pass
        case [name, port]:
            pass
        case [scheme, name, port]:
            pass
        case _:
            name = ""
    if name and scheme in _SCHEMES:
        return scheme, name, port
    raise APIError.bad_request(f'invalid {kind} request "{given}"')


def _unavailable(why: str) -> APIError:
    return APIError.of(503, "ServiceUnavailable", why)


def container_of(pod: Tree, wanted: str) -> str:
    """The container that is meant, which need not be said where there is only one."""
    spec, name = pod["spec"], meta.name(pod)
    fields = ("initContainers", "containers", "ephemeralContainers")
    names = [container.get("name") or "" for field in fields for container in spec.get(field) or ()]
    if wanted:
        if wanted not in names:
            raise APIError.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    containers: list[Tree] = spec.get("containers") or []
    if len(containers) == 1:
        return str(containers[0].get("name"))
    choices = f", choose one of: [{' '.join(names)}]" if containers else ""
    raise APIError.bad_request(f"a container name must be specified for pod {name}{choices}")
