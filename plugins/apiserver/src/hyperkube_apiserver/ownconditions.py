"""Conditions that the API server itself keeps: whether a FlowSchema dangles, and whether an APIService is available.

A service that API requests are to go on to is looked for; nothing is asked of it, for this server forwards nothing yet.
Source: k8s.io/apiserver/pkg/util/flowcontrol (apf_controller), k8s.io/kube-aggregator/pkg/controllers/status.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from hyperkube_apiserver.assembly import API
from hyperkube_apiserver.call import Served
from hyperkube_apiserver.clusterdefaults import FLOW_CONTROL
from hyperkube_apiserver.following import keep_up
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["availability", "dangling", "keep_conditions"]

log = logging.getLogger(__name__)

_API_SERVICES = ("apiregistration.k8s.io", "apiservices")
_LOCAL = ("True", "Local", "Local APIServices are always available")

Tree = dict[str, Any]
Verdict = tuple[str, str, str]
"""Status, reason and message of a condition."""


def dangling(schema: Tree, levels: Iterable[str]) -> Verdict:
    """Whether the level that a FlowSchema names is missing from `levels`."""
    level = ((schema.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name", "")
    subject = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    if level in levels:
        return "False", "Found", f"{subject} and it exists"
    return "True", "NotFound", f"{subject} but there is no such object"


def availability(api_service: Tree, service: Tree | None, slices: Iterable[Tree]) -> Verdict:
    """Whether requests could go on to where an APIService says; `slices` are those of its `service`."""
    reference = (api_service.get("spec") or {}).get("service")
    if reference is None:
        return _LOCAL
    place = f'service/{reference["name"]} in "{reference["namespace"]}"'
    if service is None:
        return "False", "ServiceNotFound", f"{place} is not present"
    spec = service.get("spec") or {}
    if spec.get("type") == "ClusterIP":
        port = next((one for one in spec.get("ports") or () if one.get("port") == reference["port"]), None)
        if port is None:
            return "False", "ServicePortError", f"{place} is not listening on port {reference['port']}"
        slices = list(slices)
        if not slices:
            return "False", "EndpointsNotFound", f"cannot find endpointslices for {place}"
        name = port.get("name") or ""
        if not any(_leads_to(one, name) for one in slices):
            text = f'endpointslices for {place} have no addresses with port name "{name}"'
            return "False", "MissingEndpoints", text
    return "False", "FailedDiscoveryCheck", "this server does not send requests on to other API servers yet"


def _leads_to(endpoint_slice: Tree, port_name: str) -> bool:
    named = any((port.get("name") or "") == port_name for port in endpoint_slice.get("ports") or ())
    ready = (
        endpoint.get("addresses") and (endpoint.get("conditions") or {}).get("ready") is not False
        for endpoint in endpoint_slice.get("endpoints") or ()
    )
    return named and any(ready)


async def keep_conditions(api: API, clock: Clock) -> NoReturn:
    """Write conditions whenever what they tell of changes, until cancelled."""
    changed = asyncio.Event()
    for group, name in ((FLOW_CONTROL, "flowschemas"), (FLOW_CONTROL, "prioritylevelconfigurations"), _API_SERVICES):
        api.resource(group, name).cache.observe(lambda event: changed.set())
    for group, name in (("", "services"), ("discovery.k8s.io", "endpointslices")):
        api.resource(group, name).cache.observe(lambda event: changed.set() if _sends_on(api) else None)
    await keep_up(
        changed,
        lambda: write_conditions(api, clock),
        clock,
        lambda exc: log.warning("conditions could not be written: %s", exc),
    )


def _sends_on(api: API) -> bool:
    """Whether any APIService names a service; those of this server don't."""
    return any(b'"service":{' in item.body for item in api.resource(*_API_SERVICES).cache.items())


async def write_conditions(api: API, clock: Clock) -> None:
    """Bring every condition up to date, once."""
    now = format_seconds(clock.now())
    levels = {item.name for item in api.resource(FLOW_CONTROL, "prioritylevelconfigurations").cache.items()}
    schemas, api_services = api.resource(FLOW_CONTROL, "flowschemas"), api.resource(*_API_SERVICES)
    await asyncio.gather(
        *(_write(schemas, "Dangling", obj, dangling(obj, levels), now) for obj in _objects(schemas)),
        *(_write(api_services, "Available", obj, _availability(api, obj), now) for obj in _objects(api_services)),
    )


def _objects(served: Served) -> Iterator[Tree]:
    return (decode_body(item.body) for item in list(served.cache.items()))


def _availability(api: API, api_service: Tree) -> Verdict:
    reference = (api_service.get("spec") or {}).get("service")
    if reference is None:
        return _LOCAL
    namespace, name = reference["namespace"], reference["name"]
    services, slices = api.resource("", "services"), api.resource("discovery.k8s.io", "endpointslices")
    item = services.cache.get(services.kind.key(namespace, name))
    found = [
        decode_body(one.body)
        for one in slices.cache.items(namespace)
        if one.labels.get("kubernetes.io/service-name") == name
    ]
    return availability(api_service, decode_body(item.body) if item is not None else None, found)


async def _write(served: Served, kind: str, obj: Tree, verdict: Verdict, now: str) -> None:
    if _with_condition(obj, kind, verdict, now) == obj:
        return
    try:
        await served.registry.update(
            meta.name(obj), _telling(kind, verdict, now), WriteContext(now=now, subresource="status"), log.warning
        )
    except APIError as exc:
        if exc.code != 404:  # of what was deleted meanwhile there is nothing to tell
            raise


def _telling(kind: str, verdict: Verdict, now: str) -> Callable[[Tree], Tree]:
    return lambda old: _with_condition(old, kind, verdict, now)


def _with_condition(obj: Mapping[str, Any], kind: str, verdict: Verdict, now: str) -> Tree:
    """`obj` with the condition; since when it holds is kept for as long as it does."""
    status, reason, message = verdict
    conditions = list((obj.get("status") or {}).get("conditions") or ())
    place = next((index for index, one in enumerate(conditions) if one.get("type") == kind), len(conditions))
    before = conditions[place] if place < len(conditions) else {}
    since = before.get("lastTransitionTime") if before.get("status") == status else now
    said = {"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message}
    conditions[place : place + 1] = [said]
    return {**obj, "status": {**(obj.get("status") or {}), "conditions": conditions}}
