"""What the runtime has of one pod, and what the kubelet has written on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

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
    "Observed",
    "container_hash",
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
    """Tells apart what a running container can't be changed to: its name and its image."""
    picked = json.dumps([container["name"], container.get("image", "")])
    return hashlib.sha256(picked.encode()).hexdigest()[:16]


def restart_count(container: Container) -> int:
    """How many runs there were before this one."""
    return int(container.config.annotations.get(RESTART_COUNT, container.config.attempt))


def resources_of(spec: Tree, container: Container) -> Tree:
    """The resources that a run has: those it was started with while it runs, and then those that the spec asks for."""
    known = container.config.annotations.get(RESOURCES)
    if known is None or container.state is not ContainerState.RUNNING:
        return spec.get("resources") or {}
    return dict(json.loads(known))
