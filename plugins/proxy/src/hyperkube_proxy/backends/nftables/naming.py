"""Names of chains and sets of services, as kube-proxy makes them. Source: k8s.io/kubernetes/pkg/proxy/nftables."""

from __future__ import annotations

import hashlib
from base64 import b32encode

from hyperkube_proxy.model import Endpoint, PortName

__all__ = ["AFFINITY_PREFIX", "affinity_set", "endpoint_chain", "is_of_service", "of_service"]

AFFINITY_PREFIX = "affinity-"
_LONGEST = 256 - 16
"""Of a name without its prefix."""

_USUAL_AFFINITY_SECONDS = 10800


def of_service(name: PortName) -> str:
    """`ULMVA6XW-ns1/svc1/tcp/p80`: what the names of a service's chains end with."""
    return _hashed(_base(name))


def endpoint_chain(name: PortName, endpoint: Endpoint) -> str:
    """`endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80`."""
    return f"endpoint-{_of_endpoint(name, endpoint)}"


def affinity_set(name: PortName, endpoint: Endpoint, seconds: int) -> str:
    """The set of clients that stay with `endpoint`.

    A set's timeout can't be changed, so one with another than the usual is another set.
    """
    timeout = "" if seconds == _USUAL_AFFINITY_SECONDS else f"__{seconds}s"
    return f"{AFFINITY_PREFIX}{_of_endpoint(name, endpoint)}{timeout}"


def is_of_service(name: str) -> bool:
    """Whether a chain belongs to a service: no other has a slash in its name."""
    return "/" in name


def _base(name: PortName) -> str:
    return f"{name.namespace}/{name.service}/{name.protocol.lower()}/{name.port}"


def _of_endpoint(name: PortName, endpoint: Endpoint) -> str:
    ip = endpoint.ip.replace(":", ".")  # a colon has no place in a name
    return _hashed(f"{_base(name)}__{ip}/{endpoint.port}")


def _hashed(name: str) -> str:
    """Nearly equal names are told apart by what they begin with."""
    digest = b32encode(hashlib.sha256(name.encode()).digest()).decode()
    hashed = f"{digest[:8]}-{name}"
    return hashed if len(hashed) <= _LONGEST else f"{hashed[: _LONGEST - 3]}..."
