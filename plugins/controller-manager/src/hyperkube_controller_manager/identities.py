"""Who controllers are to the API server: all of them the server, or each a service account of its own.

Source: k8s.io/controller-manager/pkg/clientbuilder.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hyperkube_controller_manager.catalog import Entry
from hyperkube_machinery import timestamps
from hyperkube_machinery.builtin import SERVICE_ACCOUNTS
from hyperkube_machinery.client import Client, LocalServer, connect
from hyperkube_machinery.client.credentials import Credentials, Headers
from hyperkube_machinery.client.metrics import ClientMetrics
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.kubeconfig import Access

__all__ = ["AGENT", "AccountCredentials", "Connections"]

AGENT = "kube-controller-manager"

_NAMESPACE = "kube-system"
_TOKEN_SECONDS = 3600
_USED_PART = 0.8  # of a token's time, after which another is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """How to reach the API server, as the server or as a controller."""

    access: Access
    clock: Clock
    local: LocalServer | None
    metrics: ClientMetrics
    qps: float  # of each controller; 0 for any number
    burst: int

    @asynccontextmanager
    async def own(self, agent: str) -> AsyncIterator[Client]:
        """The server's own client, without a limit, for the length of the block."""
        async with connect(
            self.access, clock=self.clock, user_agent=f"{AGENT}/{agent}", local=self.local, metrics=self.metrics
        ) as client:
            yield client

    @asynccontextmanager
    async def of(self, entry: Entry, issuer: Client | None) -> AsyncIterator[Client]:
        """A controller's client, for the length of the block: as its account, whose tokens `issuer` asks for."""
        access, credentials = self.access, None
        if issuer is not None:
            access = Access(
                server=access.server,
                ca_pem=access.ca_pem,
                insecure=access.insecure,
                server_name=access.server_name,
            )
            credentials = AccountCredentials(access, self.clock, _asking(issuer, entry.account))
        async with connect(
            access,
            clock=self.clock,
            user_agent=f"{AGENT}/{entry.account}",
            local=self.local,
            qps=self.qps * entry.boost,
            burst=int(self.burst * entry.boost),
            metrics=self.metrics,
            credentials=credentials,
        ) as client:
            yield client


Ask = Callable[[], Awaitable[tuple[str, float]]]
"""Asks for a token; returns it and until when it is good, in seconds since the epoch."""


def _asking(issuer: Client, account: str) -> Ask:
    async def ask() -> tuple[str, float]:
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _TOKEN_SECONDS},
        }
        try:
            answer = await issuer.create(SERVICE_ACCOUNTS, request, _NAMESPACE, name=account, subresource="token")
        except APIError as exc:
            if exc.code != 404:
                raise
            await _create_account(issuer, account)
            answer = await issuer.create(SERVICE_ACCOUNTS, request, _NAMESPACE, name=account, subresource="token")
        status = answer["status"]
        return status["token"], timestamps.parse(status["expirationTimestamp"])

    return ask


async def _create_account(issuer: Client, account: str) -> None:
    about = {"name": account, "namespace": _NAMESPACE}
    try:
        await issuer.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about})
    except APIError as exc:
        if exc.reason != "AlreadyExists":
            raise


class AccountCredentials(Credentials):
    """The token of a service account, asked for anew before it is too old, or when it is refused."""

    def __init__(self, access: Access, clock: Clock, ask: Ask) -> None:
        super().__init__(access, clock)
        self._now = clock.now
        self._ask = ask
        self._renew_at = 0.0
        self._asking_lock = asyncio.Lock()
        self._bearer: Headers = ()

    def known(self) -> Headers | None:
        return self._bearer if self._now() < self._renew_at else None

    async def find(self) -> Headers:
        async with self._asking_lock:
            if self.known() is None:
                now = self._now()
                token, expires = await self._ask()
                self._renew_at = now + (expires - now) * _USED_PART
                self._bearer = (("authorization", f"Bearer {token}"),)
        return self._bearer

    def refused(self) -> None:
        self._renew_at = 0.0
