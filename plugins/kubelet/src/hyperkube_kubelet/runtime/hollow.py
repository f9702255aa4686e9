"""A runtime that runs nothing: sandboxes and containers that only say what state they are in.

    created ──start──▶ running ──stopped, or by rule──▶ exited

By rule a container goes on until it is stopped, but for init containers and those of jobs, which end with success at
once and after a second. Annotations of the pod say otherwise, for one container with its name behind a dot:

    hollow.hyperkube.io/run-seconds: "30"       it ends by itself then
    hollow.hyperkube.io/exit-code.web: "1"      with this code
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hyperkube_kubelet.runtime.errors import CreateFailed, InvalidImageName, NotFound, NotRunning, Unsupported
from hyperkube_kubelet.runtime.interface import Session
from hyperkube_kubelet.runtime.values import (
    CONTAINER_KIND,
    Container,
    ContainerConfig,
    ContainerState,
    ContainerStats,
    Credentials,
    Event,
    EventKind,
    ExecResult,
    FilesystemUsage,
    Image,
    RuntimeFeatures,
    RuntimeHandler,
    RuntimeStatus,
    Sandbox,
    SandboxConfig,
    SandboxState,
    SandboxStats,
)
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.podnetwork import HostNetwork, PodNetwork
from hyperkube_machinery.streaming.ports import PortConnection

__all__ = ["ANNOTATIONS", "HollowRuntime", "Rule"]

ANNOTATIONS = "hollow.hyperkube.io/"
_JOB_LABELS = ("batch.kubernetes.io/job-name", "job-name")
_JOB_SECONDS = 1.0
_TERMINATED = 143
"""128 + SIGTERM: what a program that handles no signal ends with."""
_IMAGE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Rule:
    """How a container fares."""

    seconds: float | None = None  # how long it runs; None: until it is stopped
    exit_code: int = 0

    @classmethod
    def of(cls, sandbox: SandboxConfig, container: ContainerConfig) -> Rule:
        """The rule for a container. Raises CreateFailed for annotations that are no numbers."""
        by_default: float | None = None
        kind = container.annotations.get(CONTAINER_KIND, "regular")
        if kind == "init":
            by_default = 0.0
        elif kind == "regular" and any(label in sandbox.labels for label in _JOB_LABELS):
            by_default = _JOB_SECONDS
        seconds = _number(sandbox.annotations, "run-seconds", container.name)
        code = _number(sandbox.annotations, "exit-code", container.name)
        return cls(by_default if seconds is None else seconds, int(code or 0))


def _number(annotations: Mapping[str, str], what: str, container: str) -> float | None:
    key = f"{ANNOTATIONS}{what}"
    text = annotations.get(f"{key}.{container}", annotations.get(key))
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise CreateFailed(f'annotation {key}: "{text}" is not a number') from None


@dataclass(slots=True)
class _Running:
    """A container, and what will end it by itself."""

    container: Container
    rule: Rule
    ending: asyncio.Task[None] | None = None


class HollowRuntime:
    """One node's. `close` lets go of everything. Fits `Runtime`."""

    def __init__(self, clock: Clock, *, pod_cidr: str = "10.244.0.0/24", version: str = "0") -> None:
        self._clock = clock
        self._version = version
        self._network = HostNetwork()
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, _Running] = {}
        self._free = _addresses(pod_cidr)
        self._given_back: list[str] = []
        self._ids = itertools.count(1)
        self._images: dict[str, Image] = {}
        self._listeners: set[asyncio.Queue[Event]] = set()

    async def close(self) -> None:
        tasks = [running.ending for running in self._containers.values() if running.ending is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def network(self) -> PodNetwork:
        return self._network

    @property
    def seen_at(self) -> float | None:
        return None

    async def status(self) -> RuntimeStatus:
        return RuntimeStatus(
            name="hollow",
            version=self._version,
            ready=True,
            network_ready=True,
            handlers=(RuntimeHandler(name="", recursive_readonly_mounts=True, user_namespaces=True),),
            features=RuntimeFeatures(supplemental_groups_policy=True),
        )

    async def use_pod_cidr(self, pod_cidr: str) -> None:
        pass  # each node has the range that it was made with

    # Sandboxes

    async def run_sandbox(self, config: SandboxConfig) -> str:
        for sandbox in self._sandboxes.values():
            known = sandbox.config
            if (known.uid, known.attempt) == (config.uid, config.attempt) and sandbox.state is SandboxState.READY:
                return sandbox.id
        ips = () if config.host_network else (self._address(),)
        made = Sandbox(id=self._id(), config=config, state=SandboxState.READY, created_at=self._clock.now(), ips=ips)
        self._sandboxes[made.id] = made
        self._tell(EventKind.STARTED, made.id)
        return made.id

    async def stop_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is None or sandbox.state is SandboxState.NOT_READY:
            return
        for running in self._of(sandbox_id):
            self._end(running, 137)
        self._given_back += sandbox.ips
        self._sandboxes[sandbox_id] = replace(sandbox, state=SandboxState.NOT_READY, ips=())
        self._tell(EventKind.STOPPED, sandbox_id)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        for running in self._of(sandbox_id):
            del self._containers[running.container.id]
        if self._sandboxes.pop(sandbox_id, None) is not None:
            self._tell(EventKind.DELETED, sandbox_id)

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        try:
            return self._sandboxes[sandbox_id]
        except KeyError:
            raise NotFound(f"there is no sandbox {sandbox_id}") from None

    async def sandboxes(self, *, uid: str = "") -> list[Sandbox]:
        found = [sandbox for sandbox in self._sandboxes.values() if not uid or sandbox.config.uid == uid]
        return sorted(found, key=lambda sandbox: -sandbox.created_at)

    # Containers

    async def create_container(
        self, sandbox_id: str, config: ContainerConfig, *, pod: SandboxConfig | None = None
    ) -> str:
        sandbox = await self.sandbox(sandbox_id)
        image = await self.image(config.image)
        assert image is not None
        container = Container(
            id=self._id(),
            sandbox_id=sandbox_id,
            config=config,
            image_id=image.id,
            image_ref=image.digests[0],
            state=ContainerState.CREATED,
            created_at=self._clock.now(),
        )
        self._containers[container.id] = _Running(container, Rule.of(sandbox.config, config))
        self._tell(EventKind.CREATED, sandbox_id, container.id)
        return container.id

    async def start_container(self, container_id: str) -> None:
        running = self._running(container_id)
        running.container = replace(
            running.container, state=ContainerState.RUNNING, started_at=self._clock.now(), user=(0, 0, (0,))
        )
        self._tell(EventKind.STARTED, running.container.sandbox_id, container_id)
        seconds = running.rule.seconds
        if seconds is not None:
            running.ending = asyncio.create_task(self._end_later(running, seconds), name=f"end of {container_id}")

    async def _end_later(self, running: _Running, seconds: float) -> None:
        await self._clock.sleep(seconds)
        running.ending = None  # it is this very task
        self._end(running, running.rule.exit_code)

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        with suppress(NotFound):
            self._end(self._running(container_id), _TERMINATED if grace_seconds > 0 else 137)

    async def remove_container(self, container_id: str) -> None:
        running = self._containers.get(container_id)
        if running is not None:
            self._end(running, 137)
            del self._containers[container_id]
            self._tell(EventKind.DELETED, running.container.sandbox_id, container_id)

    async def container(self, container_id: str) -> Container:
        return self._running(container_id).container

    async def containers(self, *, sandbox_id: str = "") -> list[Container]:
        found = [
            running.container
            for running in self._containers.values()
            if not sandbox_id or running.container.sandbox_id == sandbox_id
        ]
        return sorted(found, key=lambda container: -container.created_at)

    async def stats(self) -> list[ContainerStats]:
        return [
            ContainerStats(
                container_id=running.container.id,
                at=self._clock.now(),
                cpu_nanoseconds=0,
                memory_bytes=0,
                rss_bytes=0,
                processes=0,
            )
            for running in self._containers.values()
            if running.container.state is ContainerState.RUNNING
        ]

    async def sandbox_stats(self) -> list[SandboxStats]:
        return []

    async def update_limits(self, container_id: str, config: ContainerConfig) -> None:
        running = self._running(container_id)
        limits = replace(running.container.config, limits=config.limits)
        running.container = replace(running.container, config=limits)

    # Processes and streams: there are none, which only who looks for them is told

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: float = 0.0) -> ExecResult:
        self._check_runs(container_id)
        return ExecResult(0, b"", b"")

    @asynccontextmanager
    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> AsyncIterator[Session]:
        self._check_runs(container_id)
        raise Unsupported(
            "a hollow container has no processes: commands run where --container-runtime is process or cri"
        )
        yield

    @asynccontextmanager
    async def attach(self, container_id: str, *, tty: bool = False, stdin: bool = False) -> AsyncIterator[Session]:
        self._check_runs(container_id)
        raise Unsupported("a hollow container has no processes to attach to")
        yield

    @asynccontextmanager
    async def dial(self, sandbox_id: str, port: int) -> AsyncIterator[PortConnection]:
        await self.sandbox(sandbox_id)
        raise Unsupported(f"nothing listens in a hollow pod, at port {port} neither")
        yield

    # Folders

    async def mount_memory(self, path: Path, size_bytes: int) -> None:
        """A folder is as good, where nobody writes."""

    async def unmount_memory(self, path: Path) -> None: ...

    async def remove_tree(self, path: Path) -> None:
        import shutil

        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    # Images: whatever is asked for is here

    async def image(self, reference: str) -> Image | None:
        known = self._images.get(reference)
        if known is None:
            if not reference or reference != reference.strip():
                raise InvalidImageName(f'couldn\'t parse image name "{reference}"')
            digest = f"sha256:{hashlib.sha256(reference.encode()).hexdigest()}"
            name = reference.partition("@")[0]
            known = Image(id=digest, tags=(name,), digests=(f"{name}@{digest}",), size=_IMAGE_BYTES)
            self._images[reference] = known
        return known

    async def images(self) -> list[Image]:
        return list(self._images.values())

    async def pull_image(self, reference: str, *, credentials: Credentials | None = None) -> str:
        image = await self.image(reference)
        assert image is not None
        return image.id

    async def remove_image(self, reference: str) -> None:
        self._images.pop(reference, None)

    async def image_usage(self) -> FilesystemUsage:
        return FilesystemUsage(Path("/"), sum(image.size for image in self._images.values()), len(self._images))

    async def container_usage(self) -> FilesystemUsage:
        return FilesystemUsage(Path("/"), 0, 0)

    # Events

    async def events(self) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    def _tell(self, kind: EventKind, sandbox_id: str, container_id: str = "") -> None:
        if self._listeners:
            event = Event(kind=kind, sandbox_id=sandbox_id, container_id=container_id, at=self._clock.now())
            for queue in self._listeners:
                queue.put_nowait(event)

    def _end(self, running: _Running, exit_code: int) -> None:
        """Let it have ended, unless it has; one that never began has as well."""
        if running.ending is not None:
            running.ending.cancel()
            running.ending = None
        container = running.container
        if container.state is not ContainerState.RUNNING:
            return
        running.container = replace(
            container,
            state=ContainerState.EXITED,
            finished_at=self._clock.now(),
            exit_code=exit_code,
            reason="Error" if exit_code else "Completed",
        )
        self._tell(EventKind.STOPPED, container.sandbox_id, container.id)

    def _of(self, sandbox_id: str) -> list[_Running]:
        return [running for running in self._containers.values() if running.container.sandbox_id == sandbox_id]

    def _running(self, container_id: str) -> _Running:
        try:
            return self._containers[container_id]
        except KeyError:
            raise NotFound(f"there is no container {container_id}") from None

    def _check_runs(self, container_id: str) -> None:
        if self._running(container_id).container.state is not ContainerState.RUNNING:
            raise NotRunning(f"container {container_id} doesn't run")

    def _id(self) -> str:
        return f"{next(self._ids):016x}"

    def _address(self) -> str:
        if self._given_back:
            return self._given_back.pop(0)
        try:
            return next(self._free)
        except StopIteration:
            raise CreateFailed("all addresses of the node's range are taken") from None


def _addresses(pod_cidr: str) -> Iterator[str]:
    network = ipaddress.ip_network(pod_cidr)
    hosts = iter(network.hosts())
    next(hosts, None)  # the gateway's
    return map(str, hosts)
