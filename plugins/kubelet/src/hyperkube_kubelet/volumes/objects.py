"""The config maps and secrets that a node's pods use, read when they are needed and kept for a while.

This is upstream's strategy `Cache` (configMapAndSecretChangeDetectionStrategy): a new pod's objects are read anew,
those of pods that run at most once in `KEPT_SECONDS`.
Source: k8s.io/kubernetes/pkg/kubelet/util/manager/cache_based_manager.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.builtin import CONFIG_MAPS, RUNTIME_CLASSES, SECRETS
from hyperkube_machinery.client import Client
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.resources import Resource

__all__ = ["KEPT_SECONDS", "ObjectCache"]

Tree = Mapping[str, Any]

KEPT_SECONDS = 60.0


class ObjectCache:
    """Reads config maps and secrets by name."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._kept: dict[tuple[str, str, str], tuple[float, Tree | None]] = {}

    async def config_map(self, namespace: str, name: str) -> Tree | None:
        """None where there is none. Raises APIError, ClientError."""
        return await self._get(CONFIG_MAPS, namespace, name)

    async def secret(self, namespace: str, name: str) -> Tree | None:
        """None where there is none. Raises APIError, ClientError."""
        return await self._get(SECRETS, namespace, name)

    async def runtime_class(self, name: str) -> Tree | None:
        """None where there is none. Raises APIError, ClientError."""
        return await self._get(RUNTIME_CLASSES, "", name)

    def expire(self, namespace: str) -> None:
        """Read the objects of a namespace anew when they are next asked for: a pod of it has come."""
        for key in [key for key in self._kept if key[1] == namespace]:
            del self._kept[key]

    async def _get(self, resource: Resource, namespace: str, name: str) -> Tree | None:
        key, now = (resource.resource, namespace, name), self._clock.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < KEPT_SECONDS and kept[1] is not None:
            return kept[1]
        found: Tree | None
        try:
            found = await self._client.get(resource, name, namespace)
        except APIError as exc:
            if exc.code != 404:
                raise
            found = None
        self._kept = {one: held for one, held in self._kept.items() if now - held[0] < KEPT_SECONDS}
        self._kept[key] = (now, found)
        return found
