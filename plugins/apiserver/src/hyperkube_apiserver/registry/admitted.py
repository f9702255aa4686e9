"""What the admission plugins that are always on add to new objects.

They stand here, called by the strategies of the kinds they are about, for as long as there is no chain of plugins.
Source: k8s.io/kubernetes/plugin/pkg/admission (defaulttolerationseconds, priority, nodetaint,
runtimeclass, storageobjectinuseprotection).
"""

from __future__ import annotations

from typing import Any

from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.resources import Resource

__all__ = ["add_priority", "add_tolerations", "check_runtime_class", "protect_while_used", "taint_new_node"]

Tree = dict[str, Any]

_TOLERATED_SECONDS = 300
_NOT_READY, _UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
_SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def add_tolerations(pod: Tree) -> None:
    """DefaultTolerationSeconds: stay five minutes on a node that is gone, unless the pod says otherwise."""
    tolerations = pod.setdefault("spec", {}).get("tolerations") or []
    for key in (_NOT_READY, _UNREACHABLE):
        told = any(
            one.get("key", "") in (key, "") and one.get("effect", "") in ("NoExecute", "") for one in tolerations
        )
        if not told:
            tolerations = [
                *tolerations,
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_SECONDS},
            ]
    if tolerations:
        pod["spec"]["tolerations"] = tolerations


def add_priority(pod: Tree, resource: Resource) -> None:
    """Priority: the number behind priorityClassName. Raises 403 for a class that does not exist."""
    spec = pod.setdefault("spec", {})
    name = spec.get("priorityClassName") or ""
    policy = "PreemptLowerPriority"
    if name and name not in _SYSTEM_PRIORITIES:
        raise _refused(pod, resource, f"no PriorityClass with name {name} was found")
    priority = _SYSTEM_PRIORITIES.get(name, 0)
    if spec.get("priority") not in (None, priority):
        why = "the integer value of priority ({}) must not be provided in pod spec; priority admission controller "
        why += "computed {} from the given PriorityClass name"
        raise _refused(pod, resource, why.format(spec["priority"], priority))
    if spec.get("preemptionPolicy") not in (None, policy):
        why = "the string value of PreemptionPolicy ({}) must not be provided in pod spec; priority admission "
        why += "controller computed {} from the given PriorityClass name"
        raise _refused(pod, resource, why.format(spec["preemptionPolicy"], policy))
    spec["priority"] = priority
    spec["preemptionPolicy"] = policy


def _refused(pod: Tree, resource: Resource, why: str) -> APIError:
    name = meta.name(pod)
    details = {"name": name, "kind": resource.resource}
    return APIError.of(403, "Forbidden", f'{resource.qualified} "{name}" is forbidden: {why}', details)


def check_runtime_class(pod: Tree, resource: Resource) -> None:
    """RuntimeClass: none is served yet, so that none can be meant. Raises 403."""
    name = (pod.get("spec") or {}).get("runtimeClassName")
    if name:
        raise _refused(pod, resource, f'pod rejected: RuntimeClass "{name}" not found')


def taint_new_node(node: Tree) -> None:
    """TaintNodesByCondition: nothing is placed on a node before somebody found it ready."""
    spec = node.setdefault("spec", {})
    taints = spec.get("taints") or []
    if not any(one.get("key") == _NOT_READY and one.get("effect") == "NoSchedule" for one in taints):
        spec["taints"] = [*taints, {"key": _NOT_READY, "effect": "NoSchedule"}]


def protect_while_used(volume: Tree, finalizer: str) -> None:
    """StorageObjectInUseProtection: a claim or volume that is in use goes only after its use."""
    mine = meta.ensure_meta(volume)
    finalizers = mine.get("finalizers") or []
    if finalizer not in finalizers:
        mine["finalizers"] = [*finalizers, finalizer]
