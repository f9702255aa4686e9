"""What the runtime has of each pod."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from hyperkube_kubelet.containers.config import TERMINATION_MESSAGE_PATH, TERMINATION_MESSAGE_POLICY
from hyperkube_kubelet.containers.observed import Having, Observed, having_now
from hyperkube_kubelet.runtime.errors import NotFound
from hyperkube_kubelet.runtime.interface import Runtime
from hyperkube_kubelet.runtime.values import Container, ContainerState

__all__ = ["Sightings", "last_words"]

LONGEST_MESSAGE = 4096
LONGEST_LOG_MESSAGE = 2048
LOG_LINES = 80


class Sightings:
    """Which sandboxes each pod has; what is in them is asked anew each time."""

    def __init__(self, runtime: Runtime, changed: Callable[[str], Mapping[str, Having]] = lambda uid: {}) -> None:
        """`changed`: tells what containers of a pod were changed to since they were started, by their ids."""
        self._runtime = runtime
        self._changed = changed
        self._sandboxes: dict[str, dict[str, int]] = {}  # by uid of the pod: ids and their attempts
        self._uids: dict[str, str] = {}  # by id of the sandbox

    async def refresh(self, uid: str = "") -> None:
        """Ask the runtime for all that there is, or all of one pod; what is gone is noticed when it is looked at."""
        for sandbox in await self._runtime.sandboxes(uid=uid):
            self.add(sandbox.config.uid, sandbox.id, sandbox.config.attempt)

    def add(self, uid: str, sandbox_id: str, attempt: int) -> None:
        self._sandboxes.setdefault(uid, {})[sandbox_id] = attempt
        self._uids[sandbox_id] = uid

    def remove(self, sandbox_id: str) -> None:
        uid = self._uids.pop(sandbox_id, "")
        of_pod = self._sandboxes.get(uid)
        if of_pod is not None:
            of_pod.pop(sandbox_id, None)
            if not of_pod:
                del self._sandboxes[uid]

    def uid_of(self, sandbox_id: str) -> str:
        """The pod that a sandbox is of; "" for one that is not known."""
        return self._uids.get(sandbox_id, "")

    def uids(self) -> list[str]:
        """The pods that have a sandbox."""
        return list(self._sandboxes)

    async def observe(self, uid: str) -> Observed:
        """What there is of one pod, with the last words of containers that have ended."""
        sandboxes = []
        containers: list[Container] = []
        for sandbox_id, _ in sorted(self._sandboxes.get(uid, {}).items(), key=lambda item: -item[1]):
            try:
                sandboxes.append(await self._runtime.sandbox(sandbox_id))
                containers += await self._runtime.containers(sandbox_id=sandbox_id)
            except NotFound:
                self.remove(sandbox_id)
        containers.sort(key=lambda container: (container.created_at, container.config.attempt), reverse=True)
        changed = self._changed(uid)
        if changed:
            containers = [
                having_now(container, changed[container.id]) if container.id in changed else container
                for container in containers
            ]
        return Observed(tuple(sandboxes), tuple(last_words(container) for container in containers))


def last_words(container: Container) -> Container:
    """The container with what it left as its termination message."""
    if container.state is not ContainerState.EXITED:
        return container
    path = container.config.annotations.get(TERMINATION_MESSAGE_PATH, "")
    # Where a part of a volume stands in for the file, whoever writes in the volume could make it a link to any other.
    found = (mount for mount in container.config.mounts if mount.container_path == path and not mount.resolved)
    file = next((mount.host_path for mount in found), None)
    words = _beginning(file) if file is not None else ""
    falls_back = container.config.annotations.get(TERMINATION_MESSAGE_POLICY) == "FallbackToLogsOnError"
    if not words and falls_back and container.exit_code != 0 and container.log_path is not None:
        words = _end_of_log(container.log_path)
    return replace(container, message=words or container.message)


def _beginning(file: Path) -> str:
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:  # it might be a pipe
            return opened.read(LONGEST_MESSAGE).decode("utf-8", "replace")
    except OSError:
        return ""


def _end_of_log(file: Path) -> str:
    """The texts of the last lines; each line has a time, a stream and a tag before it."""
    try:
        with file.open("rb") as opened:
            opened.seek(0, 2)
            opened.seek(max(0, opened.tell() - 4 * LONGEST_LOG_MESSAGE))
            lines = opened.read().decode("utf-8", "replace").splitlines(keepends=True)[-LOG_LINES:]
    except OSError:
        return ""
    texts = [line.split(" ", 3)[3] for line in lines if line.count(" ") >= 3]
    return "".join(texts)[-LONGEST_LOG_MESSAGE:]
