"""One probe of one container, again and again. Source: k8s.io/kubernetes/pkg/kubelet/prober/worker.go."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Literal

from hyperkube_kubelet.containers.verdicts import Verdict
from hyperkube_kubelet.pauses import rest
from hyperkube_kubelet.podspec import Tree, uses_host_network
from hyperkube_kubelet.probes.trying import Errored, Trier
from hyperkube_kubelet.telling import Recorder, container_reference
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock

__all__ = ["ProbeKind", "ProbeWorker", "Target"]

log = logging.getLogger(__name__)

ProbeKind = Literal["liveness", "readiness", "startup"]

MOST_TRIES = 3
_INITIAL: dict[ProbeKind, Verdict] = {"liveness": True, "readiness": False, "startup": None}
_SHOWN: dict[ProbeKind, str] = {"liveness": "Liveness", "readiness": "Readiness", "startup": "Startup"}


@dataclass(frozen=True, slots=True)
class Target:
    """The run of a container that is to be probed."""

    container_id: str
    running: bool
    started: bool  # its startup probe has passed, or it has none
    started_at: float
    pod_ip: str
    deleting: bool  # its pod is
    kept: Verdict = field(default=None, compare=False)  # what the verdict was before this kubelet was started


class ProbeWorker:
    """Follows the runs of one container, and keeps the verdict of one of its probes."""

    def __init__(
        self,
        pod: Tree,
        container: Tree,
        kind: ProbeKind,
        *,
        trier: Trier,
        verdicts: MutableMapping[str, Verdict],
        changed: Callable[[], None],
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self.kind = kind
        self._pod = pod
        self._container = container
        self._probe: Tree = container[f"{kind}Probe"]
        self._trier = trier
        self._verdicts = verdicts
        self._changed = changed
        self._recorder = recorder
        self._clock = clock
        self._target: Target | None = None
        self._news = asyncio.Event()
        self._following = ""  # the id of the run whose verdict is kept
        self._on_hold = False
        self._settles = False  # whether to wait first, so that a kubelet that has started doesn't probe all at once
        self.results = {"successful": 0, "failed": 0, "unknown": 0}  # how many tries came to what
        self._row: tuple[bool | None, int] = (None, 0)  # the latest result, and how often it came in a row

    @property
    def about(self) -> tuple[str, ...]:
        """What counters of it are labelled with: the probe, the container, its pod, namespace and uid."""
        pod = self._pod
        return _SHOWN[self.kind], self._container["name"], meta.name(pod), meta.namespace(pod), meta.uid(pod)

    def aim(self, target: Target | None) -> None:
        """Say what there is to probe, None while there is nothing; of a new run there is a verdict at once."""
        if target != self._target:
            self._target = target
            self._news.set()
            if target is not None and target.container_id != self._following:
                self._begin(target)

    async def run(self) -> None:
        """Probe until there is nothing more to probe; the verdict stays until it is forgotten."""
        period = float(self._probe.get("periodSeconds") or 10)
        pause: float | None = 0.0
        while pause is not None:
            try:
                pause = await self._step(period)
            except Exception:  # one probe's trouble is not the others'
                log.exception("a probe of container %s can't be tried", self._container["name"])
                pause = period
            if pause is not None:
                await rest(self._clock, pause, self._news)

    def forget(self) -> None:
        """Take the verdict away."""
        self._verdicts.pop(self._following, None)

    async def _step(self, period: float) -> float | None:
        """Look once, and probe if it is time; returns how long to rest, None to end."""
        self._news.clear()
        target = self._target
        if target is None:
            return period
        if self._settles:
            self._settles = False
            return random.random() * period
        if self._on_hold:
            return period
        if not target.running:
            self._set(False)
            return period
        if target.deleting and self.kind != "readiness":
            self._set(True)  # a container that is being stopped is not killed for its probes
            return None
        if (early := float(self._probe.get("initialDelaySeconds") or 0) + target.started_at - self._clock.now()) > 0:
            return min(period, early)
        if target.started == (self.kind == "startup"):
            return period
        await self._try(target)
        return period

    def _begin(self, target: Target) -> None:
        self._verdicts.pop(self._following, None)
        self._following, self._on_hold, self._row = target.container_id, False, (None, 0)
        self._settles = target.kept is not None
        self._set(target.kept if target.kept is not None else _INITIAL[self.kind])

    async def _try(self, target: Target) -> None:
        passed = await self._judge(target)
        self.results["unknown" if passed is None else "successful" if passed else "failed"] += 1
        now = self._target
        if passed is None or now is None or now.container_id != target.container_id:
            return
        last, count = self._row
        count = count + 1 if last is passed else 1
        self._row = (passed, count)
        threshold = self._probe.get("successThreshold" if passed else "failureThreshold") or (1 if passed else 3)
        if count < threshold:
            return
        self._set(passed)
        if self.kind == "startup" or (self.kind == "liveness" and not passed):
            self._on_hold, self._row = True, (None, 0)  # until there is a new run of the container

    async def _judge(self, target: Target) -> bool | None:
        """Whether the probe passed; None where that can't be said. Failures are told of."""
        subject = container_reference(self._pod, self._container)
        shown = _SHOWN[self.kind]
        for tries_left in reversed(range(MOST_TRIES)):
            try:
                outcome = await self._trier(
                    self._probe,
                    self._container,
                    target.container_id,
                    target.pod_ip,
                    host_network=uses_host_network(self._pod),
                )
            except Errored as exc:
                if tries_left:
                    continue
                message = f"{shown} probe errored and resulted in unknown state: {exc}"
                self._recorder.event(subject, "Warning", "Unhealthy", message)
                return None
            break
        if outcome.result == "warning":
            self._recorder.event(subject, "Warning", "ProbeWarning", f"{shown} probe warning: {outcome.output}")
        if outcome.result == "failure":
            self._recorder.event(subject, "Warning", "Unhealthy", f"{shown} probe failed: {outcome.output}")
            return False
        return True

    def _set(self, verdict: Verdict) -> None:
        if self._following not in self._verdicts or self._verdicts[self._following] is not verdict:
            self._verdicts[self._following] = verdict
            self._changed()
