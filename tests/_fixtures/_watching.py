"""Waiting for what an API server is to have, by watching it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from hyperkube_machinery.client import Client
from hyperkube_machinery.resources import Resource

__all__ = ["gone", "is_ready", "until_object"]

Tree = dict[str, Any]

_SECONDS = 60.0
_LISTED = "k8s.io/initial-events-end"


async def until_object(
    client: Client,
    resource: Resource,
    name: str,
    holds: Callable[[Tree], object],
    namespace: str = "",
    *,
    seconds: float = _SECONDS,
) -> Tree:
    """The object of that name once it is there and `holds`; the test fails if that takes more than `seconds`."""
    seen: list[Tree | None] = []
    try:
        async with asyncio.timeout(seconds):
            found: Tree = await _until(
                client, resource, name, namespace, lambda obj: obj is not None and holds(obj), seen
            )
            return found
    except TimeoutError:
        last = seen[-1] if seen else None
        raise AssertionError(f"{resource.resource} {name} did not come to that; it is {last}") from None


async def gone(
    client: Client, resource: Resource, name: str, namespace: str = "", *, seconds: float = _SECONDS
) -> None:
    """Return once there is no object of that name."""
    seen: list[Tree | None] = []
    try:
        async with asyncio.timeout(seconds):
            await _until(client, resource, name, namespace, lambda obj: obj is None, seen)
    except TimeoutError:
        raise AssertionError(f"{resource.resource} {name} is still there: {seen[-1] if seen else None}") from None


async def _until(
    client: Client,
    resource: Resource,
    name: str,
    namespace: str,
    holds: Callable[[Tree | None], object],
    seen: list[Tree | None],
) -> Any:
    while True:
        current: Tree | None = None
        listed = False
        watch = client.watch(resource, namespace, fields=f"metadata.name={name}", initial_events=True)
        async for event in watch:
            if event.type == "BOOKMARK":
                listed = listed or _LISTED in (event.object["metadata"].get("annotations") or {})
            else:
                current = None if event.type == "DELETED" else event.object
            if listed:
                seen.append(current)
                if holds(current):
                    return current


def is_ready(obj: Mapping[str, Any]) -> bool:
    """Whether a node or a pod says so of itself."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
