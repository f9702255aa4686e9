"""What a pod's status may say, and which of its containers may run again.

Source: ValidatePodStatusUpdate in k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_apiserver.registry.addresses import parse_address, validate_address
from hyperkube_apiserver.registry.core.allocatedstatus import validate_allocated_status
from hyperkube_apiserver.registry.fields import dns_label, dns_subdomain, invalid_each, qualified
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_apiserver.registry.meta import immutable
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import in_range

__all__ = ["validate_pod_status"]

Tree = Mapping[str, Any]

_NEGATIVE = "must be a non-negative integer"
_ENDED = "may not be transitioned to non-terminated state"
_STATUSES = {
    "containerStatuses": "containers",
    "initContainerStatuses": "initContainers",
    "ephemeralContainerStatuses": "ephemeralContainers",
}


def validate_pod_status(obj: Tree, old: Tree) -> list[FieldError]:
    status, before = obj.get("status") or {}, old.get("status") or {}
    spec = obj.get("spec") or {}
    return [
        *_conditions(status),
        *_nomination(status, before, (old.get("spec") or {}).get("nodeName") or ""),
        *_generation(status, "status"),
        *immutable("status.qosClass", status.get("qosClass") or "", before.get("qosClass") or ""),
        *_transitions(status, before, old.get("spec") or {}),
        *_claims(status, spec),
        *_extended_claim(status.get("extendedResourceClaimStatus"), spec),
        *_addresses(status, before, "podIPs"),
        *_host_address(status),
        *_addresses(status, before, "hostIPs"),
        *_users(status, (spec.get("os") or {}).get("name") or "linux"),
        *validate_allocated_status(status, spec),
    ]


def _generation(tree: Tree, path: str) -> Iterator[FieldError]:
    generation = tree.get("observedGeneration") or 0
    if generation < 0:
        yield FieldError.invalid(f"{path}.observedGeneration", generation, _NEGATIVE)


def _conditions(status: Tree) -> Iterator[FieldError]:
    for index, condition in enumerate(status.get("conditions") or ()):
        at, kind = f"status.conditions[{index}]", condition.get("type") or ""
        yield from _generation(condition, at)
        if kind not in ("PodScheduled", "Ready", "Initialized"):
            yield from qualified(kind, f"{at}.Type")


def _nomination(status: Tree, before: Tree, node: str) -> Iterator[FieldError]:
    nominated, path = status.get("nominatedNodeName") or "", "status.nominatedNodeName"
    if nominated and nominated != before.get("nominatedNodeName"):
        yield from dns_subdomain(nominated, path)
        if node:
            yield FieldError.forbidden(path, "may not be set on pods that are already bound to a node")


def _transitions(status: Tree, before: Tree, spec: Tree) -> Iterator[FieldError]:
    """Containers that have ended and are not to be started again stay ended."""
    all_restart = _may_restart_all(spec)
    for field, containers in _STATUSES.items():
        states: dict[str | None, Tree] = {}
        for one in status.get(field) or ():
            states.setdefault(one.get("name"), one.get("state") or {})
        known = {one.get("name"): one for one in spec.get(containers) or ()}
        for index, one in enumerate(before.get(field) or ()):
            ended, name = (one.get("state") or {}).get("terminated"), one.get("name")
            if ended is None or name not in states or states[name].get("terminated") is not None:
                continue
            restarts = all_restart or (name in known and _restarts(known[name], spec, ended.get("exitCode") or 0))
            if restarts and containers != "ephemeralContainers":
                continue
            yield FieldError.forbidden(f"status.{field}[{index}].state", _ENDED)


def _may_restart_all(spec: Tree) -> bool:
    return any(
        rule.get("action") == "RestartAllContainers"
        for field in ("initContainers", "containers")
        for container in spec.get(field) or ()
        for rule in container.get("restartPolicyRules") or ()
    )


def _restarts(container: Tree, spec: Tree, exit_code: int) -> bool:
    """Whether a container that ended with `exit_code` is to run again."""
    policy = container.get("restartPolicy")
    if policy is not None:
        for rule in container.get("restartPolicyRules") or ():
            codes = rule.get("exitCodes") or {}
            inside = exit_code in (codes.get("values") or ())
            if (codes.get("operator"), inside) in (("In", True), ("NotIn", False)):
                if rule.get("action") in ("Restart", "RestartAllContainers"):
                    return True
                break
    policy = policy or spec.get("restartPolicy") or "Always"
    return bool(policy == "Always" or (policy == "OnFailure" and exit_code != 0))


def _claims(status: Tree, spec: Tree) -> Iterator[FieldError]:
    known = {one.get("name") for one in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for index, claim in enumerate(status.get("resourceClaimStatuses") or ()):
        at, name = f"status.resourceClaimStatuses[{index}]", claim.get("name") or ""
        if name not in known:
            yield FieldError.invalid(f"{at}.name", name, "must match the name of an entry in `spec.resourceClaims`")
        if name in seen:
            yield FieldError.duplicate(f"{at}.name", name)
        seen.add(name)
        if claim.get("resourceClaimName") is not None:
            yield from dns_subdomain(claim["resourceClaimName"], f"{at}.resourceClaimName")


def _extended_claim(claim: Tree | None, spec: Tree) -> Iterator[FieldError]:
    """The claim that was made for extended resources, and which request each container's resource became."""
    if claim is None:
        return
    path = "status.extendedResourceClaimStatus"
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    requests = {one.get("name"): (one.get("resources") or {}).get("requests") or {} for one in containers}
    mappings = claim.get("requestMappings") or ()
    if not mappings:
        yield FieldError.required(f"{path}.requestMappings", "at least one request mapping is required")
    seen: set[tuple[str, ...]] = set()
    for index, mapping in enumerate(mappings):
        at = f"{path}.requestMappings[{index}]"
        fields = ("containerName", "resourceName", "requestName")
        container, resource, request = key = tuple(mapping.get(field) or "" for field in fields)
        if container not in requests:
            text = "must match the name of an entry in spec.initContainers.name or spec.containers.name"
            yield FieldError.invalid(f"{at}.containerName", container, text)
        elif resource not in requests[container]:
            where = "spec.initContainers.resources.requests or spec.containers.resources.requests"
            text = f"must match the extended resource name of an entry in {where}"
            yield FieldError.invalid(f"{at}.resourceName", resource, text)
        yield from dns_label(request, f"{path}.requestName")
        if key in seen:
            yield from (FieldError.duplicate(f"{at}.{field}", mapping.get(field) or "") for field in fields)
        seen.add(key)
    if name := claim.get("resourceClaimName"):
        yield from dns_subdomain(name, f"{path}.resourceClaimName")
    else:
        yield FieldError.required(f"{path}.resourceClaimName")


def _host_address(status: Tree) -> Iterator[FieldError]:
    addresses = status.get("hostIPs") or ()
    if addresses and (status.get("hostIP") or "") != (first := addresses[0].get("ip") or ""):
        yield FieldError.invalid("status.hostIPs[0].ip", first, "must be equal to `hostIP`")


def _addresses(status: Tree, before: Tree, field: str) -> Iterator[FieldError]:
    """One address of each family at most; those that are there already may be as odd as they are."""
    path, known = f"status.{field}", {one.get("ip") for one in before.get(field) or ()}
    addresses = [one.get("ip") or "" for one in status.get(field) or ()]
    for index, address in enumerate(addresses):
        if address not in known:
            yield from validate_address(address, f"{path}[{index}]")
    if len(addresses) < 2:
        return
    parsed = [parse_address(address) for address in addresses]
    if None in parsed:
        first = parsed.index(None)
        why = f"failed to check for dual stack with error:invalid IP[{first}]: {addresses[first]}"
        yield FieldError.internal(path, why)
    families = {address.version for address in parsed if address is not None}
    if None in parsed or len(families) < 2 or len(addresses) > 2:
        kind = "PodIP" if field == "podIPs" else "HostIP"
        shown = [as_internal(one, kind) for one in status[field]]
        yield FieldError.invalid(path, shown, "may specify no more than one IP for each IP family")


def _users(status: Tree, os: str) -> Iterator[FieldError]:
    for field in _STATUSES:
        for index, one in enumerate(status.get(field) or ()):
            user, at = (one.get("user") or {}).get("linux"), f"status.{field}[{index}].user.linux"
            if user is None:
                continue
            if os == "windows":
                yield FieldError.forbidden(at, "cannot be set for a windows pod")
            elif os == "linux":
                yield from _linux_user(user, at)


def _linux_user(user: Tree, path: str) -> Iterator[FieldError]:
    for field in ("uid", "gid"):
        number = user.get(field) or 0
        yield from invalid_each(f"{path}.{field}", number, in_range(number, 0, 2**31 - 1))
    for index, group in enumerate(user.get("supplementalGroups") or ()):
        yield from invalid_each(f"{path}.supplementalGroups[{index}]", group, in_range(group, 0, 2**31 - 1))
