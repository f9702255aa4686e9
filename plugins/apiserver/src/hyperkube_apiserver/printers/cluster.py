"""Rows of what a cluster has for all: classes, certificates, flow control, served groups.

Source: k8s.io/kubernetes/pkg/printers/internalversion, k8s.io/kube-aggregator/pkg/registry/apiservice/etcd.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.printers.cells import NONE, Tree, age, name
from hyperkube_machinery.ages import human_duration

__all__ = [
    "api_service",
    "certificate_signing_request",
    "flow_schema",
    "precedence",
    "priority_class",
    "priority_level_configuration",
    "runtime_class",
]


def api_service(obj: Tree, now: float) -> list[Any]:
    """Name, Service, Available, Age."""
    service = (obj.get("spec") or {}).get("service")
    condition = _condition(obj, "Available")
    available = "Unknown" if condition is None else str(condition.get("status", ""))
    if condition is not None and available != "True" and condition.get("reason"):
        available += f" ({condition['reason']})"
    hosted = "Local" if service is None else f"{service.get('namespace', '')}/{service.get('name', '')}"
    return [name(obj), hosted, available, age(obj, now)]


def _condition(obj: Tree, kind: str) -> Tree | None:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == kind), None)


def certificate_signing_request(obj: Tree, now: float) -> list[Any]:
    """Name, Age, SignerName, Requestor, RequestedDuration, Condition."""
    spec = obj.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    return [
        name(obj),
        age(obj, now),
        spec.get("signerName") or NONE,
        spec.get("username") or "",
        NONE if seconds is None else human_duration(seconds),
        _decision(obj),
    ]


def _decision(request: Tree) -> str:
    said = "Denied" if _condition(request, "Denied") else "Approved" if _condition(request, "Approved") else "Pending"
    if _condition(request, "Failed"):
        said += ",Failed"
    return f"{said},Issued" if (request.get("status") or {}).get("certificate") else said


def flow_schema(obj: Tree, now: float) -> list[Any]:
    """Name, PriorityLevel, MatchingPrecedence, DistinguisherMethod, Age, MissingPL."""
    spec = obj.get("spec") or {}
    dangling = _condition(obj, "Dangling")
    return [
        name(obj),
        (spec.get("priorityLevelConfiguration") or {}).get("name", ""),
        spec.get("matchingPrecedence") or 0,
        (spec.get("distinguisherMethod") or {}).get("type", NONE),
        age(obj, now),
        "?" if dangling is None else dangling.get("status", ""),
    ]


def precedence(schema: Tree) -> tuple[int, str]:
    """What FlowSchemas are sorted by: the order in which requests are held against them."""
    return (schema.get("spec") or {}).get("matchingPrecedence") or 0, name(schema)


def priority_level_configuration(obj: Tree, now: float) -> list[Any]:
    """Name, Type, NominalConcurrencyShares, Queues, HandSize, QueueLengthLimit, Age."""
    spec = obj.get("spec") or {}
    limited = spec.get("limited")
    queuing = ((limited or {}).get("limitResponse") or {}).get("queuing")
    return [
        name(obj),
        spec.get("type", ""),
        NONE if limited is None else limited.get("nominalConcurrencyShares") or 0,
        *(NONE if queuing is None else queuing.get(field) or 0 for field in ("queues", "handSize", "queueLengthLimit")),
        age(obj, now),
    ]


def priority_class(obj: Tree, now: float) -> list[Any]:
    """Name, Value, Global-Default, Age, PreemptionPolicy."""
    return [
        name(obj),
        obj.get("value") or 0,
        bool(obj.get("globalDefault")),
        age(obj, now),
        obj.get("preemptionPolicy") or "",
    ]


def runtime_class(obj: Tree, now: float) -> list[Any]:
    """Name, Handler, Age."""
    return [name(obj), obj.get("handler") or "", age(obj, now)]
