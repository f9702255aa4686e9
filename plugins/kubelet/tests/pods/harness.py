"""A node whose runtime does what the test says, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hyperkube_kubelet.cgroups.tree import PodGroups
from hyperkube_kubelet.equipment import Upkeep
from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.nodes import Node, node_running
from hyperkube_kubelet.pods.making import ClusterNames
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.hollow import HollowRuntime
from hyperkube_kubelet.runtime.values import ContainerState, Credentials, ExecResult, RuntimeStatus, SandboxConfig
from hyperkube_kubelet.runtimestate import RuntimeState
from hyperkube_machinery.serving.exposition import exposition
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

FACTS = NodeFacts(
    name="n",
    ips=("192.0.2.1",),
    capacity={"cpu": "4", "memory": "8Gi", "pods": "10"},
    allocatable={"cpu": "4", "memory": "8Gi", "pods": "10"},
)


class Heard:
    """The events that were told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def event(
        self,
        subject: Mapping[str, Any],
        kind: str,
        reason: str,
        message: str,
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        self.told.append((reason, message))

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.told]

    def message(self, reason: str) -> str:
        return next(message for one, message in reversed(self.told) if one == reason)


class ScriptedRuntime(HollowRuntime):
    """Containers end when the test says so, and what it names fails."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.failures: dict[str, RuntimeFailure] = {}  # by the call that raises it
        self.stubborn: dict[str, float] = {}  # the seconds that containers take to end when they are asked to
        self.stops: list[tuple[str, float]] = []  # names, and the grace that each was given
        self.commands: list[Sequence[str]] = []
        self.exit_codes: dict[str, int] = {}  # of commands, by their first word
        self.has_network = True

    async def status(self) -> RuntimeStatus:
        return replace(await super().status(), network_ready=self.has_network, network_message="no address is free")

    def _may(self, call: str) -> None:
        if call in self.failures:
            raise self.failures[call]

    async def run_sandbox(self, config: SandboxConfig) -> str:
        self._may("run_sandbox")
        return await super().run_sandbox(config)

    async def start_container(self, container_id: str) -> None:
        self._may("start_container")
        await super().start_container(container_id)

    async def pull_image(self, reference: str, *, credentials: Credentials | None = None) -> str:
        self._may("pull_image")
        return await super().pull_image(reference, credentials=credentials)

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        name = (await self.container(container_id)).config.name
        self.stops.append((name, grace_seconds))
        self._may("stop_container")
        if name in self.stubborn:
            takes = self.stubborn[name]
            await self.clock.sleep(min(takes, grace_seconds))
            grace_seconds = max(0.0, grace_seconds - takes)
        await super().stop_container(container_id, grace_seconds)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout_seconds: float = 0.0) -> ExecResult:
        self.commands.append(command)
        await super().exec_sync(container_id, command, timeout_seconds)
        return ExecResult(self.exit_codes.get(command[0], 0), b"said", b"")

    def running(self, name: str = "main") -> str:
        """The id of the run of a container that goes on, or ""."""
        for running in self._containers.values():
            found = running.container
            if found.config.name == name and found.state is ContainerState.RUNNING:
                return found.id
        return ""

    def end(self, name: str = "main", code: int = 0) -> None:
        """Let a container end by itself."""
        self._end(self._containers[self.running(name)], code)


class Bench:
    """A node under test."""

    def __init__(self, node: Node, runtime: ScriptedRuntime, clock: VirtualClock, heard: Heard, root: Path) -> None:
        self.loop = node.loop
        self.counts = node.counts
        self.keeping = node.keeping
        self.runtime = runtime
        self.clock = clock
        self.heard = heard
        self.root = root
        self._pods: dict[str, dict[str, Any]] = {}

    def put(self, pod: dict[str, Any]) -> None:
        """The source tells of a pod, or of its new state."""
        name = pod["metadata"]["name"]
        old, self._pods[name] = self._pods.get(name), pod
        self.loop.changed(old, pod)

    def delete(self, name: str = "web", *, grace: int = 30) -> None:
        """As the API server marks a pod that is to be stopped."""
        pod = self._pods[name]
        marks = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
        self.put({**pod, "metadata": {**pod["metadata"], **marks}})

    def drop(self, name: str = "web") -> None:
        """The pod's object is gone."""
        self.loop.changed(self._pods.pop(name), None)

    def status(self, name: str = "web") -> dict[str, Any]:
        pod = self.loop.pod_named("default", name)
        assert pod is not None
        return dict(pod["status"])

    def container(self, name: str = "main") -> dict[str, Any]:
        """The status of a container of the pod web."""
        found = self.status().get("containerStatuses") or ()
        return next((one for one in found if one["name"] == name), {"state": {}, "lastState": {}})

    @property
    def ready(self) -> bool:
        conditions = self.status().get("conditions") or ()
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    async def counted(self, name: str) -> dict[str, float]:
        """The samples of a metric, by what stands between their braces."""
        registries = (self.counts.registry, self.counts.probes)
        text = b"".join([piece for registry in registries async for piece in exposition(registry)]).decode()
        lines = [line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        found = (line.removeprefix(name).rpartition(" ") for line in lines)
        return {labels.strip("{}"): float(value) for labels, _, value in found}

    async def until(self, holds: Callable[[], object]) -> None:
        """Without time going on: what is awaited is done by the loop and by threads."""
        await until(holds)

    async def pass_time(self, seconds: float) -> None:
        """Let time go on in small steps, and what threads do keep up with it."""
        for _ in range(int(seconds * 4)):
            await self.clock.advance(0.25)
            for _ in range(5):
                await asyncio.sleep(0)


@asynccontextmanager
async def bench(
    root: Path, clock: VirtualClock, runtime: ScriptedRuntime, groups: PodGroups | None = None
) -> AsyncIterator[Bench]:
    heard = Heard()
    state = RuntimeState(runtime, clock)
    await state.look()
    upkeep = Upkeep(root=root, names=ClusterNames(("10.0.0.10",), resolv_conf=Path("/nonexistent")))
    async with node_running(
        FACTS, runtime, state, upkeep, cluster=None, recorder=heard, clock=clock, groups=groups
    ) as node:
        yield Bench(node, runtime, clock, heard, root)
