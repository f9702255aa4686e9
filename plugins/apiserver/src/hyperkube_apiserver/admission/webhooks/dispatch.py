"""Which of the webhooks that have to do with a sort of request are asked about one, and in which order.

Source: k8s.io/apiserver/pkg/admission/plugin/webhook/{generic,mutating,validating}.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.objects import Objects
from hyperkube_apiserver.admission.rounds import Rounds
from hyperkube_apiserver.admission.rules import Target
from hyperkube_apiserver.admission.webhooks.calling import Caller
from hyperkube_apiserver.admission.webhooks.hooks import Hook
from hyperkube_apiserver.admission.webhooks.instruments import Instruments
from hyperkube_apiserver.admission.webhooks.mutating import Mutation
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_apiserver.webhooks.caller import WebhookCaller
from hyperkube_machinery.errors import APIError

if TYPE_CHECKING:
    from hyperkube_apiserver.admission.webhooks.conditions import Conditions

__all__ = ["Dispatcher"]

Tree = dict[str, Any]
Asked = Sequence[tuple[int, Hook, Target]]

_FAILED_OPEN = "failed-open.validating.webhook.admission.k8s.io/round_0_index_{}"
_PLUGIN = "MutatingAdmissionWebhook"


class Dispatcher:
    """Asks webhooks."""

    def __init__(self, cluster: Cluster, webhooks: WebhookCaller) -> None:
        self._cluster = cluster
        instruments = cluster.instruments(Instruments)
        self._mutating = Caller(cluster, webhooks, "admit", instruments, mutating=True)
        self._validating = Caller(cluster, webhooks, "validating", instruments, mutating=False)

    @cached_property
    def _conditions(self) -> Conditions:
        from hyperkube_apiserver.admission.webhooks.conditions import Conditions  # the language takes long to load

        return Conditions(self._cluster)

    async def mutate(self, attributes: Attributes, asked: Asked) -> None:
        """Ask one after the other, each about what those before it made of the object. Raises APIError."""
        rounds = Rounds.of(attributes, _PLUGIN)
        objects = Objects(attributes, self._cluster)
        for index, hook, target in asked:
            if not await self._concerned(hook, attributes, target, objects) or not rounds.asks(hook):
                continue
            mutation = Mutation(self._mutating, hook, target, attributes, objects, (rounds.number, index))
            changed = await self._mutating.measured(hook, attributes, mutation.carry_out(), mutation.failed_open)
            rounds.asked(hook, changed=changed, again=hook.is_reinvoked)
        rounds.end()

    async def validate(self, attributes: Attributes, asked: Asked) -> None:
        """Ask all at once, and wait for every answer. Raises the first refusal."""
        objects = Objects(attributes, self._cluster)
        concerned = [
            (hook, target) for _, hook, target in asked if await self._concerned(hook, attributes, target, objects)
        ]
        if not concerned:
            return
        refusals: list[APIError] = []

        async def ask(index: int, hook: Hook, target: Target) -> None:
            obj, old = await objects.at(target)

            async def work() -> bool:
                await self._validating.ask(hook, attributes, target, obj, old)
                return True

            def failed_open() -> None:
                attributes.annotate(_FAILED_OPEN.format(index), hook.name)

            try:
                await self._validating.measured(hook, attributes, work(), failed_open)
            except APIError as exc:
                refusals.append(exc)

        async def ask_all() -> None:
            async with asyncio.TaskGroup() as tasks:
                for index, (hook, target) in enumerate(concerned):
                    tasks.create_task(ask(index, hook, target))

        if len(concerned) == 1:
            await ask(0, *concerned[0])
        else:  # in a task of its own, for what has not waited yet may be in none (see `serving.eager`)
            await asyncio.get_running_loop().create_task(ask_all())
        if refusals:
            raise refusals[0]

    async def _concerned(self, hook: Hook, attributes: Attributes, target: Target, objects: Objects) -> bool:
        """Whether a request, which is of the right sort, is one that `hook` wants to know of. Raises APIError."""
        if not hook.selectors.match(attributes, self._cluster):
            return False
        return not hook.conditions or await self._conditions.met(hook, attributes, target, objects)
