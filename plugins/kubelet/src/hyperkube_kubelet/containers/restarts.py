"""Whether a container that has ended is started again.

Source: k8s.io/kubernetes/pkg/api/v1/pod/util.go and pkg/kubelet/container/helpers.go.
"""

from __future__ import annotations

from hyperkube_kubelet.containers.observed import Observed
from hyperkube_kubelet.podspec import Tree, restart_policy
from hyperkube_kubelet.runtime.values import ContainerState
from hyperkube_machinery import meta

__all__ = ["restarts_after", "restarts_killed", "restarts_latest"]


def restarts_after(container: Tree, pod: Tree, exit_code: int) -> bool:
    """Whether the policies say so of a run that ended with `exit_code`: a rule, the container's, else the pod's."""
    for rule in container.get("restartPolicyRules") or ():
        if _matches(rule, exit_code):
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


def _matches(rule: Tree, exit_code: int) -> bool:
    codes = rule.get("exitCodes") or {}
    values = codes.get("values") or ()
    match codes.get("operator"):
        case "In":
            return exit_code in values
        case "NotIn":
            return exit_code not in values
    return False
