"""What a pod's sandbox and its containers are made of, for the runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hyperkube_kubelet.containers.expansion import expand
from hyperkube_kubelet.containers.names import kernel_name
from hyperkube_kubelet.containers.observed import (
    CONTAINER_NAME,
    HASH,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    RESOURCES,
    RESTART_COUNT,
    WHOLE,
    container_hash,
)
from hyperkube_kubelet.containers.security import sandbox_security
from hyperkube_kubelet.containers.sysctls import normalized
from hyperkube_kubelet.podspec import Tree, containers, init_containers, is_sidecar, kind_of, uses_host_network
from hyperkube_kubelet.runtime.values import (
    CONTAINER_KIND,
    DNS,
    ContainerConfig,
    Limits,
    Mount,
    PortMapping,
    SandboxConfig,
    Security,
)
from hyperkube_machinery import meta

__all__ = ["Made", "container_config", "log_directory_name", "sandbox_config"]

TERMINATION_MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
TERMINATION_MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What had to be found out or made before a container can be described."""

    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    limits: Limits
    security: Security
    attempt: int


def log_directory_name(pod: Tree) -> str:
    """The folder of a pod's logs. Source: k8s.io/kubernetes/pkg/kubelet/kuberuntime/helpers.go."""
    return f"{meta.namespace(pod)}_{meta.name(pod)}_{meta.uid(pod)}"


def sandbox_config(pod: Tree, *, attempt: int, logs: Path, dns: DNS | None, cluster_domain: str) -> SandboxConfig:
    """The sandbox of `pod`. `logs`: the folder that all pods' logs are under. Raises InvalidConfig."""
    spec = pod["spec"]
    names = {POD_NAME: meta.name(pod), POD_NAMESPACE: meta.namespace(pod), POD_UID: meta.uid(pod)}
    context: Tree = spec.get("securityContext") or {}
    return SandboxConfig(
        name=meta.name(pod),
        namespace=meta.namespace(pod),
        uid=meta.uid(pod),
        attempt=attempt,
        labels={**meta.labels_of(pod), **names},
        annotations=dict(meta.annotations_of(pod)),
        hostname="" if uses_host_network(pod) else kernel_name(pod, cluster_domain),
        log_directory=logs / log_directory_name(pod),
        host_network=uses_host_network(pod),
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        share_processes=bool(spec.get("shareProcessNamespace")),
        ports=tuple(_ports(pod)),
        dns=dns,
        security=sandbox_security(pod),
        sysctls={normalized(item["name"]): item["value"] for item in context.get("sysctls") or ()},
    )


def _ports(pod: Tree) -> list[PortMapping]:
    if uses_host_network(pod):
        return []
    sidecars = [container for container in init_containers(pod) if is_sidecar(container)]
    return [
        PortMapping(
            port["containerPort"], port.get("hostPort") or 0, port.get("protocol") or "TCP", port.get("hostIP", "")
        )
        for container in [*sidecars, *containers(pod)]
        for port in container.get("ports") or ()
    ]


def container_config(pod: Tree, container: Tree, made: Made) -> ContainerConfig:
    """One container of `pod`, with what refers to its environment replaced."""
    environment = made.environment
    name = container["name"]
    lifecycle: Tree = container.get("lifecycle") or {}
    return ContainerConfig(
        name=name,
        attempt=made.attempt,
        image=container.get("image") or "",
        command=tuple(expand(word, environment) for word in container.get("command") or ()),
        args=tuple(expand(word, environment) for word in container.get("args") or ()),
        env=tuple(environment.items()),
        working_dir=container.get("workingDir") or "",
        mounts=tuple(made.mounts),
        labels={
            POD_NAME: meta.name(pod),
            POD_NAMESPACE: meta.namespace(pod),
            POD_UID: meta.uid(pod),
            CONTAINER_NAME: name,
        },
        annotations={
            CONTAINER_KIND: _kind(pod, container),
            HASH: container_hash(container),
            RESOURCES: json.dumps(container.get("resources") or {}),
            **({WHOLE: json.dumps(whole)} if (whole := pod["spec"].get("resources")) is not None else {}),
            RESTART_COUNT: str(made.attempt),
            TERMINATION_MESSAGE_PATH: container.get("terminationMessagePath") or "/dev/termination-log",
            TERMINATION_MESSAGE_POLICY: container.get("terminationMessagePolicy") or "File",
            GRACE_PERIOD: str(pod["spec"].get("terminationGracePeriodSeconds", 30)),
        },
        log_path=f"{name}/{made.attempt}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        limits=made.limits,
        security=made.security,
        stop_signal=lifecycle.get("stopSignal") or "",
    )


def _kind(pod: Tree, container: Tree) -> str:
    kind = kind_of(pod, container["name"])
    return "sidecar" if kind == "init" and is_sidecar(container) else kind
