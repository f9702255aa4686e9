"""What the kubelet relies on in whatever runs its containers.

The shapes and promises are those of the container runtime interface (CRI), in Python: a call that is made again has
the same effect as one call, stopping or removing what is gone is no error, and what one call has answered the next one
sees.
Source: k8s.io/cri-api/pkg/apis/services.go.

A container's log is CRI's as well: a line is `2026-01-02T03:04:05.000000006Z stdout F text`, with `P` for a piece of a
line that goes on in the next one. `logformat` reads and writes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from hyperkube_kubelet.runtime.values import (
    Container,
    ContainerConfig,
    ContainerStats,
    Credentials,
    Event,
    ExecResult,
    FilesystemUsage,
    Image,
    RuntimeStatus,
    Sandbox,
    SandboxConfig,
    SandboxStats,
)
from hyperkube_machinery.podnetwork import PodNetwork
from hyperkube_machinery.streaming.ports import PortConnection
from hyperkube_machinery.streaming.sessions import Session, Stream

__all__ = ["Runtime", "Session", "Stream"]


class Runtime(Protocol):
    """Runs sandboxes and containers. Every call may raise a `RuntimeFailure`; its class says which."""

    @property
    def network(self) -> PodNetwork:
        """The network that pods are in, for probes and whoever else speaks to them."""

    @property
    def seen_at(self) -> float | None:
        """When it was last looked at what runs, in monotonic seconds; None for a runtime that is the kubelet's own."""

    async def status(self) -> RuntimeStatus:
        """Whether pods can be run now, and what this machine can't do for them."""

    async def use_pod_cidr(self, pod_cidr: str) -> None:
        """Take the addresses of pods from this range, or two of them with a comma between, from now on.

        Nothing happens where somebody else sees to the network.
        """

    # Sandboxes

    async def run_sandbox(self, config: SandboxConfig) -> str:
        """Make a sandbox with its network and return its id; when this returns it is ready.

        One that a broken-off call for the same uid and attempt left is taken over.
        """

    async def stop_sandbox(self, sandbox_id: str) -> None:
        """Kill what runs in it, at once, and give its network back."""

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Stop it and forget it, with its containers and their root file systems; logs stay, for the kubelet."""

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        """Raises NotFound."""

    async def sandboxes(self, *, uid: str = "") -> list[Sandbox]:
        """All, or those of one pod, the newest first; of their addresses not every runtime tells here."""

    # Containers

    async def create_container(
        self, sandbox_id: str, config: ContainerConfig, *, pod: SandboxConfig | None = None
    ) -> str:
        """Prepare a container and return its id.

        `pod`: what the sandbox is made from, which not every runtime keeps by itself for kubelets that come later.

        Raises InvalidConfig for what can't be had here (a user, a mount), ImageUnavailable, NotFound (the sandbox).
        """

    async def start_container(self, container_id: str) -> None:
        """Start it; when this returns its program runs.

        Raises StartFailed where the program can't be started: the container has then exited with reason StartError
        (code 127 where there is no such program, 126 where it can't be executed, else 128).
        """

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        """Send the stop signal, SIGKILL after `grace_seconds` (at once for 0), and return when it has exited.

        Cancelling the wait leaves the container under its sentence; a later call with less grace shortens it.
        """

    async def remove_container(self, container_id: str) -> None:
        """Kill it if it runs, and forget it with its root file system; the log stays."""

    async def container(self, container_id: str) -> Container:
        """Raises NotFound."""

    async def containers(self, *, sandbox_id: str = "") -> list[Container]:
        """All, or those of one sandbox, the newest first."""

    async def stats(self) -> list[ContainerStats]:
        """Of the containers that run."""

    async def sandbox_stats(self) -> list[SandboxStats]:
        """Of the sandboxes that are ready, as far as the runtime tells."""

    async def update_limits(self, container_id: str, config: ContainerConfig) -> None:
        """Hold a running container to the limits of `config` from now on. Raises Unsupported."""

    # Processes and streams

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: float = 0.0) -> ExecResult:
        """Run a command in a running container to its end.

        Raises ExecTimeout when it took longer than `timeout_seconds` (0: no limit) and was killed, ExecFailed where it
        can't be started, NotFound, NotRunning.
        """

    def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> AbstractAsyncContextManager[Session]:
        """Run a command in a running container for the length of the block; what still runs then is killed.

        Raises ExecFailed, NotFound, NotRunning on entering.
        """

    def attach(
        self, container_id: str, *, tty: bool = False, stdin: bool = False
    ) -> AbstractAsyncContextManager[Session]:
        """Take part in a running container's own streams for the length of the block.

        `tty`: whether it was made with a terminal. Input is passed on only where it was made with `stdin`. Raises
        NotFound, NotRunning on entering.
        """

    def dial(self, sandbox_id: str, port: int) -> AbstractAsyncContextManager[PortConnection]:
        """A TCP connection to `port` of localhost as the sandbox sees it, for the length of the block.

        Raises OSError as connect does, NotFound; or what it reads raises StreamingError, where somebody else connects.
        """

    # What only the runtime can do with a pod's folders

    async def mount_memory(self, path: Path, size_bytes: int) -> None:
        """Let containers find a file system in memory at `path`, which is a folder; one that is there stays as it is.

        `size_bytes` 0 is half of the machine's memory. Raises Unsupported where it can't be had.
        """

    async def unmount_memory(self, path: Path) -> None:
        """Take it away with all that is in it; nothing happens where there is none."""

    async def remove_tree(self, path: Path) -> None:
        """Remove a folder of a pod with all in it, also what belongs to users whom only the runtime may act for."""

    # Images

    async def image(self, reference: str) -> Image | None:
        """The image that `reference` (a name, a digest or an id) means here, or None. Raises InvalidImageName."""

    async def images(self) -> list[Image]:
        """All that the node has."""

    async def pull_image(self, reference: str, *, credentials: Credentials | None = None) -> str:
        """Have the image and return its id. Raises ImageUnavailable, with what to do about it, or InvalidImageName."""

    async def remove_image(self, reference: str) -> None:
        """Forget it; nothing happens where there is none."""

    async def image_usage(self) -> FilesystemUsage:
        """What images take."""

    async def container_usage(self) -> FilesystemUsage:
        """What containers take in their own layers; the same place as that of images for most."""

    # Events

    def events(self) -> AsyncIterator[Event]:
        """What happens from now on, without a gap. Raises RuntimeUnavailable when it breaks off: then list again."""
