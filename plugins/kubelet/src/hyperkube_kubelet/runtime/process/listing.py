"""The reaper's lists as values. What never changes of a container is read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

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

T = TypeVar("T")

_MOST = 2000
"""How many are remembered, far more than a node has; then all are forgotten, those with them that are gone."""


class Listing:
    """Remembers configurations between lists."""

    def __init__(self) -> None:
        self._sandboxes: dict[str, SandboxConfig] = {}
        self._containers: dict[str, ContainerConfig] = {}

    def sandboxes(self, answer: dict[str, Any]) -> list[Sandbox]:
        """The sandboxes of an answer, the newest first."""
        found = [self._sandbox(document) for document in answer["items"]]
        return sorted(found, key=lambda sandbox: sandbox.created_at, reverse=True)

    def _sandbox(self, document: dict[str, Any]) -> Sandbox:
        return Sandbox(
            id=document["id"],
            config=_remembered(self._sandboxes, SandboxConfig, document),
            state=SandboxState(document["state"]),
            created_at=document["created_at"],
            ips=(document["ip"],) if document["ip"] else (),
        )

    def forget(self, container_id: str) -> None:
        """Read a container's configuration anew: it was changed."""
        self._containers.pop(container_id, None)

    def containers(self, answer: dict[str, Any]) -> list[Container]:
        """The containers of an answer, the newest first."""
        found = [self._container(document) for document in answer["items"]]
        return sorted(found, key=lambda container: container.created_at, reverse=True)

    def _container(self, document: dict[str, Any]) -> Container:
        started = bool(document["started_at"])
        return Container(
            id=document["id"],
            sandbox_id=document["sandbox_id"],
            config=_remembered(self._containers, ContainerConfig, document),
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


def _remembered(known: dict[str, T], kind: type[T], document: dict[str, Any]) -> T:
    """The configuration in `document`, which takes long to read and is always the same."""
    if (config := known.get(document["id"])) is None:
        if len(known) >= _MOST:
            known.clear()
        config = known[document["id"]] = decode(kind, document["config"])
    return config
