"""Containers of a real container runtime, which is spoken to by CRI: containerd, CRI-O."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.runtime.cri import folders
from hyperkube_kubelet.runtime.cri.answers import (
    read_container,
    read_sandbox,
    read_status,
)
from hyperkube_kubelet.runtime.cri.bridge import settle
from hyperkube_kubelet.runtime.cri.client import CRIClient
from hyperkube_kubelet.runtime.cri.images import CRIImages, Named
from hyperkube_kubelet.runtime.cri.logs import LogKeeper
from hyperkube_kubelet.runtime.cri.requests import (
    container_message,
    limits_message,
    sandbox_message,
    whole_seconds,
)
from hyperkube_kubelet.runtime.cri.statistics import read_container_stats, read_sandbox_stats
from hyperkube_kubelet.runtime.cri.streaming import command_at, network_namespace, port_at, port_in
from hyperkube_kubelet.runtime.cri.watching import Watcher
from hyperkube_kubelet.runtime.errors import (
    ExecFailed,
    ExecTimeout,
    NotFound,
    NotRunning,
    RuntimeFailure,
    RuntimeUnavailable,
    Unsupported,
)
from hyperkube_kubelet.runtime.interface import Session
from hyperkube_kubelet.runtime.values import (
    Container,
    ContainerConfig,
    ContainerState,
    ContainerStats,
    Event,
    ExecResult,
    RuntimeStatus,
    Sandbox,
    SandboxConfig,
    SandboxState,
    SandboxStats,
)
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.grpc import Channel
from hyperkube_machinery.podnetwork import HostNetwork, PodNetwork
from hyperkube_machinery.streaming.ports import PortConnection
from hyperkube_machinery.streaming.sessions import Streams

__all__ = ["CRIRuntime", "Settings", "cri_runtime"]

_POD_UID = "io.kubernetes.pod.uid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a runtime is used."""

    socket: Path
    images_socket: Path | None = None  # of who has its images; None: the runtime itself
    request_seconds: float = 120.0
    log_bytes: int = 10 << 20  # how large a log grows
    log_files: int = 5  # how many files there are of it
    addresses: Path | None = None  # where hk's own bridge notes those that are given away; None: no such bridge
    pod_cidr: str = ""  # the range of pods' addresses until somebody says another


@asynccontextmanager
async def cri_runtime(
    settings: Settings, named: Named, clock: Clock, counts: Counts | None = None
) -> AsyncIterator[CRIRuntime]:
    """A runtime for the length of the block; what it runs goes on behind it. `counts` is told what it is asked for."""
    channel = Channel(settings.socket, clock)
    images = Channel(settings.images_socket, clock) if settings.images_socket is not None else channel
    try:
        client = CRIClient(channel, images, settings.request_seconds, clock, counts)
        runtime = CRIRuntime(client, named, settings, clock)
        logs = LogKeeper(
            runtime.logs, runtime.reopen_log, clock, most_bytes=settings.log_bytes, most_files=settings.log_files
        )
        async with companions(logs.run()):
            yield runtime
    finally:
        await channel.close()
        await images.close()


class CRIRuntime(CRIImages):
    """Fits `hyperkube_kubelet.runtime.interface.Runtime`."""

    def __init__(self, client: CRIClient, named: Named, settings: Settings, clock: Clock) -> None:
        super().__init__(client, named)
        self._settings = settings
        self._clock = clock
        self._watcher = Watcher(client, clock)
        self._ranges = _ranges(settings.pod_cidr)
        self._pods: dict[str, SandboxConfig] = {}  # what sandboxes were made from here
        self._ended: dict[str, Container] = {}  # they don't change any more
        self._log_paths: dict[str, Path] = {}  # by container
        self._version: dict[str, Any] | None = None
        self._driver: Literal["", "cgroupfs", "systemd"] | None = None
        self.network: PodNetwork = HostNetwork()

    @property
    def seen_at(self) -> float | None:
        return self._watcher.looked_at

    async def status(self) -> RuntimeStatus:
        version = await self._client.call("Version", {"version": "0.1.0"})
        if version != self._version:  # at first, or it is another one meanwhile
            self._version, self._driver, self._sandbox_image = version, None, None
        if self._driver is None:
            self._driver = await self._cgroup_driver()
        status = read_status(await self._client.call("Status"), version, self._driver)
        if status.ready and not status.network_ready and (why := await self._settle_network()):
            return replace(status, network_message=f"{status.network_message}; {why}")
        return status

    async def _settle_network(self) -> str:
        """Give pods a network where nobody else does; returns why that can't be."""
        if self._settings.addresses is None:
            return ""
        told = await self.told_configuration()
        return await asyncio.to_thread(settle, told, self._ranges, self._settings.addresses)

    async def _cgroup_driver(self) -> Literal["", "cgroupfs", "systemd"]:
        try:
            linux = (await self._client.call("RuntimeConfig"))["linux"]
        except Unsupported:
            return ""
        if linux is None:
            return ""
        return "cgroupfs" if linux["cgroup_driver"] else "systemd"

    async def use_pod_cidr(self, pod_cidr: str) -> None:
        request = {"runtime_config": {"network_config": {"pod_cidr": pod_cidr}}}
        await self._client.call("UpdateRuntimeConfig", request)
        if pod_cidr:
            self._ranges = _ranges(pod_cidr)
        await self._settle_network()

    # Sandboxes

    async def run_sandbox(self, config: SandboxConfig) -> str:
        if config.log_directory is not None:
            await asyncio.to_thread(folders.make_log_folder, config.log_directory)
        try:
            sandbox_id = await self._run_sandbox(config)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure:
            # Its name may be another's, which a call that was broken off has left.
            left = await self._left_of(config)
            if left is None:
                raise
            sandbox_id = left.id
            if left.state is not SandboxState.READY:
                await self.remove_sandbox(left.id)
                sandbox_id = await self._run_sandbox(config)
        self._pods[sandbox_id] = config
        self._watcher.see_sandbox(sandbox_id, ready=True)
        return sandbox_id

    async def _run_sandbox(self, config: SandboxConfig) -> str:
        request = {"config": sandbox_message(config), "runtime_handler": config.runtime_handler}
        answer = await self._client.call("RunPodSandbox", request, seconds=2 * self._client.request_seconds)
        return str(answer["pod_sandbox_id"])

    async def _left_of(self, config: SandboxConfig) -> Sandbox | None:
        wanted = (config.name, config.namespace, config.uid, config.attempt)
        for sandbox in await self.sandboxes():
            known = sandbox.config
            if (known.name, known.namespace, known.uid, known.attempt) == wanted:
                return sandbox
        return None

    async def stop_sandbox(self, sandbox_id: str) -> None:
        try:
            await self._client.call("StopPodSandbox", {"pod_sandbox_id": sandbox_id})
        except NotFound:
            self._watcher.see_sandbox_gone(sandbox_id)
        else:
            self._watcher.see_sandbox(sandbox_id, ready=False)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        with suppress(NotFound):
            await self._client.call("RemovePodSandbox", {"pod_sandbox_id": sandbox_id})
        self._pods.pop(sandbox_id, None)
        for container in [one for one in self._ended.values() if one.sandbox_id == sandbox_id]:
            del self._ended[container.id]
        self._watcher.see_sandbox_gone(sandbox_id)

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        return read_sandbox(await self._sandbox_status(sandbox_id))

    async def _sandbox_status(self, sandbox_id: str) -> dict[str, Any]:
        status = (await self._client.call("PodSandboxStatus", {"pod_sandbox_id": sandbox_id}))["status"]
        if status is None:
            raise NotFound(f"there is no sandbox {sandbox_id}")
        self._watcher.see_sandbox(sandbox_id, ready=not status["state"])
        return dict(status)

    async def sandboxes(self, *, uid: str = "") -> list[Sandbox]:
        request = {"filter": {"label_selector": {_POD_UID: uid}}} if uid else {}
        items = (await self._client.call("ListPodSandbox", request))["items"]
        return sorted(map(read_sandbox, items), key=lambda sandbox: -sandbox.created_at)

    # Containers

    async def create_container(
        self, sandbox_id: str, config: ContainerConfig, *, pod: SandboxConfig | None = None
    ) -> str:
        made_from = pod or self._pods.get(sandbox_id)
        if made_from is None:
            made_from = (await self.sandbox(sandbox_id)).config
        if made_from.log_directory is not None and config.log_path:
            folder = (made_from.log_directory / config.log_path).parent
            await asyncio.to_thread(folders.make_log_folder, folder)
        request = {
            "pod_sandbox_id": sandbox_id,
            "config": container_message(config, made_from),
            "sandbox_config": sandbox_message(made_from),
        }
        try:
            answer = await self._client.call("CreateContainer", request)
        except RuntimeUnavailable:
            raise
        except NotFound:
            raise
        except RuntimeFailure:
            left = await self._left_in(sandbox_id, config)
            if left is None:
                raise
            await self.remove_container(left)  # nobody knows what it was made from
            answer = await self._client.call("CreateContainer", request)
        container_id = str(answer["container_id"])
        self._watcher.see_container(container_id, sandbox_id, ContainerState.CREATED)
        return container_id

    async def _left_in(self, sandbox_id: str, config: ContainerConfig) -> str | None:
        """A container of that name and attempt which was never started: a call that was broken off has left it."""
        for one in await self._listed(sandbox_id):
            known = one["metadata"] or {}
            if (known.get("name"), known.get("attempt")) == (config.name, config.attempt) and not one["state"]:
                return str(one["id"])
        return None

    async def start_container(self, container_id: str) -> None:
        await self._client.call("StartContainer", {"container_id": container_id})
        self._watcher.see_container(container_id, await self._sandbox_of(container_id), ContainerState.RUNNING)

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        timeout = whole_seconds(grace_seconds)
        try:
            await self._client.call(
                "StopContainer",
                {"container_id": container_id, "timeout": timeout},
                seconds=self._client.request_seconds + timeout,
            )
        except NotFound:
            self._forget(container_id)
        else:
            self._watcher.see_container(container_id, await self._sandbox_of(container_id), ContainerState.EXITED)

    async def remove_container(self, container_id: str) -> None:
        await self.stop_container(container_id, 0)
        with suppress(NotFound):
            await self._client.call("RemoveContainer", {"container_id": container_id})
        self._forget(container_id)

    def _forget(self, container_id: str) -> None:
        self._ended.pop(container_id, None)
        self._watcher.see_container_gone(container_id)

    async def container(self, container_id: str) -> Container:
        return await self._container(container_id, await self._sandbox_of(container_id))

    async def _container(self, container_id: str, sandbox_id: str) -> Container:
        known = self._ended.get(container_id)
        if known is not None:
            return known
        status = (await self._client.call("ContainerStatus", {"container_id": container_id}))["status"]
        if status is None:
            raise NotFound(f"there is no container {container_id}")
        found = read_container(status, sandbox_id)
        if found.state is ContainerState.EXITED:
            self._ended[container_id] = found
        self._watcher.see_container(container_id, sandbox_id, found.state)
        return found

    async def _sandbox_of(self, container_id: str) -> str:
        """Raises NotFound."""
        known = self._watcher.sandbox_of(container_id)
        if known:
            return known
        request = {"filter": {"id": container_id}}
        found = (await self._client.call("ListContainers", request))["containers"]
        if not found:
            raise NotFound(f"there is no container {container_id}")
        return str(found[0]["pod_sandbox_id"])

    async def containers(self, *, sandbox_id: str = "") -> list[Container]:
        found = []
        for one in await self._listed(sandbox_id):
            try:
                found.append(await self._container(one["id"], one["pod_sandbox_id"]))
            except NotFound:
                continue  # it was removed meanwhile
        return sorted(found, key=lambda container: -container.created_at)

    async def _listed(self, sandbox_id: str) -> list[dict[str, Any]]:
        request = {"filter": {"pod_sandbox_id": sandbox_id}} if sandbox_id else {}
        listed: list[dict[str, Any]] = (await self._client.call("ListContainers", request))["containers"]
        return listed

    async def stats(self) -> list[ContainerStats]:
        found = (await self._client.call("ListContainerStats"))["stats"]
        now = self._clock.now()
        return [read_container_stats(one, now) for one in found]

    async def sandbox_stats(self) -> list[SandboxStats]:
        try:
            found = (await self._client.call("ListPodSandboxStats"))["stats"]
        except Unsupported:
            return []
        now = self._clock.now()
        return [read_sandbox_stats(one, now) for one in found]

    async def update_limits(self, container_id: str, config: ContainerConfig) -> None:
        request = {"container_id": container_id, "linux": limits_message(config.limits)}
        await self._client.call("UpdateContainerResources", request)

    async def logs(self) -> dict[str, Path]:
        """Where the containers that run write, by their ids."""
        running = self._watcher.running()
        for container_id in running - self._log_paths.keys():
            with suppress(NotFound):
                path = (await self.container(container_id)).log_path
                if path is not None:
                    self._log_paths[container_id] = path
        self._log_paths = {one: path for one, path in self._log_paths.items() if one in running}
        return dict(self._log_paths)

    async def reopen_log(self, container_id: str) -> None:
        """Have a running container write on in a new file where its log is. Raises NotFound."""
        await self._client.call("ReopenContainerLog", {"container_id": container_id})

    # Processes and streams

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: float = 0.0) -> ExecResult:
        timeout = whole_seconds(timeout_seconds)
        seconds = self._client.request_seconds + timeout if timeout else 0.0
        request = {"container_id": container_id, "cmd": list(command), "timeout": timeout}
        try:
            answer = await self._client.call("ExecSync", request, seconds=seconds)
        except RuntimeUnavailable as exc:
            if "DeadlineExceeded" in str(exc):
                raise ExecTimeout(f"command timed out: {exc}") from exc
            raise
        except ExecFailed as exc:
            await self._check_running(container_id)
            if "timeout" in str(exc) and "exceeded" in str(exc):
                raise ExecTimeout(f"command timed out: {exc}") from exc
            raise
        return ExecResult(answer["exit_code"], answer["stdout"], answer["stderr"])

    async def _check_running(self, container_id: str) -> None:
        """Raise NotFound or NotRunning where that is what a failure means."""
        container = await self.container(container_id)
        if container.state is not ContainerState.RUNNING:
            raise NotRunning(f"container {container_id} is {container.state}")

    @asynccontextmanager
    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> AsyncIterator[Session]:
        streams = Streams(stdin=stdin, stdout=True, stderr=not tty, tty=tty)
        request = {
            "container_id": container_id,
            "cmd": list(command),
            "tty": tty,
            "stdin": stdin,
            "stdout": True,
            "stderr": not tty,
        }

        async def url() -> str:
            try:
                return await self._url("Exec", request)
            except ExecFailed:
                await self._check_running(container_id)
                raise

        async with command_at(url, streams) as process:
            yield process

    @asynccontextmanager
    async def attach(self, container_id: str, *, tty: bool = False, stdin: bool = False) -> AsyncIterator[Session]:
        streams = Streams(stdin=stdin, stdout=True, stderr=not tty, tty=tty)
        request = {"container_id": container_id, "tty": tty, "stdin": stdin, "stdout": True, "stderr": not tty}

        async def url() -> str:
            await self._check_running(container_id)
            return await self._url("Attach", request)

        async with command_at(url, streams) as process:
            yield process

    async def _url(self, call: str, request: dict[str, Any]) -> str:
        return str((await self._client.call(call, request))["url"])

    def dial(self, sandbox_id: str, port: int) -> AbstractAsyncContextManager[PortConnection]:
        return self._dial(sandbox_id, port)

    @asynccontextmanager
    async def _dial(self, sandbox_id: str, port: int) -> AsyncIterator[PortConnection]:
        request = {"pod_sandbox_id": sandbox_id, "verbose": True}
        info = (await self._client.call("PodSandboxStatus", request))["info"]
        namespace = network_namespace(info)
        if namespace is not None:
            try:
                async with port_in(namespace, port) as connection:
                    yield connection
                    return
            except PermissionError:
                pass  # it is closed to us, if not to the runtime

        async def url() -> str:
            return await self._url("PortForward", {"pod_sandbox_id": sandbox_id, "port": [port]})

        async with port_at(url, port) as connection:
            yield connection

    # What only the runtime can do with a pod's folders: here the kubelet can

    async def mount_memory(self, path: Path, size_bytes: int) -> None:
        await asyncio.to_thread(folders.mount_memory, path, size_bytes)

    async def unmount_memory(self, path: Path) -> None:
        await asyncio.to_thread(folders.unmount_memory, path)

    async def remove_tree(self, path: Path) -> None:
        await asyncio.to_thread(folders.remove, path)

    # Events

    def events(self) -> AsyncIterator[Event]:
        return self._watcher.events()


def _ranges(pod_cidr: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in pod_cidr.split(",") if one.strip())
