"""The row of a pod, whose STATUS column tells what its containers are at.

Source: printPod in k8s.io/kubernetes/pkg/printers/internalversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.printers.cells import NONE, Tree, age, name
from hyperkube_machinery.ages import seconds_of, since

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["pod", "pod_conditions"]


@dataclass(slots=True)
class _Restarts:
    """How often containers were restarted, and when the last of them had ended before."""

    count: int = 0
    last: str = ""  # RFC 3339

    def add(self, container: Tree) -> None:
        self.count += container.get("restartCount") or 0
        ended = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt")
        if ended and (not self.last or seconds_of(self.last) < seconds_of(ended)):
            self.last = ended

    def shown(self, now: float) -> str:
        return f"{self.count} ({since(self.last, now)} ago)" if self.count and self.last else str(self.count)


def pod(obj: Tree, now: float) -> list[Any]:
    """Name, Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    conditions = {one.get("type"): one for one in reversed(status.get("conditions") or ())}
    reason = status.get("reason") or status.get("phase") or ""
    if any(
        one.get("type") == "PodScheduled" and one.get("reason") == "SchedulingGated"
        for one in status.get("conditions") or ()
    ):
        reason = "SchedulingGated"

    sidecars = {one.get("name") for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or ()) + len(sidecars)
    restarts, sidecar_restarts = _Restarts(), _Restarts()
    init_reason, ready = _initialization(spec, status, sidecars, restarts, sidecar_restarts)
    if init_reason:
        reason = init_reason
    if not init_reason or _holds(conditions.get("Initialized")):
        restarts = sidecar_restarts
        reason, running = _running(status, restarts, reason, is_ready=_holds(conditions.get("Ready")))
        ready += running

    if obj["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            reason = "Terminating"

    addresses: Sequence[Tree] = status.get("podIPs") or ({},)
    return [
        name(obj),
        f"{ready}/{total}",
        reason,
        restarts.shown(now),
        age(obj, now),
        addresses[0].get("ip") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec.get("readinessGates") or (), conditions),
    ]


def pod_conditions(obj: Tree) -> list[dict[str, str]]:
    """The conditions of a pod's row: clients hide or grey out what is completed."""
    phase = (obj.get("status") or {}).get("phase")
    message = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}.get(phase or "")
    if message is None:
        return []
    return [{"type": "Completed", "status": "True", "reason": str(phase), "message": message}]


def _initialization(
    spec: Tree, status: Tree, sidecars: set[str], restarts: _Restarts, sidecar_restarts: _Restarts
) -> tuple[str, int]:
    """What the pod's init containers are at ("" once they are done), and how many sidecars are ready."""
    ready = 0
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        restarts.add(container)
        sidecar = container.get("name") in sidecars
        if sidecar:
            sidecar_restarts.add(container)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and container.get("started"):
            ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            return f"Init:{_end(terminated)}", ready
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}", ready
        return f"Init:{index}/{len(spec.get('initContainers') or ())}", ready
    return "", ready


def _running(status: Tree, restarts: _Restarts, reason: str, *, is_ready: bool) -> tuple[str, int]:
    """What the pod's containers are at, and how many of them are ready."""
    ready = 0
    error = ""
    for container in reversed(status.get("containerStatuses") or ()):
        restarts.add(container)
        state = container.get("state") or {}
        terminated = state.get("terminated")
        if (state.get("waiting") or {}).get("reason"):
            reason = state["waiting"]["reason"]
        elif terminated is not None:
            reason = _end(terminated)
            if terminated.get("exitCode"):
                error = reason
        elif container.get("ready") and state.get("running") is not None:
            ready += 1
    if reason == "Completed":  # of one container, while others may run or have failed
        if ready and is_ready:
            reason = "Running"
        elif error:
            reason = error
        elif ready:
            reason = "NotReady"
    return reason, ready


def _end(terminated: Tree) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode') or 0}"


def _gates(gates: Iterable[Tree], conditions: dict[str, Tree]) -> str:
    types = [gate.get("conditionType", "") for gate in gates]
    return f"{sum(_holds(conditions.get(one)) for one in types)}/{len(types)}" if types else NONE


def _holds(condition: Tree | None) -> bool:
    return condition is not None and condition.get("status") == "True"
