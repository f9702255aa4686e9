"""The conditions of a pod that the kubelet keeps. Source: k8s.io/kubernetes/pkg/kubelet/status/generate.go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hyperkube_kubelet.containers.observed import Observed
from hyperkube_kubelet.containers.plan import sandbox_changed
from hyperkube_kubelet.containers.restarts import could_restart_all, runs_to_reset
from hyperkube_kubelet.podspec import Tree, containers, init_containers, is_sidecar, shown_names

__all__ = ["OWNED", "SHARED", "conditions", "with_disruption", "with_transitions"]

OWNED = (
    "PodScheduled",
    "Ready",
    "Initialized",
    "ContainersReady",
    "PodReadyToStartContainers",
    "PodResizeInProgress",
    "PodResizePending",
    "AllContainersRestarting",
)
"""What nobody else writes."""

SHARED = ("DisruptionTarget",)
"""What others write as well."""

Condition = dict[str, Any]


def conditions(
    pod: Tree,
    phase: str,
    statuses: Sequence[Tree],
    foreign: Iterable[Tree],
    observed: Observed,
    resizing: Iterable[Mapping[str, Any]] = (),
) -> list[Condition]:
    """All conditions but for their times: the `foreign` ones first, as they are.

    `statuses`: of init and regular containers. `resizing`: what there is to tell of a resize.
    """
    found = [dict(condition) for condition in foreign]
    generation = (pod.get("metadata") or {}).get("generation")
    ready_to_start = "False" if sandbox_changed(pod, observed)[0] else "True"
    containers_ready = _containers_ready(pod, phase, statuses)
    own = [
        *(dict(condition) for condition in resizing),
        {"type": "PodReadyToStartContainers", "status": ready_to_start},
        _initialized(pod, phase, statuses),
        _ready(pod, containers_ready, found),
        containers_ready,
        {"type": "PodScheduled", "status": "True"},
    ]
    if could_restart_all(pod):
        own.append(_restarting(pod, phase, observed))
    for condition in own:
        if generation:
            condition.setdefault("observedGeneration", generation)
    return found + own


def _verdict(kind: str, *, reason: str = "", message: str = "", holds: bool = False) -> Condition:
    condition: Condition = {"type": kind, "status": "True" if holds else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _containers_ready(pod: Tree, phase: str, statuses: Sequence[Tree]) -> Condition:
    kind = "ContainersReady"
    by_name = {status["name"]: status for status in statuses}
    lasting = [container for container in init_containers(pod) if is_sidecar(container)] + list(containers(pod))
    unknown = [container["name"] for container in lasting if container["name"] not in by_name]
    names = [container["name"] for container in lasting if container["name"] in by_name]
    unready = [name for name in names if not by_name[name].get("ready")]
    if phase == "Succeeded" and not unknown:
        return _verdict(kind, reason="PodCompleted")
    if phase == "Failed":
        return _verdict(kind, reason="PodFailed")
    messages = _told(("unknown", unknown), ("unready", unready))
    if messages:
        return _verdict(kind, reason="ContainersNotReady", message=messages)
    return _verdict(kind, holds=True)


def _ready(pod: Tree, containers_ready: Condition, foreign: Sequence[Tree]) -> Condition:
    if containers_ready["status"] != "True":
        return {**containers_ready, "type": "Ready"}
    by_type = {condition["type"]: condition for condition in foreign}
    unmet: list[str] = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        found = by_type.get(kind)
        if found is None:
            unmet.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif found["status"] != "True":
            unmet.append(f'the status of pod readiness gate "{kind}" is not "True", but {found["status"]}')
    if unmet:
        return _verdict("Ready", reason="ReadinessGatesNotReady", message=", ".join(unmet))
    return _verdict("Ready", holds=True)


def _restarting(pod: Tree, phase: str, observed: Observed) -> Condition:
    """Whether all containers are being begun anew."""
    kind = "AllContainersRestarting"
    if phase in ("Succeeded", "Failed"):
        return _verdict(kind, reason="PodCompleted" if phase == "Succeeded" else "PodFailed")
    if not runs_to_reset(pod, observed):
        return _verdict(kind)
    message = "container exited with restart policy rule"
    return _verdict(kind, reason="RestartAllContainersStarted", message=message, holds=True)


def _initialized(pod: Tree, phase: str, statuses: Sequence[Tree]) -> Condition:
    kind = "Initialized"
    by_name = {status["name"]: status for status in statuses}
    unknown: list[str] = []
    incomplete: list[str] = []
    for container in init_containers(pod):
        status = by_name.get(container["name"])
        if status is None:
            unknown.append(container["name"])
        elif not status.get("started" if is_sidecar(container) else "ready"):
            incomplete.append(container["name"])
    if phase == "Succeeded" and not unknown:
        return _verdict(kind, holds=True, reason="PodCompleted")
    if _has_begun(pod, by_name.values()):
        return _verdict(kind, holds=True)
    messages = _told(("unknown", unknown), ("incomplete", incomplete))
    if messages:
        return _verdict(kind, reason="ContainersNotInitialized", message=messages)
    return _verdict(kind, holds=True)


def _has_begun(pod: Tree, statuses: Iterable[Tree]) -> bool:
    """Whether a regular container has been started."""
    regular = {container["name"] for container in containers(pod)}
    for status in statuses:
        if status["name"] in regular and ("running" in status["state"] or "terminated" in status["state"]):
            return True
    return False


def _told(*found: tuple[str, Sequence[str]]) -> str:
    return ", ".join(f"containers with {what} status: {shown_names(names)}" for what, names in found if names)


def with_disruption(pod: Tree, conditions: Iterable[Tree], message: str) -> list[Condition]:
    """With the condition that the node ends the pod for its own sake. Source: k8s.io/kubernetes/pkg/kubelet/eviction"""
    ended: Condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "TerminationByKubelet",
        "message": message,
    }
    if generation := (pod.get("metadata") or {}).get("generation"):
        ended["observedGeneration"] = generation
    return [*(dict(one) for one in conditions if one["type"] != ended["type"]), ended]


def with_transitions(new: Iterable[Tree], old: Iterable[Tree], now: str) -> list[Condition]:
    """The conditions with the times at which they came to be what they are."""
    before = {condition["type"]: condition for condition in old}
    timed: list[Condition] = []
    for condition in new:
        known = before.get(condition["type"])
        same = known is not None and known["status"] == condition["status"]
        moment = known.get("lastTransitionTime") if same and known is not None else None
        if condition["type"] in (*OWNED, *SHARED):
            condition = {**condition, "lastTransitionTime": moment or now}
        timed.append(dict(condition))
    return timed
