"""The life of one pod on this node.

    syncing ──▶ terminating ──▶ terminated ──▶ finished
       │ what its spec says      │ stop all     │ take volumes away,
       └ again and again         └ that runs    └ write the last status

It never goes back. There is one step at a time; news wakes the worker, and a pod that must end breaks its step off.
Source: k8s.io/kubernetes/pkg/kubelet/pod_workers.go and kubelet.go (SyncPod, SyncTerminatingPod, SyncTerminatedPod).
"""

from __future__ import annotations

import asyncio
import logging
import random
from enum import IntEnum

from hyperkube_kubelet.cgroups.errors import CgroupFailure
from hyperkube_kubelet.containers.observed import Observed, having
from hyperkube_kubelet.containers.resizing import needed
from hyperkube_kubelet.pauses import rest, unbroken
from hyperkube_kubelet.pods.grace import shortened
from hyperkube_kubelet.pods.resizing import group_steps
from hyperkube_kubelet.pods.syncing import Deferred, Syncer
from hyperkube_kubelet.pods.tools import Tools
from hyperkube_kubelet.podspec import Tree, containers, described, init_containers, is_terminal, phase_of, status_of
from hyperkube_kubelet.runtime.errors import RuntimeFailure, RuntimeUnavailable
from hyperkube_kubelet.runtime.values import SandboxState
from hyperkube_kubelet.status.conditions import with_disruption
from hyperkube_kubelet.status.generate import pod_status, without_survivors
from hyperkube_kubelet.status.statuses import Seen
from hyperkube_kubelet.volumes.errors import VolumeFailure
from hyperkube_machinery import meta
from hyperkube_machinery.backoff import Backoff
from hyperkube_machinery.timestamps import parse

__all__ = ["PodWorker", "Stage"]

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
UNAVAILABLE_SECONDS = 1.0
FIRST_MOUNT_SECONDS, LONGEST_MOUNT_SECONDS = 0.5, 122.0
"""Between attempts to have a volume: what is missing often follows at once, as where an API server is told late that a
pod is this node's. Source: k8s.io/kubernetes/pkg/util/goroutinemap/exponentialbackoff.
"""
LATE = "Pod was active on the node longer than the specified deadline"


class Stage(IntEnum):
    """How far a pod has come."""

    SYNCING = 0
    TERMINATING = 1
    TERMINATED = 2
    FINISHED = 3


class PodWorker:
    """Brings one pod to what its object says, and at last to its end."""

    def __init__(self, pod: Tree, tools: Tools) -> None:
        self.pod = pod
        self.stage = Stage.SYNCING
        self.ended = False  # whether somebody other than its object has said that it is to stop
        self._tools = tools
        self._uid = meta.uid(pod)
        self._syncer = Syncer(tools)
        self._news = asyncio.Event()
        self._news.set()
        self._step: asyncio.Task[float] | None = None
        self._grace: int | None = None
        self._told_of_kill = False
        self._evicted: tuple[str, str] | None = None
        self._disrupted = False
        self._first_seen = tools.clock.monotonic()
        self._mounting = Backoff(tools.clock, first=FIRST_MOUNT_SECONDS, longest=LONGEST_MOUNT_SECONDS)
        self._has_run = False
        self.observed = Observed()  # what was last seen of it
        self.has_looked = False  # whether anything was seen yet
        self._operation = "create"
        self.update(pod)

    @property
    def finished(self) -> bool:
        return self.stage is Stage.FINISHED

    def update(self, pod: Tree) -> None:
        """The pod's object has changed."""
        self.pod = pod
        ends = meta.deletion_timestamp(pod) is not None or is_terminal(status_of(pod))
        if ends or self.stage is Stage.TERMINATING:
            self._terminate(None)
        self._news.set()

    def end(self, grace_seconds: int | None = None) -> None:
        """Stop the pod, whatever its object says."""
        self.ended = True
        self._terminate(grace_seconds)

    def evict(self, reason: str, message: str, grace_seconds: int, *, disrupted: bool) -> None:
        """Let the pod have failed, and stop it; `disrupted`: for the node's sake."""
        if self._evicted is None:
            self._evicted, self._disrupted = (reason, message), disrupted
        self._terminate(grace_seconds)

    def wake(self) -> None:
        """Something of the pod may have changed."""
        self._news.set()

    async def run(self) -> None:
        """Work until the pod is finished."""
        try:
            while not self.finished:
                self._news.clear()
                pause = await self._unless_interrupted()
                if pause > 0 and not self.finished:
                    await rest(self._tools.clock, pause, self._news)
        finally:
            if self._step is not None:
                self._step.cancel()
                await asyncio.wait({self._step})

    def _terminate(self, asked: int | None) -> None:
        """Begin to stop the pod, or stop it faster."""
        if self.stage > Stage.TERMINATING:
            return
        grace = shortened(self._grace, self.pod, asked)
        news = self.stage is Stage.SYNCING or grace != self._grace
        self.stage, self._grace = Stage.TERMINATING, grace
        if news and self._step is not None:
            self._step.cancel()
        self._news.set()

    async def _unless_interrupted(self) -> float:
        """Make one step; returns the seconds until the next one at the latest."""
        self._step = asyncio.ensure_future(self._next_step())
        try:
            await asyncio.wait({self._step})
            return 0.0 if self._step.cancelled() else self._step.result()
        finally:
            if self._step.done():
                self._step = None

    async def _next_step(self) -> float:
        steps = {Stage.SYNCING: self._sync, Stage.TERMINATING: self._stop, Stage.TERMINATED: self._finish}
        began = self._tools.clock.monotonic()
        try:
            return await steps[self.stage]()
        except RuntimeUnavailable as exc:
            log.warning("pod %s: %s", described(self.pod), exc)
            return UNAVAILABLE_SECONDS
        except VolumeFailure as exc:
            self._tools.recorder.event(self.pod, "Warning", "FailedMount", str(exc))
            return self._at_deadline(self._mounting.next())
        except (RuntimeFailure, CgroupFailure, OSError) as exc:
            log.warning("pod %s is not synced: %s", described(self.pod), exc)
        except Exception:  # one pod's trouble is not the others'
            log.exception("pod %s is not synced", described(self.pod))
        finally:
            seconds = self._tools.clock.monotonic() - began
            self._tools.counts.worker_seconds.labels(self._operation).observe(seconds)
            self._operation = "sync" if self.stage is Stage.SYNCING else "kill"
        return self._at_deadline(RETRY_SECONDS * (1 + random.random() / 2))

    async def _sync(self) -> float:
        observed = await self._tools.sightings.observe(self._uid)
        self._tools.allocations.progressed(self.given, unfinished=self._resizes(observed))
        status = self.publish(observed)
        if is_terminal(status) or self._is_late(status):
            self._terminate_from_within()
            return 0.0
        try:
            acted = await self._syncer.bring_forward(self.given, observed, self.publish)
        except Deferred as exc:
            self.publish(await self._tools.sightings.observe(self._uid))
            return self._at_deadline(min(exc.seconds or RETRY_SECONDS, self._tools.sync_seconds))
        self._mounting.reset()
        if acted:
            self._news.set()  # see at once what became of it
        return self._at_deadline(self._tools.sync_seconds * (1 + random.random() / 2))

    def _terminate_from_within(self) -> None:
        """As `end`, but without breaking off the step that found out."""
        self.stage, self._grace = Stage.TERMINATING, shortened(self._grace, self.pod, None)
        self._news.set()

    def _at_deadline(self, pause: float) -> float:
        """`pause`, or less where the pod's time is up before."""
        end = self._end_of_time(self._tools.writer.status(self._uid) or status_of(self.pod))
        return pause if end is None else max(0.0, min(pause, end - self._tools.clock.now()))

    def _end_of_time(self, status: Tree) -> float | None:
        seconds, started = self.pod["spec"].get("activeDeadlineSeconds"), status.get("startTime")
        return parse(started) + seconds if seconds is not None and started else None

    def _is_late(self, status: Tree) -> bool:
        end = self._end_of_time(status)
        if end is None or self._tools.clock.now() < end:
            return False
        self._tools.recorder.event(self.pod, "Normal", "DeadlineExceeded", LATE)
        self._evicted = ("DeadlineExceeded", LATE)
        return True

    async def _stop(self) -> float:
        """Stop all that runs."""
        tools = self._tools
        await tools.sightings.refresh(self._uid)  # what was being made when this began is found here
        observed = await tools.sightings.observe(self._uid)
        self.publish(observed)
        tools.prober.spare(self._uid)
        assert self._grace is not None
        tell, self._told_of_kill = not self._told_of_kill, True
        killing = asyncio.ensure_future(tools.killer.kill_all(self.pod, observed, self._grace, tell=tell))
        try:
            await self._show_while(killing)
            for sandbox in observed.sandboxes:
                if sandbox.state is SandboxState.READY:
                    await unbroken(tools.runtime.stop_sandbox(sandbox.id))
        except RuntimeFailure as exc:
            tools.recorder.event(self.pod, "Warning", "FailedKillPod", f"error killing pod: {exc}")
            raise
        finally:
            killing.cancel()
        tools.prober.forget(self._uid)
        observed = await tools.sightings.observe(self._uid)
        if observed.running:
            raise RuntimeFailure(f"containers still run though they were stopped: {observed.running[0].id}")
        tools.allocations.ended(self._uid)
        self.stage = Stage.TERMINATED
        self.publish(observed, terminal=True)
        return 0.0

    async def _show_while(self, killing: asyncio.Future[None]) -> None:
        """Wait for the end of `killing`; the status follows meanwhile: a container is no longer ready, or has ended."""
        killing.add_done_callback(lambda _: self._news.set())
        while not killing.done():
            self._news.clear()
            await self._news.wait()
            if not killing.done():
                self.publish(await self._tools.sightings.observe(self._uid))
        await killing

    async def _finish(self) -> float:
        """Take away what only a pod that goes on needs, and say that there is nothing more to come."""
        tools = self._tools
        await tools.volumes.unmount(self._uid)
        await tools.groups.remove(self._uid)  # only now: memory volumes are charged to it
        final = tools.writer.status(self._uid) or status_of(self.pod)
        tools.writer.set(self.pod, without_survivors(self.pod, final), alive=False, finished=True)
        self.stage = Stage.FINISHED
        return 0.0

    def _count_start(self, status: Tree) -> None:
        if not self._has_run and phase_of(status) == "Running":
            self._has_run = True
            if phase_of(status_of(self.pod)) != "Running":  # else it ran before this kubelet did
                self._tools.counts.pod_start_seconds.observe(self._tools.clock.monotonic() - self._first_seen)

    @property
    def given(self) -> Tree:
        """The pod with the resources that it was given, which may be other than it asks for by now."""
        return self._tools.allocations.of(self.pod)

    def _resizes(self, observed: Observed) -> bool:
        """Whether what runs, or its group, has not what the pod was given."""
        pod = self.given
        specs = {one["name"]: one for one in (*init_containers(pod), *containers(pod))}
        for run in observed.running:
            spec, has = specs.get(run.config.name), having(run)
            if spec is None or has is None:
                continue
            wanted = needed(spec, (spec.get("resources") or {}, pod["spec"].get("resources")), has)
            if wanted.restart or wanted.update:
                return True
        return bool(observed.running) and bool(group_steps(self._tools.groups, pod))

    def publish(self, observed: Observed, *, terminal: bool = False) -> Tree:
        """Make the pod's status of what was seen, have it written, and let probes follow."""
        tools = self._tools
        self.observed, self.has_looked = observed, True
        previous = tools.writer.status(self._uid) or status_of(self.pod)
        if self.stage <= Stage.TERMINATING:
            ips = tuple(tools.host_ips) if self.pod["spec"].get("hostNetwork") else observed.ips
            tools.prober.follow(self.pod, observed, previous, ips)
        seen = Seen(
            observed=observed,
            verdicts=tools.prober.verdicts,
            waiting=self._syncer.waiting,
            scheme=tools.state.scheme,
            host_ips=tools.host_ips,
            resizing=tuple(tools.allocations.conditions(self._uid)),
            held=tools.groups.held(self.given),
        )
        status = pod_status(self.given, seen, previous, terminal=terminal)
        if self._evicted is not None:
            reason, message = self._evicted
            status.update(phase="Failed", reason=reason, message=message)
            if self._disrupted:
                status["conditions"] = with_disruption(self.pod, status["conditions"], message)
        self._count_start(status)
        return tools.writer.set(self.pod, status, alive=self.stage < Stage.TERMINATED)
