"""Events of pods and of their containers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from hyperkube_kubelet.podspec import Tree, kind_of
from hyperkube_machinery import meta

__all__ = ["LogRecorder", "Recorder", "container_reference", "node_reference", "pod_reference"]

log = logging.getLogger(__name__)

_LISTS = {"init": "initContainers", "regular": "containers", "ephemeral": "ephemeralContainers"}


class Recorder(Protocol):
    """Tells the API server of something, some time later; never waits and never fails."""

    def event(
        self,
        subject: Mapping[str, Any],
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> None: ...


class LogRecorder:
    """For a kubelet without an API server: events are lines of its log."""

    def event(
        self,
        subject: Mapping[str, Any],
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        about = subject.get("metadata") or subject
        level = logging.WARNING if kind == "Warning" else logging.INFO
        whose = f"{about['namespace']}/{about['name']}" if about.get("namespace") else about.get("name")
        log.log(level, "%s %s: %s: %s", (subject.get("kind") or "pod").lower(), whose, reason, message)


def node_reference(name: str) -> dict[str, Any]:
    """What an event of the node is about. Its uid is not asked for: upstream's kubelets say the name there."""
    return {"kind": "Node", "apiVersion": "v1", "name": name, "uid": name}


def pod_reference(pod: Tree) -> dict[str, Any]:
    """What an event of the whole pod is about."""
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "namespace": meta.namespace(pod),
        "name": meta.name(pod),
        "uid": meta.uid(pod),
        "resourceVersion": meta.resource_version(pod),
    }


def container_reference(pod: Tree, container: Tree) -> dict[str, Any]:
    """What an event of one of its containers is about."""
    name = container["name"]
    return {**pod_reference(pod), "fieldPath": f"spec.{_LISTS[kind_of(pod, name)]}{{{name}}}"}
