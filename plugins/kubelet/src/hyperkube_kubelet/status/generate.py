"""The status of a pod, made of what the runtime has of it.

Source: k8s.io/kubernetes/pkg/kubelet (generateAPIPodStatus).
"""

from __future__ import annotations

from typing import Any

from hyperkube_kubelet.podspec import (
    Tree,
    condition_of,
    containers,
    ephemeral_containers,
    init_containers,
    is_terminal,
    phase_of,
    status_of,
    uses_host_network,
)
from hyperkube_kubelet.status.conditions import OWNED, SHARED, conditions
from hyperkube_kubelet.status.phase import phase
from hyperkube_kubelet.status.resources import pod_resources
from hyperkube_kubelet.status.statuses import Seen, container_statuses
from hyperkube_machinery import meta

__all__ = ["pod_status", "rejected_status", "without_survivors"]

_LOST = {
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
    "exitCode": 137,
    "startedAt": None,
    "finishedAt": None,
}


def pod_status(pod: Tree, seen: Seen, previous: Tree, *, terminal: bool = False) -> dict[str, Any]:
    """The status that says what was seen; times of conditions and of the start are not in it.

    `previous`: the status last made, or else the object's. `terminal`: nothing of the pod is started any more.
    """
    in_object = status_of(pod)
    init = container_statuses(pod, init_containers(pod), previous.get("initContainerStatuses") or (), seen)
    regular = container_statuses(pod, containers(pod), previous.get("containerStatuses") or (), seen)
    ephemeral = container_statuses(
        pod, ephemeral_containers(pod), previous.get("ephemeralContainerStatuses") or (), seen
    )
    begun = _has_begun(pod, seen)
    new = phase(pod, [*init, *regular], terminal=terminal, begun=begun)
    if new not in ("Succeeded", "Failed"):  # what has ended stays ended
        new = next((phase_of(status) for status in (previous, in_object) if is_terminal(status)), new)
    if is_terminal(in_object):
        new = phase_of(in_object)
    status: dict[str, Any] = {"phase": new}
    if generation := meta.generation(pod):
        status["observedGeneration"] = generation
    if new == phase_of(previous):
        for field in ("reason", "message"):
            if text := previous.get(field) or in_object.get(field):
                status[field] = text
    foreign = [item for item in in_object.get("conditions") or () if item["type"] not in (*OWNED, *SHARED)]
    for kind in SHARED:
        shared = condition_of(previous, kind) or condition_of(in_object, kind)
        if shared is not None:
            foreign.append(shared)
    status["conditions"] = conditions(pod, new, [*init, *regular], foreign, seen.observed, seen.resizing)
    _add_addresses(status, pod, seen, previous)
    status.update(pod_resources(pod, new, seen.held, previous))
    for field, statuses in (
        ("initContainerStatuses", init),
        ("containerStatuses", sorted(regular, key=lambda item: str(item["name"]))),
        ("ephemeralContainerStatuses", sorted(ephemeral, key=lambda item: str(item["name"]))),
    ):
        if statuses:
            status[field] = statuses
    for field in ("qosClass", "startTime", "nominatedNodeName"):
        if value := previous.get(field) or in_object.get(field):
            status[field] = value
    return status


def _has_begun(pod: Tree, seen: Seen) -> bool:
    """Whether a regular container was created in the sandbox that there is now."""
    sandbox = seen.observed.ready_sandbox
    latest = (seen.observed.latest(container["name"]) for container in containers(pod))
    return sandbox is not None and any(run is not None and run.sandbox_id == sandbox.id for run in latest)


def _add_addresses(status: dict[str, Any], pod: Tree, seen: Seen, previous: Tree) -> None:
    """A pod keeps the address that it had once it has ended."""
    ips = list(seen.observed.ips)
    if uses_host_network(pod):
        ips = list(seen.host_ips)
    elif not ips:
        ips = [entry["ip"] for entry in previous.get("podIPs") or ()]
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]
    if seen.host_ips:
        status["hostIP"] = seen.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in seen.host_ips]


def rejected_status(pod: Tree, reason: str, message: str) -> dict[str, Any]:
    """Of a pod that this node does not take."""
    status: dict[str, Any] = {"phase": "Failed", "reason": reason, "message": message}
    if generation := meta.generation(pod):
        status["observedGeneration"] = generation
    if quality := status_of(pod).get("qosClass"):
        status["qosClass"] = quality
    if kept := status_of(pod).get("conditions"):
        status["conditions"] = [dict(condition) for condition in kept]
    return status


def without_survivors(pod: Tree, status: Tree) -> dict[str, Any]:
    """The last status of a pod: each container that may have run has ended, and so has the pod.

    Source: k8s.io/kubernetes/pkg/kubelet/status (TerminatePod).
    """
    final = dict(status)
    if _initialized(pod, status):
        final["containerStatuses"] = [_ended(item) for item in status.get("containerStatuses") or ()]
    if init := status.get("initContainerStatuses"):
        begun = [index for index, item in enumerate(init) if _has_run(item)]
        last = begun[-1] if begun else 0
        final["initContainerStatuses"] = [_ended(item) if index <= last else item for index, item in enumerate(init)]
    if not is_terminal(status):
        final["phase"] = "Failed"
    return {field: value for field, value in final.items() if value != []}


def _ended(status: Tree) -> dict[str, Any]:
    if "terminated" in status["state"]:
        return dict(status)
    return {**status, "state": {"terminated": dict(_LOST)}, "ready": False, "started": False}


def _has_run(status: Tree) -> bool:
    return "waiting" not in status["state"] or "terminated" in (status.get("lastState") or {})


def _initialized(pod: Tree, status: Tree) -> bool:
    init = init_containers(pod)
    if not init or any(_has_run(item) for item in status.get("containerStatuses") or ()):
        return True
    last = next((item for item in status.get("initContainerStatuses") or () if item["name"] == init[-1]["name"]), None)
    if last is None:
        return False
    if "running" in last["state"]:
        return init[-1].get("restartPolicy") == "Always" and bool(last.get("started"))
    states = (last["state"], last.get("lastState") or {})
    return any("terminated" in state and state["terminated"]["exitCode"] == 0 for state in states)
