"""What happens to sandboxes and containers, by what the runtime lists and by what it tells of.

    its events (CRI's, or containerd's own) ─┐ look at that one anew
    every so often ──────────────────────────┼ look at all ─▶ what differs from what was known ─▶ Event
    what this kubelet has asked for ─────────┘ known at once

What is told is only ever a reason to look: an event that is missed or comes too early makes nothing wrong, just late.
Source: k8s.io/kubernetes/pkg/kubelet/pleg (generic.go, evented.go), containerd/api/services/events/v1.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, NoReturn

from hyperkube_kubelet.runtime.cri.answers import container_state
from hyperkube_kubelet.runtime.cri.client import CRIClient
from hyperkube_kubelet.runtime.cri.messages import MESSAGES
from hyperkube_kubelet.runtime.errors import NotFound, RuntimeFailure, RuntimeUnavailable, Unsupported
from hyperkube_kubelet.runtime.values import ContainerState, Event, EventKind
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import Companions, companions

__all__ = ["Watcher"]

POLL_SECONDS = 1.0
"""How often all is looked at where the runtime tells of nothing. Upstream's."""
RELIST_SECONDS = 30.0
"""The same where it does."""
_PAUSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between looks at what is said to have ended and is not seen to yet: containerd tells it before it knows."""

_CRI_EVENTS = "/runtime.v1.RuntimeService/GetContainerEvents"
_CONTAINERD_EVENTS = "/containerd.services.events.v1.Events/Subscribe"
_EXITS = 'namespace=="k8s.io",topic=="/tasks/exit"'
_STOPPED, _DELETED = 2, 3  # of CRI's kinds of events

_KINDS = {
    ContainerState.CREATED: EventKind.CREATED,
    ContainerState.RUNNING: EventKind.STARTED,
    ContainerState.EXITED: EventKind.STOPPED,
    ContainerState.UNKNOWN: EventKind.STOPPED,
}

Tree = Mapping[str, Any]


class Watcher:
    """Knows the state of everything that the runtime has, and tells when it changes."""

    def __init__(self, client: CRIClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._sandboxes: dict[str, bool] = {}  # whether they are ready
        self._containers: dict[str, tuple[str, ContainerState]] = {}  # the sandbox, and the state
        self._touched: set[str] = set()  # what was seen since a look at all began, which knows less of it
        self._awaited: set[str] = set()  # what is said to have ended
        self._readers: set[asyncio.Queue[Event | None]] = set()
        self.looked_at: float | None = None  # when all was seen, in monotonic seconds

    def sandbox_of(self, container_id: str) -> str:
        """The sandbox that a container is in; "" where that is not known."""
        return self._containers.get(container_id, ("", ContainerState.UNKNOWN))[0]

    def running(self) -> set[str]:
        """The containers that run, as far as is known."""
        return {one for one, (_, state) in self._containers.items() if state is ContainerState.RUNNING}

    # What is seen

    def see_sandbox(self, sandbox_id: str, *, ready: bool) -> None:
        self._touched.add(sandbox_id)
        known = self._sandboxes.get(sandbox_id)
        self._sandboxes[sandbox_id] = ready
        if known is None or known != ready:
            self._tell(EventKind.STARTED if ready else EventKind.STOPPED, sandbox_id)

    def see_container(self, container_id: str, sandbox_id: str, state: ContainerState) -> None:
        self._touched.add(container_id)
        known = self._containers.get(container_id)
        self._containers[container_id] = (sandbox_id, state)
        if known is None or known[1] is not state:
            self._tell(_KINDS[state], sandbox_id, container_id)

    def see_container_gone(self, container_id: str) -> None:
        self._touched.add(container_id)
        known = self._containers.pop(container_id, None)
        if known is not None:
            self._tell(EventKind.DELETED, known[0], container_id)

    def see_sandbox_gone(self, sandbox_id: str) -> None:
        self._touched.add(sandbox_id)
        for container_id in [one for one, (sandbox, _) in self._containers.items() if sandbox == sandbox_id]:
            self.see_container_gone(container_id)
        if self._sandboxes.pop(sandbox_id, None) is not None:
            self._tell(EventKind.DELETED, sandbox_id)

    def _tell(self, kind: EventKind, sandbox_id: str, container_id: str = "") -> None:
        event = Event(kind=kind, sandbox_id=sandbox_id, container_id=container_id, at=self._clock.now())
        for queue in self._readers:
            queue.put_nowait(event)

    # What is told

    async def events(self) -> AsyncIterator[Event]:
        """What changes from now on, and what has changed since it was last looked at.

        Raises RuntimeUnavailable where the runtime is lost.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._readers.add(queue)
        following = asyncio.ensure_future(self._follow())
        following.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            await following
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as exc:
            raise RuntimeUnavailable(str(exc)) from exc
        finally:
            self._readers.discard(queue)
            following.cancel()
            await asyncio.wait({following})

    async def _follow(self) -> NoReturn:
        for listen in (self._listen_to_cri, self._listen_to_containerd):
            try:
                async with companions() as beside:
                    beside.start(self._look_at_all_every(RELIST_SECONDS))
                    await listen(beside)
            except Unsupported:
                continue
            raise RuntimeUnavailable("the runtime has ended its events")
        await self._look_at_all_every(POLL_SECONDS)

    async def _listen_to_cri(self, beside: Companions) -> None:
        request = MESSAGES.encode("GetEventsRequest", {})
        async with aclosing(self._client.stream(_CRI_EVENTS, request, "ContainerEventResponse")) as events:
            async for event in events:
                self._take(event, beside)

    def _take(self, event: Tree, beside: Companions) -> None:
        sandbox = event["pod_sandbox_status"]
        about, kind = event["container_id"], event["container_event_type"]
        if sandbox is not None:
            for status in event["containers_statuses"]:
                self.see_container(status["id"], sandbox["id"], container_state(status["state"]))
            self.see_sandbox(sandbox["id"], ready=not sandbox["state"])
        if kind == _DELETED:
            self.see_container_gone(about)
            self.see_sandbox_gone(about)
        elif kind == _STOPPED:
            self._expect_end(about, beside)

    async def _listen_to_containerd(self, beside: Companions) -> None:
        request = MESSAGES.encode("SubscribeRequest", {"filters": [_EXITS]})
        async with aclosing(self._client.stream(_CONTAINERD_EVENTS, request, "Envelope")) as events:
            async for event in events:
                ended = MESSAGES.decode("TaskExit", (event["event"] or {"value": b""})["value"])
                if ended["id"] == ended["container_id"]:  # else a command that ran in it
                    self._expect_end(ended["container_id"], beside)

    # Looking

    def _expect_end(self, about: str, beside: Companions) -> None:
        if about not in self._awaited and not self._has_ended(about):
            self._awaited.add(about)
            beside.start(self._look_until_ended(about))

    def _has_ended(self, about: str) -> bool:
        if about in self._containers:
            return self._containers[about][1] in (ContainerState.EXITED, ContainerState.UNKNOWN)
        return not self._sandboxes.get(about, True)

    async def _look_until_ended(self, about: str) -> None:
        """See that a container or sandbox has ended, or leave it to the next look at all."""
        try:
            for pause in _PAUSES:
                await self._clock.sleep(pause)
                if about in self._sandboxes:
                    status = (await self._client.call("PodSandboxStatus", {"pod_sandbox_id": about}))["status"]
                    self.see_sandbox(about, ready=not status["state"])
                elif about in self._containers:
                    status = (await self._client.call("ContainerStatus", {"container_id": about}))["status"]
                    self.see_container(about, self.sandbox_of(about), container_state(status["state"]))
                if self._has_ended(about):
                    return
        except NotFound:
            self.see_container_gone(about)
            self.see_sandbox_gone(about)
        except RuntimeFailure:
            pass  # the next look finds it, or fails as well
        finally:
            self._awaited.discard(about)

    async def _look_at_all_every(self, seconds: float) -> NoReturn:
        await self.look_at_all()
        await self._clock.sleep(POLL_SECONDS)  # what ended before anybody listened, the runtime knows by then
        while True:
            await self.look_at_all()
            await self._clock.sleep(seconds)

    async def look_at_all(self) -> None:
        """Have the runtime list what it has. Raises RuntimeFailure."""
        touched = self._touched = set()
        before = {*self._sandboxes, *self._containers}
        sandboxes = (await self._client.call("ListPodSandbox"))["items"]
        containers = (await self._client.call("ListContainers"))["containers"]
        newer, listed = set(touched), {one["id"] for one in (*sandboxes, *containers)}
        for one in sandboxes:
            if one["id"] not in newer:
                self.see_sandbox(one["id"], ready=not one["state"])
        for one in containers:
            if one["id"] not in newer:
                self.see_container(one["id"], one["pod_sandbox_id"], container_state(one["state"]))
        for gone in before - listed - newer:
            self.see_container_gone(gone)
            self.see_sandbox_gone(gone)
        self.looked_at = self._clock.monotonic()
