"""The model, kept up to date with what informers tell, and which services changed since it was last looked at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hyperkube_machinery import timestamps
from hyperkube_proxy.model import Endpoint, PortName, ServiceName, ServicePort
from hyperkube_proxy.objects import SliceEndpoints, read_service, read_slice, service_of_slice

__all__ = ["TRIGGER_ANNOTATION", "Changed", "Model"]

Tree = Mapping[str, Any]

TRIGGER_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


@dataclass(slots=True)
class Changed:
    """What happened between two looks."""

    services: set[ServiceName] = field(default_factory=set)
    triggers: list[float] = field(default_factory=list)
    """When pods or services changed that endpoints changed for, in seconds since the epoch."""


class Model:
    """Services' ports and their endpoints.

    An object that changes back before anybody looks is still told of: looking costs less than remembering.
    """

    def __init__(self, node_name: str = "") -> None:
        self._node_name = node_name
        self._ports: dict[ServiceName, dict[PortName, ServicePort]] = {}
        self._slices: dict[ServiceName, dict[str, SliceEndpoints]] = defaultdict(dict)
        self._changed = Changed()
        self.service_changes = 0  # since the start
        self.endpoint_changes = 0
        self._changed_services: set[ServiceName] = set()
        self._changed_endpoints: set[ServiceName] = set()

    # What informers call.

    def on_service(self, old: Tree | None, new: Tree | None) -> bool:
        """Take a service in; whether anything is different now that a proxy cares for."""
        obj = new or old
        assert obj is not None
        self.service_changes += 1
        name = ServiceName(obj["metadata"]["namespace"], obj["metadata"]["name"])
        ports = read_service(new) if new is not None else {}
        if ports == self._ports.get(name, {}):
            return False
        if ports:
            self._ports[name] = ports
        else:
            del self._ports[name]
        self._changed.services.add(name)
        self._changed_services.add(name)
        return True

    def on_slice(self, old: Tree | None, new: Tree | None) -> bool:
        """Take an EndpointSlice in; whether anything is different now that a proxy cares for."""
        self.endpoint_changes += 1
        before, after = (None if slice_ is None else service_of_slice(slice_) for slice_ in (old, new))
        changed = False
        if old is not None and before is not None and before != after:
            changed |= self._put(before, old["metadata"]["name"], {})
        if new is None or after is None:
            return changed
        if self._put(after, new["metadata"]["name"], read_slice(new, node_name=self._node_name)):
            self._note_trigger(new)
            return True
        return changed

    def _put(self, service: ServiceName, slice_name: str, endpoints: SliceEndpoints) -> bool:
        slices = self._slices[service]
        differs = endpoints != slices.get(slice_name, {})
        if endpoints:
            slices[slice_name] = endpoints
        else:
            slices.pop(slice_name, None)
        if not slices:
            del self._slices[service]
        if differs:
            self._changed.services.add(service)
            self._changed_endpoints.add(service)
        return differs

    def _note_trigger(self, slice_: Tree) -> None:
        text = (slice_["metadata"].get("annotations") or {}).get(TRIGGER_ANNOTATION)
        if text:
            with suppress(timestamps.TimestampError):  # an annotation may say anything
                self._changed.triggers.append(timestamps.parse(text))

    # What the syncer reads.

    @property
    def pending_services(self) -> int:
        """How many services' own changes were not taken yet."""
        return len(self._changed_services)

    @property
    def pending_endpoints(self) -> int:
        """How many services' endpoints changed and were not taken yet."""
        return len(self._changed_endpoints)

    def take(self) -> Changed:
        """What changed since the last call."""
        taken, self._changed = self._changed, Changed()
        self._changed_services.clear()
        self._changed_endpoints.clear()
        return taken

    def services(self) -> set[ServiceName]:
        """Those with a port."""
        return set(self._ports)

    def ports(self, service: ServiceName) -> Mapping[PortName, ServicePort]:
        return self._ports.get(service, {})

    def endpoints(self, name: PortName) -> tuple[Endpoint, ...]:
        """All endpoints of a port, whatever their condition, in the order of their addresses.

        An address that is in there twice is that of the pod that isn't terminating.
        """
        found: dict[tuple[str, int], Endpoint] = {}
        for slice_endpoints in self._slices.get(name.service_name, {}).values():
            for endpoint in slice_endpoints.get(name, ()):
                key = endpoint.ip, endpoint.port
                if key not in found or not endpoint.terminating:
                    found[key] = endpoint
        return tuple(found[key] for key in sorted(found))
