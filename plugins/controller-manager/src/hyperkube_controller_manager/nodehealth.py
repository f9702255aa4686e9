"""Whether nodes are alive, and how fast those that are not may lose their pods: decisions, nothing is written here.

Source: k8s.io/kubernetes/pkg/controller/nodelifecycle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from hyperkube_controller_manager.conditions import find
from hyperkube_machinery import meta, timestamps

__all__ = [
    "Bucket",
    "Health",
    "Rates",
    "ZoneState",
    "is_counted",
    "missing_labels",
    "pod_not_ready",
    "ready_of",
    "seen",
    "silenced",
    "zone_of",
    "zone_state",
]

Tree = Mapping[str, Any]

_REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""Conditions that a kubelet reports; NetworkUnavailable is somebody else's."""

_REGION = ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region")
_ZONE = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_EXCLUDED = "node.kubernetes.io/exclude-disruption"
_OLD_LABELS = {
    "kubernetes.io/os": "beta.kubernetes.io/os",
    "kubernetes.io/arch": "beta.kubernetes.io/arch",
}


def ready_of(obj: Tree) -> Tree | None:
    """The Ready condition of a node or a pod."""
    return find((obj.get("status") or {}).get("conditions"), "Ready")


@dataclass(frozen=True, slots=True)
class Health:
    """What was last heard of a node, and when."""

    heartbeat: str | None  # of its Ready condition; None while it has none
    renewed: str  # when its lease was renewed, by the node's own clock; "" while there is none
    heard: float  # when either of them was seen to change, on this process's monotonic clock


def seen(saved: Health | None, node: Tree, lease: Tree | None, *, now: float, wall: float) -> Health:
    """`saved` brought up to `node` and its lease. `now` is on the monotonic clock, `wall` in seconds since the epoch.

    When the node says that it was heard of is never compared with this machine's time: their clocks may differ.
    """
    ready = ready_of(node)
    heartbeat = None if ready is None else ready.get("lastHeartbeatTime") or ""
    if saved is None:
        # A node that never told of itself is as old as it is; of others nothing is known yet.
        health = Health(heartbeat, "", now - _age(node, wall) if heartbeat is None else now)
    elif heartbeat != saved.heartbeat:
        health = replace(saved, heartbeat=heartbeat, heard=now)
    else:
        health = saved
    renewed = ((lease or {}).get("spec") or {}).get("renewTime") or ""
    # The API writes such moments all alike, so that their texts are in the order of time.
    return replace(health, renewed=renewed, heard=now) if renewed > health.renewed else health


def _age(node: Tree, wall: float) -> float:
    created = meta.metadata(node).get("creationTimestamp")
    return wall - timestamps.parse(created) if created else 0.0


def silenced(node: Tree, now: str) -> list[Tree] | None:
    """The conditions of a node that is not heard of any more; None if they say so already."""
    before: list[Tree] = list((node.get("status") or {}).get("conditions") or ())
    after = [_unknown(condition, now) if condition.get("type") in _REPORTED else condition for condition in before]
    present = {condition.get("type") for condition in before}
    created = meta.metadata(node).get("creationTimestamp")
    for kind in _REPORTED:
        if kind not in present:
            after.append(
                {
                    "type": kind,
                    "status": "Unknown",
                    "lastHeartbeatTime": created,
                    "lastTransitionTime": now,
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                }
            )
    return None if after == before else after


def _unknown(condition: Tree, now: str) -> Tree:
    if condition.get("status") == "Unknown":
        return condition
    return {
        **condition,
        "status": "Unknown",
        "lastTransitionTime": now,
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
    }


def pod_not_ready(pod: Tree, now: str) -> list[Tree] | None:
    """The conditions of a pod whose node is not ready; None if it is not said to be ready anyway."""
    ready = ready_of(pod)
    if ready is None or ready.get("status") == "False":
        return None
    changed = {**ready, "status": "False", "lastTransitionTime": now}
    return [changed if condition is ready else condition for condition in pod["status"]["conditions"]]


def missing_labels(node: Tree) -> dict[str, str]:
    """The labels of old names that a node lacks, or has with another value than those of today."""
    labels = meta.labels_of(node)
    return {old: labels[new] for new, old in _OLD_LABELS.items() if new in labels and labels.get(old) != labels[new]}


def zone_of(node: Tree) -> str:
    """What nodes of one zone of one region have in common; `""` where nothing is known."""
    labels = meta.labels_of(node)
    region, zone = (next((labels[key] for key in keys if labels.get(key)), "") for keys in (_REGION, _ZONE))
    return f"{region}:\x00:{zone}" if region or zone else ""


def is_counted(node: Tree) -> bool:
    """Whether the node has a say in how its zone is."""
    return _EXCLUDED not in meta.labels_of(node)


class ZoneState(Enum):
    INITIAL = "Initial"
    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


def zone_state(ready: Sequence[bool], threshold: float) -> ZoneState:
    """How a zone is, of whose nodes these are ready; from that fraction on it is disrupted in part."""
    unready = ready.count(False)
    if unready and unready == len(ready):
        return ZoneState.FULL
    if unready > 2 and unready / len(ready) >= threshold:
        return ZoneState.PARTIAL
    return ZoneState.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How many nodes a second may be emptied."""

    normal: float
    secondary: float  # in a large zone that is disrupted in part; a small one is left alone
    large_zone: int  # more nodes than this

    def of(self, state: ZoneState, size: int) -> float:
        if state is ZoneState.PARTIAL:
            return self.secondary if size > self.large_zone else 0.0
        return self.normal


class Bucket:
    """A token bucket that holds one token."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._full_at = now

    def take(self, now: float) -> bool:
        """Take the token if there is one."""
        if self._rate <= 0 or now < self._full_at:
            return False
        self._full_at = now + 1 / self._rate
        return True

    def change(self, rate: float, now: float) -> None:
        """Fill at another rate from now on; whoever waits begins to wait anew."""
        if rate == self._rate:
            return
        waiting = self._rate <= 0 or now < self._full_at
        self._rate = rate
        if waiting and rate > 0:
            self._full_at = now + 1 / rate
