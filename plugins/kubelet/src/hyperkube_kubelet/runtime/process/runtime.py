"""The process runtime: it works out what is to be run, and has the node's reaper run it."""

from __future__ import annotations

import asyncio
import platform
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hyperkube_kubelet.runtime import errors
from hyperkube_kubelet.runtime.errors import (
    ExecFailed,
    ExecTimeout,
    InvalidConfig,
    RuntimeFailure,
    RuntimeUnavailable,
)
from hyperkube_kubelet.runtime.interface import Session
from hyperkube_kubelet.runtime.process.description import Node, limitations, node_of
from hyperkube_kubelet.runtime.process.hostports import HostPorts, wanted_ports
from hyperkube_kubelet.runtime.process.images import ImageSource
from hyperkube_kubelet.runtime.process.listing import Listing
from hyperkube_kubelet.runtime.process.nodefiles import node_dns
from hyperkube_kubelet.runtime.process.reaper.wire import VERSION
from hyperkube_kubelet.runtime.process.requests import (
    container_request,
    limits_request,
    sandbox_request,
    told_config,
)
from hyperkube_kubelet.runtime.process.sessions import PipeSession
from hyperkube_kubelet.runtime.process.starting import Settings, start_reaper
from hyperkube_kubelet.runtime.process.users import read_users, resolve_user
from hyperkube_kubelet.runtime.values import (
    Container,
    ContainerConfig,
    ContainerStats,
    Credentials,
    Event,
    EventKind,
    ExecResult,
    FilesystemUsage,
    Image,
    Mount,
    RuntimeFeatures,
    RuntimeHandler,
    RuntimeStatus,
    Sandbox,
    SandboxConfig,
    SandboxStats,
)
from hyperkube_machinery.agents import AgentRefused, AgentUnavailable, Call
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.podnetwork import AgentNetwork, HostNetwork, PodNetwork
from hyperkube_machinery.streaming.ports import PortConnection, connected

__all__ = ["NAME", "ProcessRuntime", "process_runtime"]

NAME = "hk-process"
_MOST_OUTPUT = 16 << 20
_DRAIN_SECONDS = 1.0
"""How long what a command left behind may keep its output open."""
_RETRY_SECONDS = 1.0
_UNREAD_EVENTS = 10_000
_ATTEMPTS = 6
_ATTEMPT_SECONDS = 0.05
_HARMLESS = frozenset({"describe", "events", "list", "stats"})
"""What may be asked for again though it may have been answered already."""


@asynccontextmanager
async def process_runtime(settings: Settings, images: ImageSource, clock: Clock) -> AsyncIterator[ProcessRuntime]:
    """The process runtime for the length of the block. Pods go on behind it, and the next one finds them.

    Raises RuntimeUnavailable where the reaper can't be started, or is one of another version.
    """
    runtime = ProcessRuntime(settings, images, clock)
    await runtime.connect()
    follower = asyncio.create_task(runtime.follow(), name="events of the reaper")
    try:
        yield runtime
    finally:
        follower.cancel()
        with suppress(asyncio.CancelledError):
            await follower
        await runtime.close()


class ProcessRuntime:
    """Fits `hyperkube_kubelet.runtime.interface.Runtime`."""

    def __init__(self, settings: Settings, images: ImageSource, clock: Clock) -> None:
        self._settings, self._images, self._clock = settings, images, clock
        self._starting = asyncio.Lock()
        self._node: Node | None = None
        self._listing = Listing()
        self._readers: set[asyncio.Queue[Event | None]] = set()
        self._host_ports: HostPorts | None = None

    # The reaper

    async def connect(self) -> None:
        """Find the reaper or start one."""
        async with self._starting:
            answer = await self._find_or_start()
        if answer["version"] != VERSION:
            raise RuntimeUnavailable(
                f"the pods of this node belong to a process of another version of hk ({answer['version']}, not"
                f" {VERSION}), which ends them once no kubelet has come for --orphan-grace-period: start it again then"
            )
        hidden = (self._settings.root_dir, *self._settings.hidden)
        self._node = node_of(answer, tuple(path.absolute() for path in hidden))
        wanted = self._settings.network
        if wanted == "namespace" and self._node.network != wanted:
            cause = self._node.why.get("network") or self._node.why.get("isolation", "a reaper without it runs")
            await AgentNetwork(self._settings.network_socket).end()
            raise RuntimeUnavailable(f"--network=namespace can't be had here: {cause}")

    async def _find_or_start(self) -> dict[str, Any]:
        for attempt in range(_ATTEMPTS):
            try:
                return await self._describe()
            except AgentUnavailable as exc:
                if attempt == _ATTEMPTS - 1:
                    raise RuntimeUnavailable(f"the pods' reaper doesn't answer: {exc}") from exc
                await start_reaper(self._settings)  # does nothing while one that was killed is not quite gone
                await self._clock.sleep(attempt * _ATTEMPT_SECONDS)
        raise AssertionError

    async def _describe(self) -> dict[str, Any]:
        async with Call(self._settings.socket, {"op": "describe"}) as call:
            return await call.answer()

    @asynccontextmanager
    async def _call(self, request: dict[str, Any]) -> AsyncIterator[tuple[Call, dict[str, Any]]]:
        """A request with its answer. A reaper that is gone is started again, for what it can't have done already."""
        try:
            async with AsyncExitStack() as stack:
                try:
                    call, answer = await self._answered(stack, request)
                except _NotSent:
                    await self.connect()
                    call, answer = await self._answered(stack, request)
                yield call, answer
        except AgentRefused as exc:
            raise _failure(exc) from exc
        except AgentUnavailable as exc:
            raise RuntimeUnavailable(str(exc)) from exc

    async def _answered(self, stack: AsyncExitStack, request: dict[str, Any]) -> tuple[Call, dict[str, Any]]:
        try:
            call = await stack.enter_async_context(Call(self._settings.socket, request))
        except AgentUnavailable as exc:
            raise _NotSent(*exc.args) from exc
        try:
            return call, await call.answer()
        except AgentUnavailable as exc:
            if request["op"] in _HARMLESS:
                raise _NotSent(*exc.args) from exc
            raise

    async def _ask(self, op: str, **details: object) -> dict[str, Any]:
        async with self._call({"op": op, **details}) as (_, answer):
            return answer

    async def end(self, grace_seconds: float) -> None:
        """End all pods and the reaper."""
        await AgentNetwork(self._settings.network_socket).end(grace_seconds)

    @property
    def node(self) -> Node:
        assert self._node is not None  # since `connect`
        return self._node

    @property
    def network(self) -> PodNetwork:
        return AgentNetwork(self._settings.network_socket) if self.node.network == "namespace" else HostNetwork()

    @property
    def seen_at(self) -> float | None:
        return None

    async def status(self) -> RuntimeStatus:
        found = limitations(self.node)
        try:
            await self._ask("describe")
        except RuntimeFailure as exc:
            return RuntimeStatus(
                name=NAME,
                version=platform.release(),
                ready=False,
                ready_reason="ReaperUnavailable",
                ready_message=str(exc),
                network_ready=False,
                network_reason="ReaperUnavailable",
                network_message=str(exc),
                limitations=found,
            )
        return RuntimeStatus(
            name=NAME,
            version=f"{VERSION}.0",
            ready=True,
            network_ready=True,
            limitations=found,
            handlers=(
                RuntimeHandler(
                    name="", recursive_readonly_mounts=self.node.isolated, user_namespaces=self.node.isolated
                ),
            ),
            features=RuntimeFeatures(supplemental_groups_policy=True),
        )

    async def use_pod_cidr(self, pod_cidr: str) -> None:
        pass  # the reaper gives addresses, of the range that it was started with

    # Sandboxes

    async def run_sandbox(self, config: SandboxConfig) -> str:
        if config.log_directory is not None:
            config.log_directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        answer = await self._ask(**sandbox_request(config, node_dns(), socket.gethostname()))
        if any(port.host_port for port in config.ports):
            await self._open_host_ports()
        return str(answer["id"])

    async def stop_sandbox(self, sandbox_id: str) -> None:
        await self._ask("stop_sandbox", sandbox_id=sandbox_id)
        if self._host_ports is not None:
            await self._open_host_ports()

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._ask("remove_sandbox", sandbox_id=sandbox_id)
        if self._host_ports is not None:
            await self._open_host_ports()

    async def _open_host_ports(self) -> None:
        """Listen for the pods that are there now."""
        wanted = wanted_ports(await self.sandboxes())
        if self._host_ports is None:
            if not wanted:
                return
            self._host_ports = HostPorts(self.network)
        await self._host_ports.hold(wanted)

    async def close(self) -> None:
        """Let go of what is this kubelet's; pods go on."""
        if self._host_ports is not None:
            await self._host_ports.close()

    async def sandbox(self, sandbox_id: str) -> Sandbox:
        return self._listing.sandboxes(await self._ask("list", of="sandboxes", sandbox_id=sandbox_id))[0]

    async def sandboxes(self, *, uid: str = "") -> list[Sandbox]:
        found = self._listing.sandboxes(await self._ask("list", of="sandboxes"))
        return [sandbox for sandbox in found if not uid or sandbox.config.uid == uid]

    # Containers

    async def create_container(
        self, sandbox_id: str, config: ContainerConfig, *, pod: SandboxConfig | None = None
    ) -> str:
        sandbox = await self.sandbox(sandbox_id)
        stored = await self._images.prepare(config.image)
        mounts = tuple([await self._shown(mount) for mount in config.mounts])
        config = replace(config, mounts=mounts)
        users = await asyncio.to_thread(read_users, stored.root or Path("/"))
        user = resolve_user(config.security, stored.image.user, users)
        ip = sandbox.ips[0] if sandbox.ips else ""
        request = container_request(sandbox.config, ip, config, stored, user, self.node)
        answer = await self._ask(**request, sandbox_id=sandbox_id)
        return str(answer["id"])

    async def _shown(self, mount: Mount) -> Mount:
        """A mount of an image's files as one of the folder that they are unpacked in."""
        if not mount.image:
            return mount
        stored = await self._images.prepare(mount.image)
        if stored.root is None:
            raise InvalidConfig(f"image {stored.reference} is the machine itself, and is no volume")
        root = await asyncio.to_thread(stored.root.resolve)
        path = await asyncio.to_thread((root / mount.image_sub_path).resolve)
        if not path.is_relative_to(root) or not await asyncio.to_thread(path.exists):
            raise InvalidConfig(f"image {stored.reference} has no {mount.image_sub_path}")
        return replace(mount, host_path=path, resolved=True, readonly=True, image="", image_sub_path="")

    async def start_container(self, container_id: str) -> None:
        await self._ask("start_container", container_id=container_id)

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        await self._ask("stop_container", container_id=container_id, grace_seconds=grace_seconds)

    async def remove_container(self, container_id: str) -> None:
        await self._ask("remove_container", container_id=container_id)

    async def container(self, container_id: str) -> Container:
        return self._listing.containers(await self._ask("list", of="containers", container_id=container_id))[0]

    async def containers(self, *, sandbox_id: str = "") -> list[Container]:
        whose = {"sandbox_id": sandbox_id} if sandbox_id else {}
        return self._listing.containers(await self._ask("list", of="containers", **whose))

    async def stats(self) -> list[ContainerStats]:
        answer = await self._ask("stats")
        now = self._clock.now()
        return [ContainerStats(at=now, **item) for item in answer["containers"]]

    async def sandbox_stats(self) -> list[SandboxStats]:
        return []  # the reaper tells of containers alone

    async def update_limits(self, container_id: str, config: ContainerConfig) -> None:
        details = {"config": told_config(config), "limits": limits_request(config)}
        await self._ask("update_limits", container_id=container_id, **details)
        self._listing.forget(container_id)

    # Processes and streams

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: float = 0.0) -> ExecResult:
        async with self.exec(container_id, command) as session:
            streams = {"stdout": bytearray(), "stderr": bytearray()}
            reading = asyncio.ensure_future(_collect(session, streams))
            ending = asyncio.ensure_future(session.wait())
            waits = [ending]
            alarm = None
            if timeout_seconds > 0:
                alarm = asyncio.ensure_future(self._clock.sleep(timeout_seconds))
                waits.append(alarm)  # type: ignore[arg-type]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if not ending.done():
                    raise ExecTimeout(f"command {' '.join(command)!r} timed out after {timeout_seconds:g} s")
                code = await ending
                await asyncio.wait([reading], timeout=_DRAIN_SECONDS)
            finally:
                for task in (reading, ending, alarm):
                    if task is not None:
                        task.cancel()
                        with suppress(asyncio.CancelledError, RuntimeFailure):
                            await task
            return ExecResult(code, bytes(streams["stdout"]), bytes(streams["stderr"]))

    @asynccontextmanager
    async def exec(
        self, container_id: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> AsyncIterator[Session]:
        request = {"op": "exec", "container_id": container_id, "argv": list(command), "tty": tty, "stdin": stdin}
        async with self._call(request) as (call, _):
            passed = call.take_descriptors()
            if tty:
                session = PipeSession(call, outputs={passed[0]: "stdout"}, stdin=passed[0], terminal=passed[0])
            else:
                session = PipeSession(call, outputs={passed[1]: "stdout", passed[2]: "stderr"}, stdin=passed[0])
                if not stdin:
                    await session.close_input()
            try:
                yield session
            finally:
                await session.close()

    @asynccontextmanager
    async def attach(self, container_id: str, *, tty: bool = False, stdin: bool = False) -> AsyncIterator[Session]:
        request = {"op": "attach", "container_id": container_id, "stdin": stdin}
        async with self._call(request) as (call, answer):
            passed = call.take_descriptors()
            if answer["tty"]:
                session = PipeSession(call, outputs={passed[0]: "stdout"}, stdin=passed[1], terminal=passed[1])
            else:
                outputs = dict(zip(passed[:2], ("stdout", "stderr"), strict=True))
                session = PipeSession(call, outputs=outputs, stdin=passed[2] if len(passed) > 2 else -1)  # type: ignore[arg-type]
            try:
                yield session
            finally:
                await session.close()

    @asynccontextmanager
    async def dial(self, sandbox_id: str, port: int) -> AsyncIterator[PortConnection]:
        family = socket.AF_INET
        async with self._call({"op": "dial", "sandbox_id": sandbox_id, "family": int(family)}) as (call, answer):
            made = socket.socket(family, socket.SOCK_STREAM, fileno=call.take_descriptors()[0])
        made.setblocking(False)
        host = "127.0.0.1" if answer["own"] or not answer["ip"] else answer["ip"]
        try:
            await asyncio.get_running_loop().sock_connect(made, (host, port))
        except BaseException:
            made.close()
            raise
        async with connected(made) as connection:
            yield connection

    # Folders

    async def mount_memory(self, path: Path, size_bytes: int) -> None:
        await self._ask("mount_memory", path=str(path), size_bytes=size_bytes)

    async def unmount_memory(self, path: Path) -> None:
        await self._ask("unmount_memory", path=str(path))

    async def remove_tree(self, path: Path) -> None:
        await self._ask("remove_tree", path=str(path))

    # Images

    async def image(self, reference: str) -> Image | None:
        return await self._images.find(reference)

    async def images(self) -> list[Image]:
        return await self._images.images()

    async def pull_image(self, reference: str, *, credentials: Credentials | None = None) -> str:
        return (await self._images.pull(reference, credentials)).id

    async def remove_image(self, reference: str) -> None:
        await self._images.remove(reference)

    async def image_usage(self) -> FilesystemUsage:
        return await self._images.usage()

    async def container_usage(self) -> FilesystemUsage:
        return await self._images.usage()  # their layers lie beside those of images

    # Events

    async def events(self) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._readers.add(queue)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._readers.discard(queue)
        raise RuntimeUnavailable("the reaper's events broke off")

    async def follow(self) -> None:
        """Pass events on, and keep a reaper running, until cancelled. This is what shows it that a kubelet is there."""
        while True:
            pause = _RETRY_SECONDS
            with suppress(RuntimeUnavailable):
                async with self._call({"op": "events"}) as (call, _):
                    pause = _ATTEMPT_SECONDS  # one that answered and is gone is started again at once
                    await self._open_host_ports()
                    await self._pass_on(call)
            for reader in self._readers:
                reader.put_nowait(None)
            self._readers.clear()
            await self._clock.sleep(pause)

    async def _pass_on(self, call: Call) -> None:
        with suppress(AgentUnavailable):
            while True:
                document = await call.receive()
                event = Event(
                    kind=EventKind(document["kind"]),
                    sandbox_id=document["sandbox_id"],
                    container_id=document["container_id"],
                    at=document["at"],
                )
                for reader in list(self._readers):
                    if reader.qsize() > _UNREAD_EVENTS:  # it must list again
                        self._readers.discard(reader)
                        reader.put_nowait(None)
                    else:
                        reader.put_nowait(event)


class _NotSent(AgentUnavailable):
    """The request had no effect."""


def _failure(refused: AgentRefused) -> RuntimeFailure:
    """The reaper's refusal as the class that it names."""
    if refused.kind == "ExecFailed":
        return ExecFailed(str(refused), refused.details.get("exit_code", 126))
    kind = getattr(errors, refused.kind, None) if refused.kind in errors.__all__ else None
    return kind(str(refused)) if kind is not None else RuntimeFailure(str(refused))


async def _collect(session: Session, streams: dict[str, bytearray]) -> None:
    async for stream, data in session.output():
        kept = streams[stream]
        kept += data[: max(0, _MOST_OUTPUT - len(kept))]
