"""What a node's object and its status say. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/nodestatus/setters.go, initialNode in pkg/kubelet/kubelet_node_status.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.node.machine import Machine
from hyperkube_kubelet.runtime.values import Image, RuntimeHandler, RuntimeStatus
from hyperkube_machinery.release import KUBERNETES
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["NodeView", "changed", "default_labels", "new_node", "node_status"]

Tree = Mapping[str, Any]

_FEATURES = (
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
)
"""What API servers and schedulers may rely on. Source: k8s.io/component-helpers/nodedeclaredfeatures."""
_MOST_NAMES = 5
"""Of an image, in a node's status."""
_PRESSURES = (
    (
        "MemoryPressure",
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ),
    (
        "DiskPressure",
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ),
    (
        "PIDPressure",
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ),
)
"""By condition what is said where it doesn't hold, and where it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """All that a node's status is made from."""

    facts: NodeFacts
    machine: Machine
    runtime: RuntimeStatus
    images: Sequence[Image]
    port: int  # of the kubelet's API; 0 where it has none
    most_images: int = 50  # -1: all of them
    pressures: frozenset[str] = frozenset()  # conditions that eviction tells of: MemoryPressure …
    not_ready: tuple[str, ...] = ()  # what else keeps the node from being ready
    provided_ips: str = ""  # addresses to tell a cloud's controller of, where there is one


def default_labels(name: str, machine: Machine) -> dict[str, str]:
    """What every kubelet labels its node with."""
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": machine.operating_system,
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": machine.operating_system,
    }


def new_node(view: NodeView, *, taints: Iterable[tuple[str, str, str]], provider_id: str, now: float) -> dict[str, Any]:
    """The object that a node is registered with; `taints` are keys, values and effects."""
    spec: dict[str, Any] = {}
    if provider_id:
        spec["providerID"] = provider_id
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    if view.provided_ips:
        annotations["alpha.kubernetes.io/provided-node-ip"] = view.provided_ips
    wanted = [_taint(*taint) for taint in taints]
    if wanted:
        spec["taints"] = wanted
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": view.facts.name,
            "labels": dict(view.facts.labels),
            "annotations": annotations,
        },
        "spec": spec,
        "status": node_status(view, {}, now),
    }


def _taint(key: str, value: str, effect: str) -> dict[str, str]:
    return {"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect}


def node_status(view: NodeView, before: Tree, now: float) -> dict[str, Any]:
    """The part of a node's status that its kubelet writes; `before` is the whole status as it was."""
    facts, machine, runtime = view.facts, view.machine, view.runtime
    status: dict[str, Any] = {
        "addresses": [
            *({"type": "InternalIP", "address": address} for address in facts.ips),
            {"type": "Hostname", "address": facts.name},
        ],
        "allocatable": dict(facts.allocatable),
        "capacity": dict(facts.capacity),
        "conditions": _conditions(view, before.get("conditions") or (), format_seconds(now)),
        "declaredFeatures": list(_FEATURES),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": view.port}},
        "images": _images(view.images, view.most_images),
        "nodeInfo": {
            "architecture": machine.architecture,
            "bootID": machine.boot_id,
            "containerRuntimeVersion": f"{runtime.name}://{runtime.version}",
            "kernelVersion": machine.kernel_version,
            "kubeProxyVersion": "",
            "kubeletVersion": KUBERNETES,
            "machineID": machine.machine_id,
            "operatingSystem": machine.operating_system,
            "osImage": machine.os_image,
            "systemUUID": machine.system_uuid,
        },
    }
    if runtime.handlers:
        status["runtimeHandlers"] = [_handler(one) for one in sorted(runtime.handlers, key=lambda one: one.name)]
    if runtime.features is not None:
        status["features"] = {"supplementalGroupsPolicy": runtime.features.supplemental_groups_policy}
    if machine.swap_bytes:
        status["nodeInfo"]["swap"] = {"capacity": machine.swap_bytes}
    return status


def _handler(handler: RuntimeHandler) -> dict[str, Any]:
    features = {
        "recursiveReadOnlyMounts": handler.recursive_readonly_mounts,
        "userNamespaces": handler.user_namespaces,
    }
    return {"name": handler.name, "features": features}


def changed(before: Tree, after: Tree) -> bool:
    """Whether a status says something new, its heartbeats aside."""
    return _without_heartbeats(before, after) != _without_heartbeats(after, after)


def _without_heartbeats(status: Tree, model: Tree) -> dict[str, Any]:
    """Of `status` what `model` has too: the rest is somebody else's."""
    kinds = {condition["type"] for condition in model.get("conditions") or ()}
    # What is empty isn't stored, and says what its absence does.
    found: dict[str, Any] = {name: status.get(name) or None for name in model if name != "conditions"}
    found["conditions"] = {
        condition["type"]: {name: value for name, value in condition.items() if name != "lastHeartbeatTime"}
        for condition in status.get("conditions") or ()
        if condition["type"] in kinds
    }
    return found


def _conditions(view: NodeView, before: Iterable[Tree], now: str) -> list[dict[str, Any]]:
    known = {condition["type"]: condition for condition in before}

    def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
        last = known.get(kind)
        since = last["lastTransitionTime"] if last is not None and last["status"] == status else now
        return {
            "type": kind,
            "status": status,
            "lastHeartbeatTime": now,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }

    limits = {limitation.reason: limitation.message for limitation in view.runtime.limitations}
    conditions = [
        condition(kind, "True", *pressed) if kind in view.pressures else condition(kind, "False", *relieved)
        for kind, relieved, pressed in _PRESSURES
    ]
    conditions += [condition(reason, "True", reason, message) for reason, message in sorted(limits.items())]
    conditions += [
        condition(kind, "False", "NotLimited", "this machine can do it now")
        for kind, last in known.items()
        if last.get("reason") == kind and kind not in limits  # it could not, when this was last written
    ]
    # Last, for clients that look at a node's conditions take its readiness for the newest word.
    return [*conditions, _ready(view, condition)]


def _ready(view: NodeView, condition: Callable[[str, str, str, str], dict[str, Any]]) -> dict[str, Any]:
    runtime, wrong = view.runtime, list(view.not_ready)
    if not runtime.ready:
        why = _why("RuntimeReady", runtime.ready_reason, runtime.ready_message)
        wrong.append(f"container runtime not ready: {why}")
    if not runtime.network_ready:
        why = _why("NetworkReady", runtime.network_reason, runtime.network_message)
        wrong.append(f"container runtime network not ready: {why}")
    if not wrong:
        return condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    text = wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]"
    return condition("Ready", "False", "KubeletNotReady", text)


def _why(condition: str, reason: str, message: str) -> str:
    return f"{condition}=false reason:{reason} message:{message}" if reason else message


def _images(images: Iterable[Image], most: int) -> list[dict[str, Any]]:
    """The largest first."""
    ordered = sorted(images, key=lambda image: -image.size)
    return [
        {"names": [*image.digests, *image.tags][:_MOST_NAMES], "sizeBytes": image.size}
        for image in (ordered if most < 0 else ordered[:most])
    ]
