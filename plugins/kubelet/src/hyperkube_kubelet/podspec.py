"""Reading pods, which are plain trees. Nothing here changes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from hyperkube_machinery import meta

__all__ = [
    "CONFIG_HASH",
    "CONFIG_MIRROR",
    "CONFIG_SEEN",
    "CONFIG_SOURCE",
    "TERMINAL_PHASES",
    "ContainerKind",
    "Tree",
    "all_containers",
    "condition_of",
    "container_named",
    "containers",
    "described",
    "ephemeral_containers",
    "full_name",
    "init_containers",
    "is_mirror",
    "is_sidecar",
    "is_static",
    "is_terminal",
    "kind_of",
    "phase_of",
    "restart_policy",
    "shown_names",
    "status_of",
    "uses_host_network",
]

Tree = Mapping[str, Any]
ContainerKind = Literal["init", "regular", "ephemeral"]

# What marks pods that are not from the API server. Source: k8s.io/kubernetes/pkg/kubelet/types.
CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_MIRROR = "kubernetes.io/config.mirror"
CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_SEEN = "kubernetes.io/config.seen"

TERMINAL_PHASES = ("Succeeded", "Failed")


def init_containers(pod: Tree) -> Sequence[Tree]:
    return pod["spec"].get("initContainers") or ()


def containers(pod: Tree) -> Sequence[Tree]:
    return pod["spec"].get("containers") or ()


def ephemeral_containers(pod: Tree) -> Sequence[Tree]:
    return pod["spec"].get("ephemeralContainers") or ()


def all_containers(pod: Tree) -> Iterator[Tree]:
    yield from init_containers(pod)
    yield from containers(pod)
    yield from ephemeral_containers(pod)


def container_named(pod: Tree, name: str) -> Tree | None:
    return next((container for container in all_containers(pod) if container["name"] == name), None)


def kind_of(pod: Tree, name: str) -> ContainerKind:
    """Which of its three lists a container of the pod stands in."""
    if any(container["name"] == name for container in init_containers(pod)):
        return "init"
    if any(container["name"] == name for container in ephemeral_containers(pod)):
        return "ephemeral"
    return "regular"


def is_sidecar(container: Tree) -> bool:
    """Of an init container: whether it goes on beside the regular ones."""
    return container.get("restartPolicy") == "Always"


def restart_policy(pod: Tree) -> str:
    return pod["spec"].get("restartPolicy") or "Always"


def uses_host_network(pod: Tree) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def is_static(pod: Tree) -> bool:
    """Whether the pod is from a file rather than from the API server."""
    return meta.annotations_of(pod).get(CONFIG_SOURCE, "api") != "api"


def is_mirror(pod: Tree) -> bool:
    """Whether the object only shows a static pod of this node to the API server's clients."""
    return CONFIG_MIRROR in meta.annotations_of(pod)


def status_of(pod: Tree) -> Tree:
    return pod.get("status") or {}


def phase_of(status: Tree) -> str:
    return status.get("phase") or ""


def is_terminal(status: Tree) -> bool:
    return phase_of(status) in TERMINAL_PHASES


def condition_of(status: Tree, kind: str) -> Tree | None:
    return next((condition for condition in status.get("conditions") or () if condition["type"] == kind), None)


def full_name(pod: Tree) -> str:
    """What a static pod is told from others by, whatever its uid."""
    return f"{meta.name(pod)}_{meta.namespace(pod)}"


def described(pod: Tree) -> str:
    """How messages name a pod. Source: k8s.io/kubernetes/pkg/kubelet/util/format."""
    return f"{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})"


def shown_names(names: Sequence[str]) -> str:
    """A list as messages show it: `[a b]`."""
    return f"[{' '.join(names)}]"
