"""The reaper's lists as values. What never changes of a container is read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hyperkube_kubelet.runtime.process.codec import decode
from hyperkube_kubelet.runtime.values import (
    Container,
    ContainerConfig,
    ContainerState,
    Sandbox,
    SandboxConfig,
    SandboxState,
)

__all__ = ["Listing"]


class Listing:
    """Remembers configurations between lists."""

    def __init__(self) -> None:
        self._sandboxes: dict[str, SandboxConfig] = {}
        self._containers: dict[str, ContainerConfig] = {}

    def sandboxes(self, answer: dict[str, Any]) -> list[Sandbox]:
        """The sandboxes of an answer, the newest first."""
        documents = answer["sandboxes"]
        for document in documents:
            if document["id"] not in self._sandboxes:
                self._sandboxes[document["id"]] = decode(SandboxConfig, document["config"])
        if answer["complete"]:
            self._sandboxes = {document["id"]: self._sandboxes[document["id"]] for document in documents}
        found = [self._sandbox(document) for document in documents]
        return sorted(found, key=lambda sandbox: sandbox.created_at, reverse=True)

    def _sandbox(self, document: dict[str, Any]) -> Sandbox:
        return Sandbox(
            id=document["id"],
            config=self._sandboxes[document["id"]],
            state=SandboxState(document["state"]),
            created_at=document["created_at"],
            ips=(document["ip"],) if document["ip"] else (),
        )

    def containers(self, answer: dict[str, Any]) -> list[Container]:
        """The containers of an answer, the newest first."""
        documents = answer["containers"]
        for document in documents:
            if document["id"] not in self._containers:
                self._containers[document["id"]] = decode(ContainerConfig, document["config"])
        if answer["complete"]:
            self._containers = {document["id"]: self._containers[document["id"]] for document in documents}
        found = [self._container(document) for document in documents]
        return sorted(found, key=lambda container: container.created_at, reverse=True)

    def _container(self, document: dict[str, Any]) -> Container:
        started = bool(document["started_at"])
        return Container(
            id=document["id"],
            sandbox_id=document["sandbox_id"],
            config=self._containers[document["id"]],
            image_id=document["image_id"],
            image_ref=document["image_ref"],
            state=ContainerState(document["state"]),
            created_at=document["created_at"],
            started_at=document["started_at"],
            finished_at=document["finished_at"],
            exit_code=document["exit_code"],
            signal=document["signal"],
            reason=document["reason"],
            message=document["message"],
            user=(document["uid"], document["gid"], tuple(document["groups"])) if started else None,
            log_path=Path(document["log_path"]) if document["log_path"] else None,
        )
