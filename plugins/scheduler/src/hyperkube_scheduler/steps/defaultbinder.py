"""DefaultBinder: tells the API server. Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/defaultbinder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from hyperkube_machinery.client import ClientError
from hyperkube_machinery.errors import APIError
from hyperkube_scheduler.framework.verdicts import Code, Verdict
from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["Create", "DefaultBinder"]

Create: TypeAlias = Callable[[PodInfo, str], Awaitable[object]]
"""Makes the Binding of a pod to a node, and raises what a client raises."""


class DefaultBinder:
    """Binds a pod to a node by the resource pods/binding."""

    name = "DefaultBinder"

    def __init__(self, create: Create) -> None:
        self._create = create

    async def bind(self, pod: PodInfo, node: str) -> Verdict | None:
        try:
            await self._create(pod, node)
        except (APIError, ClientError) as exc:
            return Verdict(Code.ERROR, (str(exc),), self.name)
        return None
