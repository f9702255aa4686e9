"""Conditions that the API server itself keeps: whether a FlowSchema dangles, and that its APIServices are available.

Source: k8s.io/apiserver/pkg/util/flowcontrol (apf_controller), k8s.io/kube-aggregator/pkg/controllers/status/local.
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

__all__ = ["Verdict", "dangling", "keep_conditions", "tell"]

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


async def keep_conditions(api: API, clock: Clock) -> NoReturn:
    """Write conditions whenever what they tell of changes, until cancelled."""
    changed = asyncio.Event()
    for group, name in ((FLOW_CONTROL, "flowschemas"), (FLOW_CONTROL, "prioritylevelconfigurations"), _API_SERVICES):
        api.resource(group, name).cache.observe(lambda event: changed.set())
    await keep_up(
        changed,
        lambda: write_conditions(api, clock),
        clock,
        lambda exc: log.warning("conditions could not be written: %s", exc),
    )


async def write_conditions(api: API, clock: Clock) -> None:
    """Bring every condition up to date, once."""
    now = format_seconds(clock.now())
    levels = {item.name for item in api.resource(FLOW_CONTROL, "prioritylevelconfigurations").cache.items()}
    schemas, api_services = api.resource(FLOW_CONTROL, "flowschemas"), api.resource(*_API_SERVICES)
    await asyncio.gather(
        *(tell(schemas, "Dangling", obj, dangling(obj, levels), now) for obj in _objects(schemas)),
        *(tell(api_services, "Available", obj, _LOCAL, now) for obj in _objects(api_services) if _is_local(obj)),
    )


def _objects(served: Served) -> Iterator[Tree]:
    return (decode_body(item.body) for item in list(served.cache.items()))


def _is_local(api_service: Tree) -> bool:
    return (api_service.get("spec") or {}).get("service") is None


async def tell(served: Served, kind: str, obj: Tree, verdict: Verdict, now: str) -> None:
    """Write a condition into the status of `obj`, unless it says so already."""
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
