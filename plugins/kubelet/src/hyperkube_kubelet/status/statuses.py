"""The status of each container of a pod.

Source: k8s.io/kubernetes/pkg/kubelet (convertToAPIContainerStatuses).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_kubelet.cgroups.settings import Held
from hyperkube_kubelet.containers.observed import Observed, resources_of, restart_count
from hyperkube_kubelet.containers.restarts import restarts_latest
from hyperkube_kubelet.containers.verdicts import Verdicts
from hyperkube_kubelet.podspec import Tree, init_containers, is_sidecar, kind_of
from hyperkube_kubelet.runtime.values import Container, ContainerState
from hyperkube_machinery import meta
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["Seen", "Waiting", "container_statuses"]

LOST = "ContainerStatusUnknown"
LOST_CODE = 137
_TERMINATED, _DELETED = (
    "The container could not be located when the pod was terminated",
    ("The container could not be located when the pod was deleted.  The container used to be Running"),
)
_TAKEN_FOR_DONE = (
    "Unable to get init container status from container runtime and pod has been initialized,"
    " treat it as exited normally"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container could not be started."""

    reason: str  # CrashLoopBackOff, ErrImagePull …
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that a pod's status is made of, beside the pod."""

    observed: Observed = field(default_factory=Observed)
    verdicts: Verdicts = field(default_factory=Verdicts)
    waiting: Mapping[str, Waiting] = field(default_factory=dict)  # by container
    scheme: str = "hk-process"  # what ids of containers begin with
    host_ips: Sequence[str] = ()
    resizing: Sequence[Mapping[str, Any]] = ()  # conditions that tell of a resize
    held: Held | None = None  # what the pod's group is held to


def container_statuses(
    pod: Tree, containers: Sequence[Tree], previous: Iterable[Tree], seen: Seen
) -> list[dict[str, Any]]:
    """The statuses of one of the pod's lists of containers, in its order. `previous`: those last made."""
    old = {status["name"]: status for status in previous}
    init_names = {container["name"] for container in init_containers(pod)}
    of_init = bool(containers) and containers[0]["name"] in init_names
    default = "PodInitializing" if init_names else "ContainerCreating"
    return [
        _status(pod, container, old.get(container["name"]), seen, default, of_init=of_init) for container in containers
    ]


def _status(pod: Tree, spec: Tree, old: Tree | None, seen: Seen, default: str, *, of_init: bool) -> dict[str, Any]:
    runs = list(seen.observed.runs(spec["name"]))[:2]
    status = _converted(spec, runs[0], old, seen) if runs else _missing(pod, spec, old, default)
    if len(runs) > 1:
        status["lastState"] = _state(runs[1], seen.scheme)
    status.setdefault("lastState", {})
    _explain(status, pod, spec, seen, of_init=of_init)
    if kind_of(pod, spec["name"]) == "ephemeral":
        status["ready"] = False  # nobody waits for it
    else:
        latest = runs[0] if runs else None
        status["started"] = latest is not None and seen.verdicts.has_started(spec, latest)
        status["ready"] = latest is not None and seen.verdicts.is_ready(spec, latest)
    if of_init and not is_sidecar(spec):
        terminated = status["state"].get("terminated")
        status["ready"] = terminated is not None and terminated["exitCode"] == 0
    if mounts := _volume_mounts(spec):
        status["volumeMounts"] = mounts
    return status


def _missing(pod: Tree, spec: Tree, old: Tree | None, default: str) -> dict[str, Any]:
    """Of a container that the runtime knows nothing of."""
    status: dict[str, Any] = {
        "name": spec["name"],
        "image": spec.get("image") or "",
        "imageID": "",
        "restartCount": 0,
        "state": {"waiting": {"reason": default}},
    }
    if old is None:
        return status
    state, last = old.get("state") or {}, old.get("lastState") or {}
    if "terminated" in state:
        return {**old, "state": state}
    status["restartCount"] = old.get("restartCount", 0)
    status["lastState"] = dict(last)
    if "running" in state and "terminated" not in last:
        status["lastState"] = {"terminated": _lost(_DELETED)}
        if meta.deletion_timestamp(pod) is None:
            status["restartCount"] += 1
    return status


def _converted(spec: Tree, container: Container, old: Tree | None, seen: Seen) -> dict[str, Any]:
    status: dict[str, Any] = {
        "name": spec["name"],
        "image": container.config.image,
        "imageID": container.image_ref,
        "containerID": f"{seen.scheme}://{container.id}",
        "restartCount": restart_count(container),
        "state": _state(container, seen.scheme),
        "resources": dict(resources_of(spec, container)),
    }
    if requests := (spec.get("resources") or {}).get("requests"):
        status["allocatedResources"] = dict(requests)
    if container.state is ContainerState.RUNNING and container.user is not None:
        uid, gid, groups = container.user
        linux: dict[str, Any] = {"uid": uid, "gid": gid}
        if groups:
            linux["supplementalGroups"] = list(groups)
        status["user"] = {"linux": linux}
    if old is None:
        return status
    _remember_words(status["state"], old)
    before = old.get("state") or {}
    if container.state is ContainerState.UNKNOWN and "running" in before:
        status["state"] = {"terminated": _lost(_TERMINATED)}
        status["restartCount"] = old.get("restartCount", 0) + 1
        return status
    status["restartCount"] = max(status["restartCount"], old.get("restartCount", 0))
    if old.get("containerID") != status["containerID"] and "terminated" in before:
        status["lastState"] = {"terminated": before["terminated"]}
    elif "terminated" in (old.get("lastState") or {}):
        status["lastState"] = {"terminated": old["lastState"]["terminated"]}
    return status


def _remember_words(state: Mapping[str, Any], old: Tree) -> None:
    """Let a run that has ended keep its message, whose file goes with the pod's volumes."""
    ended = state.get("terminated")
    if ended is None or ended.get("message"):
        return
    for known in (old.get("state") or {}, old.get("lastState") or {}):
        before = known.get("terminated") or {}
        if before.get("containerID") == ended["containerID"] and before.get("message"):
            ended["message"] = before["message"]


def _state(container: Container, scheme: str) -> dict[str, Any]:
    match container.state:
        case ContainerState.RUNNING:
            return {"running": {"startedAt": format_seconds(container.started_at)}}
        case ContainerState.EXITED:
            terminated: dict[str, Any] = {
                "exitCode": container.exit_code,
                "reason": container.reason,
                "startedAt": _moment(container.started_at),
                "finishedAt": _moment(container.finished_at),
                "containerID": f"{scheme}://{container.id}",
            }
            if container.message:
                terminated["message"] = container.message
            return {"terminated": terminated}
    return {"waiting": {}}


def _moment(seconds: float) -> str:
    """A time that may never have come: 1970, as upstream shows a container that was never started."""
    return format_seconds(max(seconds, 0.0))


def _lost(message: str) -> dict[str, Any]:
    return {"exitCode": LOST_CODE, "reason": LOST, "message": message, "startedAt": None, "finishedAt": None}


def _explain(status: dict[str, Any], pod: Tree, spec: Tree, seen: Seen, *, of_init: bool) -> None:
    """Let a container that is to be started, and could not be, wait, and say why."""
    latest = seen.observed.latest(spec["name"])
    if of_init:
        if latest is not None and latest.state is ContainerState.EXITED and latest.exit_code == 0:
            return
        if latest is None and not is_sidecar(spec) and "waiting" in status["state"] and seen.observed.has_begun(pod):
            done = {
                "exitCode": 0,
                "reason": "Completed",
                "message": _TAKEN_FOR_DONE,
                "startedAt": None,
                "finishedAt": None,
            }
            status["state"] = {"terminated": done}
            return
    why = seen.waiting.get(spec["name"])
    if why is None or not restarts_latest(spec, pod, seen.observed):
        return
    if "terminated" in status["state"]:
        status["lastState"] = status["state"]
    status["state"] = {"waiting": {"reason": why.reason, "message": why.message}}


def _volume_mounts(spec: Tree) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for mount in spec.get("volumeMounts") or ():
        shown: dict[str, Any] = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            shown.update(readOnly=True, recursiveReadOnly="Disabled")
        found.append(shown)
    return found
