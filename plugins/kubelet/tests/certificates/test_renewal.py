"""A certificate is renewed in time, by requests that somebody approves, or denies."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from hyperkube_kubelet.certificates.bootstrapping import client_wanted
from hyperkube_kubelet.certificates.client import CertificateLost, ClientIdentity
from hyperkube_kubelet.certificates.metrics import count_client, count_server
from hyperkube_kubelet.certificates.renewal import Renewal
from hyperkube_kubelet.certificates.store import Pair, PairStore
from hyperkube_machinery import tls
from hyperkube_machinery.certificaterequests import read_request, sign
from hyperkube_machinery.client import Unreachable, WatchEvent
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.kubeconfig import Access
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

DAY = 86400.0


class Signer:
    """An API server with somebody who approves and signs at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ca = tls.create_ca("ca", now=clock.now())
        self.asked = 0
        self.denies = False
        self.answers = True

    async def create(self, resource: object, csr: dict[str, Any]) -> dict[str, Any]:
        if not self.answers:
            raise Unreachable("connection refused")
        self.asked += 1
        self._csr = {**csr, "metadata": {"name": f"csr-{self.asked}", "uid": f"u{self.asked}"}}
        return self._csr

    async def watch(self, resource: object, *, fields: str) -> AsyncIterator[WatchEvent]:
        yield WatchEvent("ADDED", self._csr)
        kind = "Denied" if self.denies else "Approved"
        status: dict[str, Any] = {"conditions": [{"type": kind, "reason": "Test", "message": "no"}]}
        if not self.denies:
            asked = read_request(base64.b64decode(self._csr["spec"]["request"]))
            usages = self._csr["spec"]["usages"]
            pem = sign(self._ca, asked, usages, seconds=DAY, now=self._clock.now())
            status["certificate"] = base64.b64encode(pem).decode()
        yield WatchEvent("MODIFIED", {**self._csr, "status": status})
        await asyncio.get_running_loop().create_future()

    async def raw(self, method: str, target: str) -> Any:
        if not self.answers:
            raise Unreachable("connection refused")
        return type("Answer", (), {"status": 401})


def renewal(folder: Path, clock: Clock, taken: list[Pair]) -> Renewal:
    store = PairStore(folder, "kubelet-client")
    return Renewal(store, lambda: client_wanted("n1"), clock, pair=None, renewed=taken.append, chance=lambda: 0.5)


async def test_a_certificate_is_renewed_when_four_fifths_of_its_life_are_over(tmp_path: Path) -> None:
    clock, taken = VirtualClock(), cast("list[Pair]", [])
    signer, kept = Signer(clock), renewal(tmp_path, clock, taken)
    ages: list[float] = []
    kept.on_replaced(ages.append)
    async with companions(kept.run(cast(Any, signer))):
        await clock.advance(1.0)
        assert signer.asked == 1
        await clock.advance(0.79 * DAY)
        assert signer.asked == 1
        await clock.advance(0.01 * DAY)
        assert signer.asked == 2
    found = PairStore(tmp_path, "kubelet-client").load()
    assert found is not None
    assert found.certificate == taken[-1].certificate != taken[0].certificate
    assert ages == [pytest.approx(0.8 * DAY, rel=0.01)]


async def test_what_is_denied_or_not_heard_is_asked_for_again_and_counted(tmp_path: Path) -> None:
    clock, taken = VirtualClock(), cast("list[Pair]", [])
    signer, kept = Signer(clock), renewal(tmp_path, clock, taken)
    registry = Registry()
    count_server(registry, kept)
    signer.denies = True
    async with companions(kept.run(cast(Any, signer))):
        await clock.advance(1.0)
        assert (signer.asked, kept.failures, taken) == (1, 1, [])
        signer.denies, signer.answers = False, False
        await clock.advance(120.0)
        failures = kept.failures
        assert 3 < failures < 10  # later each time, at most half a minute
        signer.answers = True
        await clock.advance(40.0)
    assert len(taken) == 1
    assert kept.failures == failures
    assert kept.seconds_left == pytest.approx(DAY, rel=0.01)


async def test_who_has_lost_his_certificate_leaves_once_the_server_answers(tmp_path: Path) -> None:
    clock = VirtualClock()
    signer = Signer(clock)
    signer.answers = False
    then = clock.now() - 365 * DAY + 60.0  # a minute is left of its life
    made = tls.issue_client_certificate(tls.create_ca("ca", now=then), "system:node:n1", now=then)
    pair = Pair.made(made.certificate_pem, made.key)
    kept = Renewal(
        PairStore(tmp_path, "kubelet-client"), lambda: client_wanted("n1"), clock, pair=pair, renewed=lambda _: None
    )
    identity = ClientIdentity(Access(server="https://127.0.0.1:1"), kept, clock)
    registry = Registry()
    count_client(registry, kept, identity.seconds_left)
    keeping = asyncio.get_running_loop().create_task(identity.keep(cast(Any, signer)))
    await clock.advance(90.0)
    assert identity.seconds_left() < 0
    assert not keeping.done()
    signer.answers, signer.denies = True, True
    await clock.advance(15.0)
    with pytest.raises(CertificateLost, match="the API server answers 401"):
        await keeping
