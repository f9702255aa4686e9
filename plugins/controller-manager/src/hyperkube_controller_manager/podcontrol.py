"""Making and deleting the pods of an owner, with the events that tell of it.

Source: k8s.io/kubernetes/pkg/controller/controller_utils.go (the events' reasons and words, which clients match on).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from hyperkube_controller_manager.templates import pod_from
from hyperkube_machinery.builtin import PODS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.events import EventRecorder
from hyperkube_machinery.meta import name, namespace

__all__ = ["FAILURES", "Outcome", "PodControl", "in_slow_start", "is_ending_namespace", "together"]

Tree = Mapping[str, Any]
T = TypeVar("T")

_AT_ONCE = 16  # requests under way: more are no faster, and all that is ready runs in one turn of the event loop

FAILURES = (APIError, ClientError)
"""What a request fails with: refused, or not answered."""


def is_ending_namespace(error: Exception) -> bool:
    """Whether something can't be made because its namespace is being deleted: it never will be, and that is right."""
    if not isinstance(error, APIError):
        return False
    causes = (error.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


class PodControl:
    """Makes and deletes pods on behalf of their owners."""

    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._client = client
        self._recorder = recorder

    async def create(self, template: Tree, owner: Tree, reference: Tree) -> None:
        """Make a pod from the template. Raises APIError and ClientError."""
        await self.create_pod(pod_from(template, owner, reference), owner)

    async def create_pod(self, pod: dict[str, Any], owner: Tree) -> None:
        """Make this pod. Raises APIError and ClientError."""
        try:
            created = await self._client.create(PODS, pod, namespace(owner))
        except FAILURES as exc:
            if not is_ending_namespace(exc):
                self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {exc}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name(created)}")

    async def delete(self, pod: Tree, owner: Tree) -> None:
        """Delete the pod, with the grace that it asks for. Raises APIError (404 too) and ClientError."""
        try:
            await self._client.delete(PODS, name(pod), namespace(pod))
        except FAILURES as exc:
            if not (isinstance(exc, APIError) and exc.code == 404):
                self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {exc}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name(pod)}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a number of requests went."""

    successes: int
    failures: tuple[Exception, ...] = ()

    def check(self) -> None:
        """Raise the first failure, if there is one: mostly they are all alike, and each has its event."""
        if self.failures:
            raise self.failures[0]


async def together(request: Callable[[T], Awaitable[None]], items: Iterable[T]) -> Outcome:
    """Make a request for each item, several at a time. What is not a failure of a request is raised."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def in_turn(item: T) -> None:
        async with room:
            await request(item)

    results = await asyncio.gather(*map(in_turn, items), return_exceptions=True)
    failures: list[Exception] = []
    for result in results:
        if isinstance(result, FAILURES):
            failures.append(result)
        elif isinstance(result, BaseException):
            raise result
    return Outcome(len(results) - len(failures), tuple(failures))


async def in_slow_start(count: int, request: Callable[[int], Awaitable[None]]) -> Outcome:
    """Make `count` requests, each given its index, in batches of 1, 2, 4 …; none after a batch in which one failed.

    Many that would all fail for one reason (a quota) then cost one request, and one event.
    """
    done, batch = 0, 1
    while done < count:
        batch = min(batch, count - done)
        outcome = await together(request, range(done, done + batch))
        if outcome.failures:
            return Outcome(done + outcome.successes, outcome.failures)
        done += batch
        batch *= 2
    return Outcome(done)
