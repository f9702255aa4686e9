"""Whether a container that has ended is started again.

Source: k8s.io/kubernetes/pkg/api/v1/pod/util.go and pkg/kubelet/container/helpers.go.
"""

from __future__ import annotations

from hyperkube_kubelet.containers.observed import Observed
from hyperkube_kubelet.podspec import Tree, containers, init_containers, restart_policy
from hyperkube_kubelet.runtime.values import Container, ContainerState
from hyperkube_machinery import meta

__all__ = ["could_restart_all", "restarts_after", "restarts_killed", "restarts_latest", "runs_to_reset"]


RESTART_ALL = "RestartAllContainers"


def restarts_after(container: Tree, pod: Tree, exit_code: int) -> bool:
    """Whether the policies say so of a run that ended with `exit_code`: a rule, the container's, else the pod's."""
    if _action(container, exit_code):
        return True  # both actions that a rule may have start this container again
    policy = container.get("restartPolicy") or restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def restarts_killed(container: Tree, pod: Tree) -> bool:
    """Whether a container that the kubelet kills for its probe is started again; rules want an exit code."""
    return (container.get("restartPolicy") or restart_policy(pod)) != "Never"


def restarts_latest(container: Tree, pod: Tree, observed: Observed) -> bool:
    """Whether the container is to be started now, as far as policies go."""
    if meta.deletion_timestamp(pod) is not None:
        return False
    latest = observed.latest(container["name"])
    if latest is None:
        return True
    if latest.state is ContainerState.RUNNING:
        return False
    if latest.state is not ContainerState.EXITED:
        return True
    return restarts_after(container, pod, latest.exit_code)


def could_restart_all(pod: Tree) -> bool:
    """Whether a rule of any container begins the whole pod anew."""
    holders = [*init_containers(pod), *containers(pod)]
    return any(rule.get("action") == RESTART_ALL for one in holders for rule in one.get("restartPolicyRules") or ())


def runs_to_reset(pod: Tree, observed: Observed) -> list[Container]:
    """The runs to be forgotten, where the end of one begins the whole pod anew: those ends come last.

    As long as one of them is left, whoever looks again finds that there is something to be done.
    """
    if not could_restart_all(pod):
        return []
    others: list[Container] = []
    causes: list[Container] = []
    for container in (*containers(pod), *init_containers(pod)):
        for run in observed.runs(container["name"]):
            ended = run.state is ContainerState.EXITED
            (causes if ended and _action(container, run.exit_code) == RESTART_ALL else others).append(run)
    latest = {run.config.name: run for run in reversed(observed.containers)}
    return [*others, *causes] if any(latest[cause.config.name] is cause for cause in causes) else []


def _action(container: Tree, exit_code: int) -> str:
    """What the first rule that fits says, or ""."""
    rules = container.get("restartPolicyRules") or ()
    return next((rule.get("action") or "Restart" for rule in rules if _matches(rule, exit_code)), "")


def _matches(rule: Tree, exit_code: int) -> bool:
    codes = rule.get("exitCodes") or {}
    values = codes.get("values") or ()
    match codes.get("operator"):
        case "In":
            return exit_code in values
        case "NotIn":
            return exit_code not in values
    return False
