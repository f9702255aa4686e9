"""One of many who may do something: whoever holds a Lease.

    elector = LeaderElector(client, clock, identity="host_1a2b", name="kube-scheduler")
    async with elector.leading():   # waits until it is this one's turn
        ...                         # cancelled if the lease is lost

Clocks of different machines are never compared: a lease has expired once it was not renewed for so long by one's own.
Source: k8s.io/client-go/tools/leaderelection
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import random
from typing import Any, NoReturn
from uuid import uuid4

from hyperkube_machinery.builtin import LEASES
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.timestamps import format_micro

__all__ = ["LeaderElector", "LeadershipLost", "LeaseTimes", "new_identity"]

log = logging.getLogger(__name__)

Tree = dict[str, Any]

_JITTER = 1.2


class LeadershipLost(Exception):
    """The lease could not be renewed in time; somebody else may lead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """In seconds; upstream's defaults."""

    lease: float = 15.0  # others wait so long since they last saw it renewed
    renew: float = 10.0  # who leads tries so long to renew it before it gives up
    retry: float = 2.0  # between attempts

    def __post_init__(self) -> None:
        """Raises ValueError for times that don't fit together."""
        if self.lease <= self.renew:
            raise ValueError("leaseDuration must be greater than renewDeadline")
        if self.renew <= self.retry * _JITTER:
            raise ValueError("renewDeadline must be greater than retryPeriod*JitterFactor")
        if min(self.lease, self.renew, self.retry) <= 0:
            raise ValueError("leaseDuration, renewDeadline and retryPeriod must be greater than zero")


def new_identity() -> str:
    """A name that no other process has: the host's, and something unique."""
    return f"{socket.gethostname()}_{uuid4()}"


class LeaderElector:
    """One candidate for one lease."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        identity: str,
        name: str,
        namespace: str = "kube-system",
        times: LeaseTimes | None = None,
        recorder: EventRecorder | None = None,
        chance: Callable[[], float] = random,
        on_new_leader: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_new_leader` is called with each holder of the lease, this one included, as it is first seen."""
        self._client = client
        self._clock = clock
        self.identity = identity
        self._name = name
        self._namespace = namespace
        self._times = times or LeaseTimes()
        self._recorder = recorder
        self._chance = chance
        self._on_new_leader = on_new_leader
        self._lease: Tree | None = None  # as it was last seen
        self._observed = 0.0  # when it was last seen to change

    @property
    def leader(self) -> str:
        """Who held the lease when it was last seen; "" for nobody."""
        return _spec(self._lease).get("holderIdentity") or ""

    @property
    def is_leader(self) -> bool:
        return self.leader == self.identity

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[LeaderElector]:
        """Wait for the lease, keep it for the length of the block, and give it back.

        Raises LeadershipLost, and cancels the block, if it can't be kept.
        """
        await self._acquire()
        try:
            async with companions(self._keep()):
                yield self
        finally:
            await self._release()

    async def _acquire(self) -> None:
        log.info("attempting to acquire leader lease %s/%s", self._namespace, self._name)
        while not await self._try():
            await self._clock.sleep(self._times.retry * (1 + _JITTER * self._chance()))
        log.info("successfully acquired lease %s/%s", self._namespace, self._name)
        self._tell("became leader")

    async def _keep(self) -> NoReturn:
        while True:
            await self._clock.sleep(self._times.retry)
            try:
                await within(self._clock, self._times.renew, self._renew())
            except TimeoutError:
                self._tell("stopped leading")
                self._lease = None
                lease, seconds = f"{self._namespace}/{self._name}", self._times.renew
                raise LeadershipLost(f"failed to renew lease {lease}: timed out after {seconds:g} seconds") from None

    async def _renew(self) -> None:
        while not await self._try():
            await self._clock.sleep(self._times.retry)

    async def _try(self) -> bool:
        """Take or renew the lease; False where somebody else has it, or that can't be found out."""
        try:
            return await self._attempt()
        except (APIError, ClientError) as exc:
            log.warning("error retrieving or updating lease %s/%s: %s", self._namespace, self._name, exc)
            return False

    async def _attempt(self) -> bool:
        if self._lease is not None and self.is_leader and self._is_valid():
            try:  # nobody else can have it, so that what was seen last needs no second look
                return await self._write(self._lease)
            except APIError as exc:
                log.info("failed to update lease optimistically: %s, falling back to slow path", exc)
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except APIError as exc:
            if exc.code != 404:
                raise
            return await self._create()
        if _spec(lease) != _spec(self._lease):
            self._observe(lease)
        self._lease = lease
        if self.leader and not self.is_leader and self._is_valid():
            log.debug("lease is held by %s and has not yet expired", self.leader)
            return False
        return await self._write(lease)

    def _is_valid(self) -> bool:
        """Whether the lease may still be its holder's."""
        return self._observed + (_spec(self._lease).get("leaseDurationSeconds") or 0) > self._clock.monotonic()

    async def _create(self) -> bool:
        lease = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._held({}),
        }
        self._observe(await self._client.create(LEASES, lease))
        return True

    async def _write(self, lease: Tree) -> bool:
        self._observe(await self._client.replace(LEASES, {**lease, "spec": self._held(_spec(lease))}))
        return True

    def _held(self, spec: Tree) -> Tree:
        """`spec` with this candidate as its holder."""
        now = format_micro(self._clock.now())
        ours = spec.get("holderIdentity") == self.identity
        return {
            **spec,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._times.lease),
            "acquireTime": spec.get("acquireTime") if ours else now,
            "renewTime": now,
            "leaseTransitions": (spec.get("leaseTransitions") or 0) + (not ours and bool(spec)),
        }

    async def _release(self) -> None:
        """Let the next one have it at once."""
        if self._lease is None or not self.is_leader:
            return
        now = format_micro(self._clock.now())
        spec = {
            **_spec(self._lease),
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": now,
            "renewTime": now,
        }
        try:
            released = self._client.replace(LEASES, {**self._lease, "spec": spec})
            self._observe(await within(self._clock, self._times.renew, released))
        except (APIError, ClientError, TimeoutError) as exc:
            log.warning("failed to release lease %s/%s: %s", self._namespace, self._name, exc)

    def _observe(self, lease: Tree) -> None:
        before = self.leader
        self._lease = lease
        self._observed = self._clock.monotonic()
        if self.leader != before:
            log.info("lease %s/%s: new leader %r", self._namespace, self._name, self.leader)
            self._on_new_leader(self.leader)

    def _tell(self, what: str) -> None:
        if self._recorder is not None and self._lease is not None:
            self._recorder.event(self._lease, "Normal", "LeaderElection", f"{self.identity} {what}")


def _spec(lease: Tree | None) -> Tree:
    spec: Tree = (lease or {}).get("spec") or {}
    return spec
