"""IPAddresses of services: each cluster IP is recorded under its own name, and goes with its service.

A service's address is recorded before the service is stored. What fails in between, also because the server ends,
leaves a record that no service has; it is found and deleted, as records that somebody deletes are made again.
Source: k8s.io/kubernetes/pkg/registry/core/service/ipallocator, …/ipallocator/controller (repairip).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, NoReturn

from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry.core.serviceholding import cluster_ips
from hyperkube_apiserver.registry.core.services import Services
from hyperkube_apiserver.registry.generic import Registry
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_apiserver.watchcache.item import Event
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.storage.interface import Unavailable
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["StoredAddresses"]

log = logging.getLogger(__name__)

_FAMILY = "ipaddress.kubernetes.io/ip-family"
_MANAGER = "ipaddress.kubernetes.io/managed-by"
_ALLOCATOR = "ipallocator.k8s.io"
_RETRY_SECONDS = 1.0

Tree = dict[str, Any]
Holder = tuple[str, str]
"""Namespace and name of a service."""


class StoredAddresses:
    """The records, written by services, and kept in step with them."""

    def __init__(
        self, records: Registry, recorded: WatchCache, services: WatchCache, strategy: Services, hub: Hub, clock: Clock
    ) -> None:
        self._records = records
        self._recorded = recorded
        self._services = services
        self._strategy = strategy
        self._hub = hub
        self._clock = clock
        self._doubtful: dict[str, Holder | None] = {}  # with the service that has the address, as far as is known
        self._told = asyncio.Event()
        strategy.records = self
        strategy.addresses.follow(self.is_recorded)
        recorded.observe(self._observe)

    def is_recorded(self, address: str) -> bool:
        return self._recorded.get(self._recorded.kind.key("", address)) is not None

    async def write(self, address: str, namespace: str, service: str) -> bool:
        """Record that a service has an address; False if it is recorded for somebody already."""
        address = str(ip_address(address))
        tree: Tree = {
            "kind": "IPAddress",
            "apiVersion": "networking.k8s.io/v1",
            "metadata": {
                "name": address,
                "labels": {_FAMILY: f"IPv{ip_address(address).version}", _MANAGER: _ALLOCATOR},
            },
            "spec": {"parentRef": {"resource": "services", "namespace": namespace, "name": service}},
        }
        try:
            await self._records.create(tree, self._context(), log.warning)
        except APIError as exc:
            if exc.reason != "AlreadyExists":
                raise
            return False
        return True

    def look_after(self, addresses: Iterable[str]) -> None:
        """Forget these soon, as far as no service has them."""
        for address in addresses:
            self._doubtful.setdefault(str(ip_address(address)), None)
        if self._doubtful:
            self._told.set()

    async def forget(self, addresses: Iterable[str]) -> None:
        """Delete the records of these now, as far as no service has them."""
        await self._settle_each({str(ip_address(address)): None for address in addresses})

    async def keep(self) -> NoReturn:
        """Keep the records in step with the services, until cancelled."""
        retries = True
        while True:
            try:
                if retries:
                    await self.settle()
                await self._told.wait()
                self._told.clear()
                doubtful, self._doubtful = self._doubtful, {}
                retries = True  # what is not done should this fail is found among all
                await self._settle_each(doubtful)
                retries = False
            except (APIError, Unavailable) as exc:
                log.warning("the records of cluster IPs could not be brought up to date: %s", exc)
                await self._clock.sleep(_RETRY_SECONDS)

    async def settle(self) -> None:
        """Bring all records in step with the services, as after a crash. Raises APIError or Unavailable."""
        await self._hub.fresh()
        found: dict[str, Holder | None] = {
            item.name: None for item in self._recorded.items() if item.labels.get(_MANAGER) == _ALLOCATOR
        }
        for item in self._services.items():
            for address in cluster_ips(decode_body(item.body)["spec"]):
                found[str(ip_address(address))] = (item.namespace, item.name)
        await self._settle_each(found)

    async def _settle_each(self, found: Mapping[str, Holder | None]) -> None:
        await self._hub.fresh()
        for address, holder in found.items():
            if not self._strategy.addresses.is_under_way(address):  # else its write will tell
                await self._settle(address, holder)

    async def _settle(self, address: str, holder: Holder | None) -> None:
        """Delete the record of an address that no service has, or record one that `holder` has."""
        item = self._recorded.get(self._recorded.kind.key("", address))
        if item is None:
            if holder is not None:
                await self.write(address, *holder)
            return
        record = decode_body(item.body)
        if item.labels.get(_MANAGER) != _ALLOCATOR or self._has(record, address):
            return
        try:
            await self._records.delete(address, DeleteOptions(uid=meta.uid(record)), self._context(), log.warning)
        except APIError as exc:
            if exc.code not in (404, 409):  # it is gone, or it is another's by now
                raise

    def _has(self, record: Tree, address: str) -> bool:
        """Whether the service that a record is for is there and has the address."""
        item = self._services.get(self._services.kind.key(*_parent(record)))
        if item is None:
            return False
        held = cluster_ips(decode_body(item.body)["spec"])
        return address in (str(ip_address(one)) for one in held)

    def _observe(self, event: Event) -> None:
        """A record that somebody deletes is made again if its service still has the address."""
        if event.item is not None or event.previous is None:
            return
        record, address = decode_body(event.previous.body), event.previous.name
        if event.previous.labels.get(_MANAGER) == _ALLOCATOR and self._has(record, address):
            self._doubtful[address] = _parent(record)
            self._told.set()

    def _context(self) -> WriteContext:
        return WriteContext(now=format_seconds(self._clock.now()))


def _parent(record: Tree) -> Holder:
    parent = (record.get("spec") or {}).get("parentRef") or {}
    return parent.get("namespace") or "", parent.get("name") or ""
