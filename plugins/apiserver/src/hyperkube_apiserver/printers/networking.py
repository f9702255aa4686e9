"""The rows of networking, endpoint slices and disruption budgets.

Source: k8s.io/kubernetes/pkg/printers/internalversion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_apiserver.printers.cells import NONE, Tree, age, name, selector

__all__ = [
    "endpoint_slice",
    "ingress",
    "ingress_class",
    "ip_address",
    "network_policy",
    "pod_disruption_budget",
    "service_cidr",
]

_MOST = 3
_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


def _spec(obj: Tree) -> Tree:
    return obj.get("spec") or {}


def ingress(obj: Tree, now: float) -> list[Any]:
    """Name, Class, Hosts, Address, Ports, Age."""
    spec = _spec(obj)
    wanted = spec.get("ingressClassName")
    balancer = ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = sorted({one.get("ip") or one.get("hostname") or "" for one in balancer} - {""})
    return [
        name(obj),
        NONE if wanted is None else wanted,
        _hosts(spec.get("rules") or ()),
        ",".join(addresses),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


def _hosts(rules: Sequence[Tree]) -> str:
    """The first hosts. Rules without one are skipped, but counted where there are more than are shown."""
    hosts = [rule["host"] for rule in rules if rule.get("host")]
    shown = ",".join(hosts[:_MOST])
    if not shown:
        return "*"
    filled = [index for index, rule in enumerate(rules) if rule.get("host")][_MOST - 1 : _MOST]
    return f"{shown} + {len(rules) - _MOST} more..." if filled and filled[0] < len(rules) - 1 else shown


def ingress_class(obj: Tree, now: float) -> list[Any]:
    """Name, Controller, Parameters, Age."""
    spec, shown = _spec(obj), name(obj)
    if (obj["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true":
        shown += " (default)"
    parameters = spec.get("parameters")
    told = NONE
    if parameters is not None:
        group = parameters.get("apiGroup")
        kind = parameters.get("kind", "") if group is None else f"{parameters.get('kind', '')}.{group}"
        told = f"{kind}/{parameters.get('name', '')}"
    return [shown, spec.get("controller", ""), told, age(obj, now)]


def network_policy(obj: Tree, now: float) -> list[Any]:
    """Name, Pod-Selector, Age."""
    return [name(obj), selector(_spec(obj).get("podSelector")), age(obj, now)]


def ip_address(obj: Tree, now: float) -> list[Any]:
    """Name, ParentRef, and the age: upstream sends a cell more than there are columns."""
    parent = _spec(obj).get("parentRef")
    told = NONE
    if parent is not None:
        resource, group = parent.get("resource", ""), parent.get("group")
        parts = [f"{resource}.{group}".lower() if group else resource.lower()]
        if parent.get("namespace"):
            parts.append(parent["namespace"])
        told = "/".join((*parts, parent.get("name", "")))
    return [name(obj), told, age(obj, now)]


def service_cidr(obj: Tree, now: float) -> list[Any]:
    """Name, CIDRs, Age."""
    return [name(obj), ",".join(_spec(obj).get("cidrs") or ()), age(obj, now)]


def endpoint_slice(obj: Tree, now: float) -> list[Any]:
    """Name, AddressType, Ports, Endpoints, Age."""
    ports = [_port(port) for port in obj.get("ports") or ()]
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [name(obj), obj.get("addressType", ""), _first(ports), _first(addresses), age(obj, now)]


def _port(port: Tree) -> str:
    if port.get("port") is not None:
        return str(port["port"])
    return str(port["name"]) if port.get("name") is not None else "*"


def _first(texts: Sequence[str]) -> str:
    if not texts:
        return "<unset>"
    shown, more = ",".join(texts[:_MOST]), len(texts) - _MOST
    return f"{shown} + {more} more..." if more > 0 else shown


def pod_disruption_budget(obj: Tree, now: float) -> list[Any]:
    """Name, Min Available, Max Unavailable, Allowed Disruptions, Age."""
    amounts = (_spec(obj).get(field) for field in ("minAvailable", "maxUnavailable"))
    return [
        name(obj),
        *("N/A" if amount is None else str(amount) for amount in amounts),
        (obj.get("status") or {}).get("disruptionsAllowed") or 0,
        age(obj, now),
    ]
