"""What to do for a pod, given what the runtime has of it and what its probes say.

Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime (computePodActions, computeInitContainerActions).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hyperkube_kubelet.containers.observed import HASH, Observed, container_hash, having
from hyperkube_kubelet.containers.resizing import Needed, Resource, needed
from hyperkube_kubelet.containers.restarts import restarts_after, restarts_killed, restarts_latest, runs_to_reset
from hyperkube_kubelet.containers.verdicts import Verdicts
from hyperkube_kubelet.podspec import (
    Tree,
    containers,
    ephemeral_containers,
    init_containers,
    is_sidecar,
    restart_policy,
    uses_host_network,
)
from hyperkube_kubelet.runtime.values import Container, ContainerState, SandboxState

__all__ = ["Kill", "KillReason", "Plan", "Resize", "plan_for", "sandbox_changed"]

KillReason = Literal["StartupProbe", "LivenessProbe", ""]


@dataclass(frozen=True, slots=True)
class Kill:
    """A container to be killed."""

    container: Container
    message: str  # of the event
    reason: KillReason = ""
    grace_seconds: float | None = None  # None: what the pod and its probe say


@dataclass(frozen=True, slots=True)
class Resize:
    """A container that is to have other resources as it runs."""

    spec: Tree
    container: Container
    resources: tuple[Resource, ...]


@dataclass(slots=True)
class Plan:
    """What to do, in this order."""

    kill_pod: bool = False
    create_sandbox: bool = False
    sandbox_id: str = ""
    attempt: int = 0
    reset: list[Container] = field(default_factory=list)  # runs to be forgotten, and nothing else is to be done
    kill: list[Kill] = field(default_factory=list)
    resize: list[Resize] = field(default_factory=list)
    start_ephemeral: list[Tree] = field(default_factory=list)
    start_init: list[Tree] = field(default_factory=list)
    start: list[Tree] = field(default_factory=list)

    @property
    def starts(self) -> list[Tree]:
        return [*self.start_ephemeral, *self.start_init, *self.start]


def sandbox_changed(pod: Tree, observed: Observed) -> tuple[bool, int, str]:
    """Whether the pod needs a new sandbox, that one's attempt, and the id of the sandbox there is."""
    if not observed.sandboxes:
        return True, 0, ""
    newest = observed.sandboxes[0]
    following = newest.config.attempt + 1
    ready = [sandbox for sandbox in observed.sandboxes if sandbox.state is SandboxState.READY]
    if len(ready) > 1 or newest.state is not SandboxState.READY:
        return True, following, newest.id
    if newest.config.host_network != uses_host_network(pod):
        return True, following, ""
    if not uses_host_network(pod) and not newest.ips:
        return True, following, newest.id
    return False, newest.config.attempt, newest.id


def plan_for(pod: Tree, observed: Observed, verdicts: Verdicts) -> Plan:
    """What brings the pod nearer to its spec. An empty plan that kills the pod says that it is done."""
    create, attempt, sandbox_id = sandbox_changed(pod, observed)
    plan = Plan(kill_pod=create, create_sandbox=create, sandbox_id=sandbox_id, attempt=attempt)
    if create:
        _begin_anew(plan, pod, observed)
        return plan
    plan.reset = runs_to_reset(pod, observed)
    if plan.reset:
        return plan
    for container in ephemeral_containers(pod):
        if observed.latest(container["name"]) is None:
            plan.start_ephemeral.append(container)
    initialized = _plan_init(plan, pod, observed, verdicts)
    if plan.kill_pod or not initialized:
        return plan
    _plan_regular(plan, pod, observed, verdicts)
    return plan


def _begin_anew(plan: Plan, pod: Tree, observed: Observed) -> None:
    """Everything is killed and, where the policies let it, begun again in a new sandbox."""
    if restart_policy(pod) == "Never" and plan.attempt != 0 and observed.containers:
        plan.create_sandbox = False
        return
    to_start = [container for container in containers(pod) if not _is_done(container, pod, observed)]
    if not to_start and observed.has_begun(pod):
        plan.create_sandbox = False
        return
    if init_containers(pod):
        plan.start_init = [init_containers(pod)[0]]
        return
    plan.start = to_start


def _is_done(container: Tree, pod: Tree, observed: Observed) -> bool:
    """Whether it ran once and that was enough."""
    latest = observed.latest(container["name"])
    succeeded = latest is not None and latest.state is ContainerState.EXITED and latest.exit_code == 0
    return succeeded and (container.get("restartPolicy") or restart_policy(pod)) == "OnFailure"


def _plan_init(plan: Plan, pod: Tree, observed: Observed, verdicts: Verdicts) -> bool:
    """Plan the init containers; returns whether the regular ones may go ahead.

    From the last to the first: the last of those that have run says how far the pod has come, for records of earlier
    ones may be gone; before it only sidecars are kept running.
    """
    all_init = init_containers(pod)
    if not all_init:
        return True
    initialized = any(
        latest is not None and latest.state in (ContainerState.CREATED, ContainerState.RUNNING)
        for latest in (observed.latest(container["name"]) for container in containers(pod))
    )
    passed = initialized
    for index in reversed(range(len(all_init))):
        container = all_init[index]
        latest = observed.latest(container["name"])
        if latest is None:
            if passed and is_sidecar(container):
                plan.start_init.append(container)
            continue
        if passed and not is_sidecar(container):
            continue
        step = _init_step(plan, pod, container, latest, verdicts)
        if step == "fail":
            plan.kill_pod, plan.start_init = True, []
            return False
        if step == "again":
            plan.start_init.append(container)
        elif step == "next":
            if index == len(all_init) - 1:
                initialized = True
            elif not passed:
                plan.start_init.append(all_init[index + 1])
            if is_sidecar(container):
                kill = _sidecar_kill(container, latest, verdicts)
                if kill is None and _resize(plan, pod, container, latest).restart:
                    kill = _resize_kill(container, latest)
                if kill is not None:
                    plan.kill.append(kill)
                    plan.start_init.append(container)
        passed = True
    if not passed:
        plan.start_init.append(all_init[0])
    plan.start_init.reverse()
    return initialized


_Step = Literal["wait", "again", "next", "fail"]


def _init_step(plan: Plan, pod: Tree, container: Tree, latest: Container, verdicts: Verdicts) -> _Step:
    """What an init container that has been created means for itself and for those behind it."""
    match latest.state:
        case ContainerState.CREATED:
            return "again"
        case ContainerState.RUNNING if is_sidecar(container):
            return _sidecar_step(plan, container, latest, verdicts)
        case ContainerState.RUNNING:
            _resize(plan, pod, container, latest)  # none that runs to its end can ask to be started again for that
            return "wait"
        case ContainerState.EXITED if is_sidecar(container):
            return "again"
        case ContainerState.EXITED if latest.exit_code == 0:
            return "next"
        case ContainerState.EXITED:
            return "again" if restarts_after(container, pod, latest.exit_code) else "fail"
    if not is_sidecar(container) and not restarts_killed(container, pod):
        return "fail"
    message = f'Init container is in "{latest.state}" state, try killing it before restart'
    plan.kill.append(Kill(latest, message))
    return "again"


def _sidecar_step(plan: Plan, container: Tree, latest: Container, verdicts: Verdicts) -> _Step:
    if container.get("startupProbe"):
        started = verdicts.startup.get(latest.id)
        if started is False:
            message = f"Init container {container['name']} failed startup probe"
            plan.kill.append(Kill(latest, message, "StartupProbe"))
            return "again"
        if started is None:
            return "wait"
    return "next"


def _sidecar_kill(container: Tree, latest: Container, verdicts: Verdicts) -> Kill | None:
    """Why a sidecar that has started must be replaced, if it must."""
    name = container["name"]
    if latest.state is not ContainerState.RUNNING:
        return None
    if _definition_changed(container, latest):
        return Kill(latest, f"Init container {name} definition changed")
    if container.get("livenessProbe") and verdicts.liveness.get(latest.id) is False:
        return Kill(latest, f"Init container {name} failed liveness probe", "LivenessProbe")
    return None


def _plan_regular(plan: Plan, pod: Tree, observed: Observed, verdicts: Verdicts) -> None:
    kept = 0
    for container in containers(pod):
        name = container["name"]
        latest = observed.latest(name)
        if latest is None or latest.state is not ContainerState.RUNNING:
            if restarts_latest(container, pod, observed):
                plan.start.append(container)
                if latest is not None and latest.state is ContainerState.UNKNOWN:
                    message = f'Container is in "{latest.state}" state, try killing it before restart'
                    plan.kill.append(Kill(latest, message))
            continue
        message, reason, again = "", "", restarts_killed(container, pod)
        if _definition_changed(container, latest):
            message, again = f"Container {name} definition changed", True
        elif verdicts.liveness.get(latest.id) is False:
            message, reason = f"Container {name} failed liveness probe", "LivenessProbe"
        elif verdicts.startup.get(latest.id) is False:
            message, reason = f"Container {name} failed startup probe", "StartupProbe"
        elif _resize(plan, pod, container, latest).restart:
            plan.kill.append(_resize_kill(container, latest))
            plan.start.append(container)
            continue
        else:
            kept += 1
            continue
        if again:
            message += ", will be restarted"
            plan.start.append(container)
        plan.kill.append(Kill(latest, message, reason))  # type: ignore[arg-type]
    if not kept and not plan.start:
        plan.kill_pod = True
        plan.start_init = []  # sidecars don't keep a pod alive


def _resize(plan: Plan, pod: Tree, container: Tree, latest: Container) -> Needed:
    """Plan what changes the resources of a container that goes on; it may have to be started anew instead."""
    current = having(latest)
    if latest.state is not ContainerState.RUNNING or current is None:
        return Needed()
    wanted = needed(container, (container.get("resources") or {}, pod["spec"].get("resources")), current)
    if wanted.update:
        plan.resize.append(Resize(container, latest, wanted.update))
    return wanted


def _resize_kill(container: Tree, latest: Container) -> Kill:
    return Kill(latest, f"Container {container['name']} resize requires restart")


def _definition_changed(container: Tree, latest: Container) -> bool:
    return latest.config.annotations.get(HASH) != container_hash(container)
