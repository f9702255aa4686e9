"""One probe: when it is tried, and what it comes to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from hyperkube_kubelet.containers.verdicts import Verdict
from hyperkube_kubelet.probes.trying import Errored, Outcome
from hyperkube_kubelet.probes.worker import ProbeKind, ProbeWorker, Target
from hyperkube_machinery.testing.clock import VirtualClock

from ..builders import container, pod

pytestmark = pytest.mark.anyio

RUN = Target(container_id="main-0", running=True, started=True, started_at=0.0, pod_ip="10.0.0.1", deleting=False)
STARTING = replace(RUN, started=False)


class Probed:
    """A worker, what its tries come to, and what it told."""

    def __init__(self, kind: ProbeKind, **probe: Any) -> None:
        self.clock = VirtualClock(now=0.0)
        self.verdicts: dict[str, Verdict] = {}
        self.changes = 0
        self.tries = 0
        self.outcomes: list[Outcome | Errored] = [Outcome("success")]  # the last one goes on
        self.told: list[str] = []
        fields: dict[str, Any] = {f"{kind}Probe": {"exec": {"command": ["x"]}, "periodSeconds": 10, **probe}}
        spec = container(**fields)
        self.worker = ProbeWorker(
            pod(spec),
            spec,
            kind,
            trier=self._try,  # type: ignore[arg-type]
            verdicts=self.verdicts,
            changed=self._changed,
            recorder=self,
            clock=self.clock,
        )

    async def _try(self, *_: object, host_network: bool) -> Outcome:
        self.tries += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Errored):
            raise outcome
        return outcome

    def _changed(self) -> None:
        self.changes += 1

    def event(
        self,
        subject: Mapping[str, Any],
        kind: str,
        reason: str,
        message: str,
        *,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        self.told.append(f"{reason}: {message}")


@pytest.fixture
async def tasks() -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def begun(
    tasks: list[asyncio.Task[None]],
    kind: ProbeKind,
    target: Target = RUN,
    /,
    *outcomes: Outcome | Errored,
    **probe: Any,
) -> Probed:
    probed = Probed(kind, **probe)
    if outcomes:
        probed.outcomes = list(outcomes)
    probed.worker.aim(target)
    tasks.append(asyncio.create_task(probed.worker.run()))
    await probed.clock.advance(0)
    return probed


FAILS, PASSES = Outcome("failure", "no"), Outcome("success")


async def test_readiness_is_tried_as_soon_as_a_container_runs(tasks: Any) -> None:
    probed = await begun(tasks, "readiness")
    assert (probed.tries, probed.verdicts) == (1, {"main-0": True})


async def test_then_once_a_period(tasks: Any) -> None:
    probed = await begun(tasks, "readiness")
    await probed.clock.advance(35)
    assert probed.tries == 4


async def test_nothing_is_tried_in_the_initial_delay(tasks: Any) -> None:
    probed = await begun(tasks, "readiness", initialDelaySeconds=25)
    await probed.clock.advance(24)
    assert (probed.tries, probed.verdicts) == (0, {"main-0": False})
    await probed.clock.advance(2)
    assert probed.tries == 1


async def test_a_verdict_changes_after_so_many_in_a_row(tasks: Any) -> None:
    outcomes = (PASSES, FAILS, FAILS, PASSES, FAILS, FAILS, FAILS)
    probed = await begun(tasks, "readiness", RUN, *outcomes, failureThreshold=3)
    seen = []
    for _ in outcomes:
        seen.append(probed.verdicts["main-0"])
        await probed.clock.advance(10)
    assert seen == [True, True, True, True, True, True, False]
    assert probed.told[0] == "Unhealthy: Readiness probe failed: no"


async def test_success_may_take_several_too(tasks: Any) -> None:
    probed = await begun(tasks, "readiness", successThreshold=2)
    assert probed.verdicts["main-0"] is False
    await probed.clock.advance(10)
    assert probed.verdicts["main-0"] is True


async def test_a_container_that_is_not_alive_is_not_asked_again(tasks: Any) -> None:
    probed = await begun(tasks, "liveness", RUN, FAILS, failureThreshold=1)
    assert probed.verdicts["main-0"] is False
    await probed.clock.advance(100)
    assert probed.tries == 1
    probed.worker.aim(replace(RUN, container_id="main-1"))
    await probed.clock.advance(0)
    assert probed.tries == 2
    assert probed.verdicts == {"main-1": False}


async def test_a_container_is_alive_until_the_contrary_is_known(tasks: Any) -> None:
    probed = await begun(tasks, "liveness", initialDelaySeconds=5)
    assert probed.verdicts == {"main-0": True}


@pytest.mark.parametrize("kind", ["liveness", "readiness"])
async def test_other_probes_wait_for_the_start(tasks: Any, kind: ProbeKind) -> None:
    probed = await begun(tasks, kind, STARTING)
    assert probed.tries == 0
    probed.worker.aim(RUN)
    await probed.clock.advance(0)
    assert probed.tries == 1


async def test_a_startup_probe_is_tried_until_it_passes(tasks: Any) -> None:
    probed = await begun(tasks, "startup", STARTING, FAILS, PASSES, failureThreshold=5)
    assert probed.verdicts == {"main-0": None}
    await probed.clock.advance(10)
    assert probed.verdicts == {"main-0": True}
    await probed.clock.advance(100)
    assert probed.tries == 2


async def test_a_container_that_ended_is_not_ready(tasks: Any) -> None:
    probed = await begun(tasks, "readiness")
    probed.worker.aim(replace(RUN, running=False))
    await probed.clock.advance(0)
    assert probed.verdicts == {"main-0": False}


async def test_in_a_pod_that_is_stopped_only_readiness_counts(tasks: Any) -> None:
    probed = await begun(tasks, "liveness", RUN, FAILS, failureThreshold=2)
    probed.worker.aim(replace(RUN, deleting=True))
    await probed.clock.advance(100)
    assert (probed.tries, probed.verdicts) == (1, {"main-0": True})
    ready = await begun(tasks, "readiness", replace(RUN, deleting=True))
    assert ready.tries == 1


async def test_what_was_ready_before_stays_so_until_it_is_tried(tasks: Any) -> None:
    probed = await begun(tasks, "readiness", replace(RUN, kept=True), FAILS, failureThreshold=1)
    assert (probed.tries, probed.verdicts) == (0, {"main-0": True})
    await probed.clock.advance(10)
    assert (probed.tries, probed.verdicts) == (1, {"main-0": False})


async def test_a_probe_that_itself_fails_says_nothing(tasks: Any) -> None:
    probed = await begun(tasks, "readiness", RUN, Errored("no runtime"))
    assert (probed.tries, probed.verdicts) == (3, {"main-0": False})
    assert probed.told == ["Unhealthy: Readiness probe errored and resulted in unknown state: no runtime"]


async def test_a_warning_is_told_and_passes(tasks: Any) -> None:
    probed = await begun(tasks, "readiness", RUN, Outcome("warning", "elsewhere"))
    assert probed.verdicts == {"main-0": True}
    assert probed.told == ["ProbeWarning: Readiness probe warning: elsewhere"]
