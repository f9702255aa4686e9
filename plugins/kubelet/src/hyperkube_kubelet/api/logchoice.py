"""Which container's log is meant, of those that a container of a pod has been. Pure.

Source: validateContainerLogStatus in k8s.io/kubernetes/pkg/kubelet/kubelet_pods.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.quoting import quoted

__all__ = ["NoLog", "chosen_container"]

Tree = Mapping[str, Any]

_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class NoLog(Exception):
    """There is no log yet, or none any more; the text is upstream's, which tools show."""


def chosen_container(pod: str, status: Tree, container: str, *, previous: bool) -> str:
    """The id of the container whose log is asked for. Raises NoLog."""
    found = _status_of(status, container)
    of_pod = f"container {quoted(container)} in pod {quoted(pod)}"
    if found is None:
        raise NoLog(f"{of_pod} is not available")
    state = found.get("state") or {}
    last = (found.get("lastState") or {}).get("terminated") or {}
    if previous:
        if not last.get("containerID"):
            raise NoLog(f"previous terminated {of_pod} not found")
        return _bare(last["containerID"])
    if state.get("running") is not None:
        return _bare(found.get("containerID") or "")
    terminated = state.get("terminated")
    if terminated is not None or last:
        known = (terminated or {}).get("containerID") or last.get("containerID")
        if not known:
            raise NoLog(f"{of_pod} is terminated")
        return _bare(known)
    waiting = state.get("waiting")
    if waiting is None:
        raise NoLog(f"{of_pod} is waiting to start - no logs yet")
    reason = waiting.get("reason") or ""
    raise NoLog(f"{of_pod} is waiting to start: {_WAITING.get(reason, reason)}")


def _status_of(status: Tree, container: str) -> Tree | None:
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for one in status.get(field) or ():
            if one["name"] == container:
                found: Tree = one
                return found
    return None


def _bare(container_id: str) -> str:
    """Without the runtime's scheme."""
    return container_id.partition("://")[2] or container_id
