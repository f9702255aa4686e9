"""What one write of a service holds on to until it is stored: ports in memory, cluster IPs in the store.

Source: k8s.io/kubernetes/pkg/registry/core/service/storage/alloc.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.allocation import Full, Holding, Refused
from hyperkube_apiserver.registry.core.clusteraddresses import ClusterAddresses
from hyperkube_apiserver.registry.strategy import Tree, WriteContext
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, FieldError

__all__ = ["AddressRecords", "ServiceHolding", "cluster_ips"]


class AddressRecords(Protocol):
    """The stored IPAddresses, as services write them."""

    async def write(self, address: str, namespace: str, service: str) -> bool:
        """Record that a service has an address; False if it is recorded for somebody already."""

    def look_after(self, addresses: Iterable[str]) -> None:
        """Forget these soon, as far as no service has them."""


class ServiceHolding(Holding):
    """What one write of a service took: ports in memory, addresses in the store."""

    def __init__(
        self,
        kind: Kind,
        addresses: ClusterAddresses,
        records: AddressRecords | None,
        obj: Tree,
        context: WriteContext,
    ) -> None:
        """Without `records`, addresses are taken for the length of the write alone."""
        super().__init__(dry_run=context.dry_run)
        self._kind = kind
        self._addresses = addresses
        self._records = records
        self._obj = obj
        self._context = context
        self._mine: list[str] = []
        self._left: list[str] = []
        self.new: list[tuple[int, bool]] = []  # which of clusterIPs were taken, and whether they were asked for

    def take_address(self, family: str, wanted: str) -> str:
        """Take `wanted`, or any address of `family`; raises APIError."""
        addresses, dry_run = self._addresses, self._context.dry_run
        try:
            if wanted:
                addresses.take(wanted, dry_run=dry_run)
            else:
                wanted = addresses.take_any(family, dry_run=dry_run)
        except Full as exc:
            why = f'failed to allocate a serviceIP for Service "{meta.name(self._obj)}": {exc}'
            raise APIError.internal(why) from None
        except Refused as exc:
            raise self._refusal(wanted, str(exc)) from None
        if not dry_run:
            self._mine.append(wanted)
        return wanted

    def leave_addresses(self, addresses: Iterable[str]) -> None:
        """Give these back when the write is stored."""
        self._left += addresses

    async def secure(self) -> None:
        records, spec = self._records, self._obj["spec"]
        if records is None or self._context.dry_run:
            return
        for index, asked in self.new:
            address = spec["clusterIPs"][index]
            while not await records.write(address, self._context.namespace, meta.name(self._obj)):
                self._mine.remove(address)
                self._addresses.finish([address])
                if asked:
                    raise self._refusal(address, "provided IP is already allocated")
                address = spec["clusterIPs"][index] = self.take_address(spec["ipFamilies"][index], "")
        if self.new:
            spec["clusterIP"] = spec["clusterIPs"][0]

    def commit(self) -> None:
        super().commit()
        self._end(() if self._context.dry_run else self._left)

    def release(self) -> None:
        super().release()
        self._end(self._mine)

    def _end(self, free: Iterable[str]) -> None:
        self._addresses.finish(self._mine)
        if self._records is not None:
            self._records.look_after(free)

    def _refusal(self, address: str, why: str) -> APIError:
        resource, shown = self._kind.resource, self._obj["spec"]["clusterIPs"]
        error = FieldError.invalid("spec.clusterIPs", list(shown), f"failed to allocate IP {address}: {why}")
        return APIError.invalid(resource.group, resource.kind, meta.name(self._obj), [error])


def cluster_ips(spec: Mapping[str, Any]) -> list[str]:
    """The cluster IPs that a stored service holds."""
    if spec.get("type") == "ExternalName":
        return []
    found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [address for address in found if address not in ("", "None")]
