"""What controllers ask of a pod: is it active, ready, available, going.

Source: k8s.io/kubernetes/pkg/api/v1/pod/util.go and pkg/controller/controller_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hyperkube_machinery import timestamps
from hyperkube_machinery.meta import deletion_timestamp, metadata

__all__ = [
    "BY_NODE",
    "by_node",
    "condition_of",
    "creation_time",
    "first_available",
    "is_active",
    "is_available",
    "is_ready",
    "is_terminal",
    "is_terminating",
    "node_of",
    "phase",
    "ready_since",
    "until_available",
]

Pod = Mapping[str, Any]

BY_NODE = "node"
"""The name of the index that `by_node` makes."""


def phase(pod: Pod) -> str:
    return (pod.get("status") or {}).get("phase") or ""


def node_of(pod: Pod) -> str:
    """The node that the pod is bound to; empty before it is."""
    return (pod.get("spec") or {}).get("nodeName") or ""


def by_node(pod: Pod) -> tuple[str, ...]:
    """An index of pods by the node that they are bound to."""
    node = node_of(pod)
    return (node,) if node else ()


def condition_of(pod: Pod, kind: str) -> Mapping[str, Any] | None:
    """The pod's condition of one type."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == kind:
            return condition  # type: ignore[no-any-return]
    return None


def is_terminal(pod: Pod) -> bool:
    """Whether its containers ended for good."""
    return phase(pod) in ("Failed", "Succeeded")


def is_active(pod: Pod) -> bool:
    """Whether it runs or may come to run, and nobody deletes it."""
    return not is_terminal(pod) and deletion_timestamp(pod) is None


def is_terminating(pod: Pod) -> bool:
    """Whether it is being deleted and has not ended."""
    return not is_terminal(pod) and deletion_timestamp(pod) is not None


def is_ready(pod: Pod) -> bool:
    condition = condition_of(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def ready_since(pod: Pod) -> float | None:
    """When it became ready, in seconds since the epoch; None while it is not, or where nothing says when."""
    condition = condition_of(pod, "Ready")
    if condition is None or condition.get("status") != "True":
        return None
    since = condition.get("lastTransitionTime")
    return timestamps.parse(since) if since else None


def until_available(pod: Pod, min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the pod counts as available: 0 when it does already, None while it is not ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds <= 0:
        return 0.0
    since = ready_since(pod)
    return None if since is None else max(0.0, since + min_ready_seconds - now)


def is_available(pod: Pod, min_ready_seconds: int, now: float) -> bool:
    """Whether it has been ready for `min_ready_seconds` without a break."""
    return until_available(pod, min_ready_seconds, now) == 0.0


def first_available(pods: Iterable[Pod], min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the next of these pods becomes available; None if none is about to."""
    waits = (until_available(pod, min_ready_seconds, now) for pod in pods)
    return min((wait for wait in waits if wait), default=None)


def creation_time(obj: Mapping[str, Any]) -> float | None:
    """When the object was created, in seconds since the epoch."""
    created = metadata(obj).get("creationTimestamp")
    return timestamps.parse(created) if created else None
