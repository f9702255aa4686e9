"""The phase of a pod. Source: k8s.io/kubernetes/pkg/kubelet (getPhase)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from hyperkube_kubelet.containers.restarts import restarts_after
from hyperkube_kubelet.podspec import Tree, containers, init_containers, is_sidecar, is_static

__all__ = ["phase"]

_State = Literal["running", "stopped", "waiting", "unknown"]


def phase(pod: Tree, statuses: Iterable[Tree], *, terminal: bool, begun: bool) -> str:
    """`statuses`: of init and regular containers. `terminal`: nothing of the pod is started any more.

    `begun`: a regular container has been started, so that what sidecars do is no longer initialization.
    """
    by_name = {status["name"]: status for status in statuses}
    init = [container for container in init_containers(pod) if not is_sidecar(container)]
    sidecars = [container for container in init_containers(pod) if is_sidecar(container)]
    pending, failed = _initialization(pod, init, by_name)
    if failed:
        return "Failed"
    sidecar_states = [_sidecar(by_name.get(container["name"])) for container in sidecars]
    sidecars_pending = sum(pends for _, pends in sidecar_states)
    states: list[_State] = [state for state, _ in sidecar_states if state != "stopped"]
    ends: list[tuple[Tree, int, bool]] = []
    for container in containers(pod):
        state, code = _regular(by_name.get(container["name"]))
        states.append(state)
        if state == "stopped":
            waits = "waiting" in by_name[container["name"]]["state"]
            ends.append((container, code, waits))
    if pending or (sidecars_pending and not begun) or "waiting" in states:
        return "Pending"
    if "unknown" in states:
        return "Pending"
    if "running" in states:
        return "Running"
    if not ends:
        return "Pending"
    return _ended(pod, ends, terminal=terminal)


def _ended(pod: Tree, ends: list[tuple[Tree, int, bool]], *, terminal: bool) -> str:
    succeeded = all(code == 0 and not waits for _, code, waits in ends)
    done = "Succeeded" if succeeded else "Failed"
    if terminal and not is_static(pod):
        return done
    if any(restarts_after(container, pod, code) for container, code, _ in ends):
        return "Running"
    return done


def _initialization(pod: Tree, init: Iterable[Tree], by_name: Mapping[str, Tree]) -> tuple[int, int]:
    """How many init containers have not run yet or run, and how many have failed for good."""
    pending = failed = 0
    for container in init:
        code = _init_code(by_name.get(container["name"]))
        if code is None:
            pending += 1
        elif code != 0 and not restarts_after(container, pod, code):
            failed += 1
    return pending, failed


def _init_code(status: Tree | None) -> int | None:
    """How the latest run that has ended did so; None where none has, or one runs."""
    for state in _latest(status):
        if "terminated" in state:
            return int(state["terminated"]["exitCode"])
    return None


def _latest(status: Tree | None) -> Iterator[Mapping[str, Any]]:
    if status is None:
        return
    yield status["state"]
    if "waiting" in status["state"]:
        yield status.get("lastState") or {}


def _sidecar(status: Tree | None) -> tuple[_State, bool]:
    """Its state, and whether initialization waits for it."""
    if status is None:
        return "unknown", False
    state = status["state"]
    if "running" in state:
        return "running", not status.get("started")
    if "terminated" in state or "terminated" in (status.get("lastState") or {}):
        return "stopped", False
    return ("waiting", True) if "waiting" in state else ("unknown", True)


def _regular(status: Tree | None) -> tuple[_State, int]:
    """Its state, and of a stopped one the exit code."""
    if status is None:
        return "unknown", 0
    state = status["state"]
    if "running" in state:
        return "running", 0
    for ended in _latest(status):
        if "terminated" in ended:
            return "stopped", int(ended["terminated"]["exitCode"])
    return ("waiting", 0) if "waiting" in state else ("unknown", 0)
