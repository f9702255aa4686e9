"""Leader election: one leads, and who can't show that it does stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hyperkube_machinery.client import Client, Unreachable
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.leaderelection import LeaderElector, LeadershipLost, LeaseTimes, new_identity
from hyperkube_machinery.testing.api import Asked, MemoryAPI
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

KEY = ("/apis/coordination.k8s.io/v1/leases", "kube-system", "it")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def api() -> MemoryAPI:
    return MemoryAPI()


@pytest.fixture
async def client(api: MemoryAPI, clock: VirtualClock) -> AsyncIterator[Client]:
    async with api.client(clock) as client:
        yield client


class Candidate:
    """Leads as soon as it may, and notes when it did."""

    def __init__(self, client: Client, clock: VirtualClock, identity: str, **options: Any) -> None:
        self.elector = LeaderElector(client, clock, identity=identity, name="it", chance=lambda: 0, **options)
        self.leads = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self.elector.leading():
            self.leads = True
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.leads = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait((self.task,))

    async def die(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As by kill -9: nothing is given back."""

        async def nothing() -> None:
            return None

        monkeypatch.setattr(self.elector, "_release", nothing)
        await self.stop()


def spec(api: MemoryAPI) -> dict[str, Any]:
    found: dict[str, Any] = api.objects[KEY]["spec"]
    return found


async def test_the_first_leads_and_the_next_follows_when_it_gives_back(
    api: MemoryAPI, client: Client, clock: VirtualClock
) -> None:
    first = Candidate(client, clock, "first")
    await clock.advance(0)
    second = Candidate(client, clock, "second")
    await clock.advance(60)
    assert (first.leads, second.leads, second.elector.leader) == (True, False, "first")
    assert spec(api) == {
        "holderIdentity": "first",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-09-21T14:13:20.000000Z",
        "renewTime": "2026-09-21T14:14:20.000000Z",
        "leaseTransitions": 0,
    }
    await first.stop()
    assert (spec(api)["holderIdentity"], spec(api)["leaseDurationSeconds"]) == ("", 1)
    await clock.advance(2)
    assert second.leads
    assert spec(api)["leaseTransitions"] == 1
    await second.stop()


async def test_the_lease_of_who_died_expires(
    api: MemoryAPI, client: Client, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Candidate(client, clock, "first")
    await clock.advance(0)
    second = Candidate(client, clock, "second")
    await clock.advance(3)
    await first.die(monkeypatch)
    await clock.advance(12)
    assert not second.leads
    await clock.advance(6)
    assert second.leads
    await second.stop()


async def test_clocks_of_others_are_not_believed(api: MemoryAPI, client: Client, clock: VirtualClock) -> None:
    """A holder whose clock is an hour behind renews all the same."""
    old = "2026-09-21T13:00:00.000000Z"
    lease: dict[str, Any] = {"holderIdentity": "slow", "leaseDurationSeconds": 15, "acquireTime": old, "renewTime": old}
    api.put("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", {"metadata": {"name": "it"}, "spec": lease})
    candidate = Candidate(client, clock, "candidate")
    for minute in range(5):
        await clock.advance(10)
        lease = {**lease, "renewTime": f"2026-09-21T13:0{minute}:30.000000Z"}
        api.put(
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", {"metadata": {"name": "it"}, "spec": lease}
        )
    assert not candidate.leads
    await clock.advance(20)
    assert candidate.leads
    await candidate.stop()


async def test_who_cannot_renew_stops_before_another_may_lead(
    api: MemoryAPI, client: Client, clock: VirtualClock
) -> None:
    first = Candidate(client, clock, "first")
    await clock.advance(4.1)
    api.refuse(Unreachable("gone"), lambda asked: asked.method != "POST", times=1000)
    await clock.advance(5)
    assert first.leads
    await clock.advance(7.1)  # two seconds to the next attempt, and ten for it
    assert not first.leads
    with pytest.raises(LeadershipLost, match="failed to renew lease kube-system/it: timed out after 10 seconds"):
        await first.task


async def test_a_renewal_that_hangs_is_as_bad_as_one_that_fails(
    client: Client, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Candidate(client, clock, "first")
    await clock.advance(0)

    async def hang(*args: Any, **options: Any) -> Any:
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(client, "replace", hang)
    await clock.advance(12.1)
    with pytest.raises(LeadershipLost):
        await first.task


async def test_short_failures_are_got_over(api: MemoryAPI, client: Client, clock: VirtualClock) -> None:
    first = Candidate(client, clock, "first")
    await clock.advance(1)
    api.refuse(APIError.of(500, "InternalError", "oh"), times=4)
    await clock.advance(30)
    assert first.leads
    await first.stop()


async def test_a_lease_that_somebody_changed_is_read_before_it_is_written(
    api: MemoryAPI, client: Client, clock: VirtualClock
) -> None:
    first = Candidate(client, clock, "first")
    await clock.advance(1)
    lease = api.objects[KEY]
    api.put(
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
        {**lease, "metadata": {**lease["metadata"], "labels": {"a": "b"}}},
    )
    await clock.advance(10)
    assert first.leads
    assert api.objects[KEY]["metadata"]["labels"] == {"a": "b"}
    await first.stop()


async def test_a_lease_that_was_taken_away_is_not_taken_back(
    api: MemoryAPI, client: Client, clock: VirtualClock
) -> None:
    first = Candidate(client, clock, "first")
    await clock.advance(1)
    lease = api.objects[KEY]
    stolen = {**lease["spec"], "holderIdentity": "thief"}
    api.put("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", {**lease, "spec": stolen})
    await clock.advance(13)
    with pytest.raises(LeadershipLost):
        await first.task
    assert spec(api)["holderIdentity"] == "thief"


async def test_two_that_come_at_once_do_not_both_lead(api: MemoryAPI, client: Client, clock: VirtualClock) -> None:
    candidates = [Candidate(client, clock, f"c{number}") for number in range(4)]
    await clock.advance(30)
    assert [one.leads for one in candidates].count(True) == 1
    for one in candidates:
        await one.stop()


async def test_who_leads_is_told(api: MemoryAPI, client: Client, clock: VirtualClock) -> None:
    seen: list[str] = []
    async with EventRecorder(client, clock, component="x").running() as recorder:
        first = Candidate(client, clock, "first", recorder=recorder, on_new_leader=seen.append)
        await clock.advance(1)
        events = [obj for key, obj in api.objects.items() if key[0] == "/api/v1/events"]
        assert [(event["reason"], event["message"]) for event in events] == [("LeaderElection", "first became leader")]
        assert events[0]["involvedObject"]["kind"] == "Lease"
        await first.stop()
    assert seen[0] == "first"


async def test_a_server_that_is_gone_at_the_end_holds_nobody_up(
    api: MemoryAPI, client: Client, clock: VirtualClock
) -> None:
    def is_release(asked: Asked) -> bool:
        return asked.method == "PUT" and asked.body["spec"]["holderIdentity"] == ""

    first = Candidate(client, clock, "first")
    await clock.advance(1)
    api.refuse(Unreachable("gone"), is_release)
    await first.stop()
    assert spec(api)["holderIdentity"] == "first"


@pytest.mark.parametrize("times", [(10, 10, 2), (15, 2, 2), (15, 10, 0)])
def test_times_that_do_not_fit_are_refused(times: tuple[float, float, float]) -> None:
    lease, renew, retry = times
    with pytest.raises(ValueError, match="must be greater than"):
        LeaseTimes(lease=lease, renew=renew, retry=retry)


def test_identities_are_nobody_elses() -> None:
    assert new_identity() != new_identity()
