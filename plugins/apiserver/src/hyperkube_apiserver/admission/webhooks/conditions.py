"""matchConditions of webhooks."""

from __future__ import annotations

import logging
from weakref import WeakKeyDictionary

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.evaluation import Given
from hyperkube_apiserver.admission.judging import judged
from hyperkube_apiserver.admission.matchconditions import ConditionError, met
from hyperkube_apiserver.admission.objects import Objects
from hyperkube_apiserver.admission.policies.programs import Condition, conditions
from hyperkube_apiserver.admission.rules import Target
from hyperkube_apiserver.admission.webhooks.hooks import Hook
from hyperkube_apiserver.authz import PromptAuthorizer
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.cel.kubernetes.admission.compiling import Compiler

__all__ = ["Conditions"]

log = logging.getLogger(__name__)


class Conditions:
    """Evaluates them; they are compiled when a webhook is first considered."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._compiled: WeakKeyDictionary[Hook, tuple[Condition, ...]] = WeakKeyDictionary()

    async def met(self, hook: Hook, attributes: Attributes, target: Target, objects: Objects) -> bool:
        """Whether the conditions of a webhook hold for a request. Raises APIError 403 where that can't be said."""
        obj, old = await objects.at(target)
        given = Given(attributes, target, obj, old, None)

        def check(authorizer: PromptAuthorizer) -> bool:
            values = given.with_params(None, authorizer)
            return met(self._of(hook), values, ignores_failures=hook.ignores_failures)

        try:
            return await judged(self._cluster.authorizer, check)
        except ConditionError as exc:
            log.warning("the request is refused, for the conditions of webhook %s failed: %s", hook.name, exc)
            raise forbidden(attributes, str(exc)) from exc

    def _of(self, hook: Hook) -> tuple[Condition, ...]:
        found = self._compiled.get(hook)
        if found is None:
            found = self._compiled[hook] = conditions(hook.conditions, Compiler(params=False))
        return found
