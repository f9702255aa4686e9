"""What the runtime has of one pod, and what the kubelet has written on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hyperkube_kubelet.podspec import Tree, containers
from hyperkube_kubelet.runtime.values import Container, ContainerState, Sandbox, SandboxState

__all__ = [
    "CONTAINER_NAME",
    "HASH",
    "POD_NAME",
    "POD_NAMESPACE",
    "POD_UID",
    "RESOURCES",
    "RESTART_COUNT",
    "WHOLE",
    "Having",
    "Observed",
    "container_hash",
    "having",
    "having_now",
    "resources_of",
    "restart_count",
]

# Source: k8s.io/kubernetes/pkg/kubelet/types/labels.go and kuberuntime/labels.go.
POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
RESOURCES = "hyperkube.io/resources"
"""What a container was started with, as JSON: its pod may ask for more meanwhile."""
WHOLE = "hyperkube.io/pod-resources"
"""What its pod as a whole had then, as JSON; only where something was told of that."""

Having = tuple[Tree, Tree | None]
"""The resources of a container, and those of its pod as a whole."""

_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193


@dataclass(frozen=True, slots=True)
class Observed:
    """Sandboxes and containers of one pod, the newest first, also those that have ended."""

    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()

    def latest(self, name: str) -> Container | None:
        """The newest run of the container of that name."""
        return next(self.runs(name), None)

    def runs(self, name: str) -> Iterator[Container]:
        return (container for container in self.containers if container.config.name == name)

    @property
    def running(self) -> tuple[Container, ...]:
        """What may still do something: a container of unknown state is not known to have ended."""
        alive = (ContainerState.RUNNING, ContainerState.UNKNOWN)
        return tuple(container for container in self.containers if container.state in alive)

    @property
    def ready_sandbox(self) -> Sandbox | None:
        """The newest sandbox, if it is ready."""
        newest = self.sandboxes[0] if self.sandboxes else None
        return newest if newest is not None and newest.state is SandboxState.READY else None

    @property
    def ips(self) -> tuple[str, ...]:
        """The addresses of the pod; none unless its sandbox is ready."""
        sandbox = self.ready_sandbox
        return sandbox.ips if sandbox is not None else ()

    def has_begun(self, pod: Tree) -> bool:
        """Whether a regular container was ever created, and so all init containers have done their part."""
        known = (ContainerState.CREATED, ContainerState.RUNNING, ContainerState.EXITED)
        latest = (self.latest(container["name"]) for container in containers(pod))
        return any(container is not None and container.state in known for container in latest)


def container_hash(container: Tree) -> str:
    """Tells apart what a running container can't be changed to: its name and its image.

    As upstream's kubelet has it, so that each finds the other's containers as they should be: FNV-1a over the bytes of
    a JSON text as Go prints them. Source: k8s.io/kubernetes/pkg/kubelet/container (HashContainer).
    """
    picked = json.dumps({"image": container.get("image", ""), "name": container["name"]}, separators=(",", ":"))
    printed = f"([]uint8)[{' '.join(map(str, picked.encode()))}]"
    found = _FNV_OFFSET
    for byte in printed.encode():
        found = (found ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return f"{found:x}"


def restart_count(container: Container) -> int:
    """How many runs there were before this one."""
    return int(container.config.annotations.get(RESTART_COUNT, container.config.attempt))


def having(container: Container) -> Having | None:
    """What a run has, as it was started or last changed; None where that isn't known."""
    own = container.config.annotations.get(RESOURCES)
    if own is None:
        return None
    return json.loads(own), json.loads(container.config.annotations.get(WHOLE, "null"))


def having_now(container: Container, changed: Having) -> Container:
    """The run with what it was changed to, which its labels can't follow."""
    own, whole = changed
    annotations = {**container.config.annotations, RESOURCES: json.dumps(own), WHOLE: json.dumps(whole)}
    return replace(container, config=replace(container.config, annotations=annotations))


def resources_of(spec: Tree, container: Container) -> Tree:
    """The resources that a run has: its own while it runs, and then those that the spec asks for.

    Of what its pod as a whole is limited to, which limits it where it has no limit of its own, only a container with
    other limits tells, as upstream's do.
    """
    has = having(container) if container.state is ContainerState.RUNNING else None
    if has is None:
        return spec.get("resources") or {}
    own, whole = has
    if not own.get("limits") or not whole:
        return dict(own)
    of_pod = {name: amount for name, amount in (whole.get("limits") or {}).items() if name in ("cpu", "memory")}
    return {**own, "limits": {**of_pod, **own["limits"]}}
