"""Health of the devices that containers were given, in a pod's status.

Source: validateContainerStatusAllocatedResourcesStatus in k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_apiserver.registry.fields import one_of
from hyperkube_machinery.errors import FieldError

__all__ = ["validate_allocated_status"]

Tree = Mapping[str, Any]

_LONGEST_MESSAGE = 1024
_CLAIM = "claim:"


def validate_allocated_status(status: Tree, spec: Tree) -> Iterator[FieldError]:
    for field, containers in (("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")):
        known = {one.get("name"): one for one in spec.get(containers) or ()}
        for index, one in enumerate(status.get(field) or ()):
            for position, allocated in enumerate(one.get("allocatedResourcesStatus") or ()):
                at = f"status.{field}[{index}].allocatedResourcesStatus[{position}]"
                if (container := known.get(one.get("name"))) is not None:
                    yield from _name(allocated.get("name") or "", container.get("resources") or {}, f"{at}.name")
                yield from _devices(allocated.get("resources") or (), f"{at}.resources")
    for index, one in enumerate(status.get("ephemeralContainerStatuses") or ()):
        if one.get("allocatedResourcesStatus"):
            at = f"status.ephemeralContainerStatuses[{index}].allocatedResourcesStatus"
            yield FieldError.forbidden(at, "must not be specified in container status")


def _name(name: str, resources: Tree, path: str) -> Iterator[FieldError]:
    if not name.startswith(_CLAIM):
        if name not in (resources.get("requests") or {}):
            yield FieldError.invalid(path, name, "must match one of the container's resource requests")
        return
    claims = {"/".join(filter(None, (one.get("name"), one.get("request")))) for one in resources.get("claims") or ()}
    if name.removeprefix(_CLAIM) not in claims:
        formats = "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"
        yield FieldError.invalid(path, name, f"must match one of the container's resource claims in a format {formats}")


def _devices(devices: Any, path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, device in enumerate(devices):
        at, name, message = f"{path}[{index}]", device.get("resourceID") or "", device.get("message")
        yield from one_of(device.get("health") or "", ("Healthy", "Unhealthy", "Unknown"), f"{at}.health")
        if message == "":
            yield FieldError.required(f"{at}.message", "must be non-empty if specified")
        elif message is not None and len(message.encode()) > _LONGEST_MESSAGE:
            yield FieldError.too_long(f"{at}.message", _LONGEST_MESSAGE)
        if name in seen:
            yield FieldError.duplicate(f"{at}.resourceID", name)
        seen.add(name)
