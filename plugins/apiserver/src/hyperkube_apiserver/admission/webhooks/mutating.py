"""What a mutating webhook makes of an object: its patch, applied, and noted for the audit log.

Source: k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/dispatcher.go.
"""

from __future__ import annotations

import copy
from typing import Any

from hyperkube_apiserver.admission.objects import Objects
from hyperkube_apiserver.admission.rules import Target
from hyperkube_apiserver.admission.webhooks.calling import Caller, Failed
from hyperkube_apiserver.admission.webhooks.hooks import Hook
from hyperkube_apiserver.admission.webhooks.reviews import JSON_PATCH
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.jsontext import BadJSON
from hyperkube_machinery.patches.json import Inapplicable, changed, decode
from hyperkube_machinery.schema import WrongType

__all__ = ["Mutation"]

Tree = dict[str, Any]

_PATCH = "patch.webhook.admission.k8s.io/"
_MUTATION = "mutation.webhook.admission.k8s.io/"
_FAILED_OPEN = "failed-open.mutation.webhook.admission.k8s.io/"


class Mutation:
    """One call of one mutating webhook."""

    def __init__(
        self,
        caller: Caller,
        hook: Hook,
        target: Target,
        attributes: Attributes,
        objects: Objects,
        place: tuple[int, int],
    ) -> None:
        """`place` is the round and the webhook's number in it."""
        self._caller = caller
        self._hook = hook
        self._target = target
        self._attributes = attributes
        self._objects = objects
        self._place = "round_{}_index_{}".format(*place)

    async def carry_out(self) -> bool:
        """Call the webhook and apply its patch; whether that changed the object. Raises Failed, Refused, APIError."""
        mutated = False
        try:
            mutated = await self._applied()
        finally:
            self._annotate(_MUTATION, {"mutated": mutated})
        return mutated

    def failed_open(self) -> None:
        """Note that the webhook failed, and that the request passes all the same."""
        self._attributes.annotate(_FAILED_OPEN + self._place, self._hook.name)

    async def _applied(self) -> bool:
        obj, old = await self._objects.at(self._target)
        answer = await self._caller.ask(self._hook, self._attributes, self._target, obj, old)
        if not answer.patch:
            return False
        try:
            operations = decode(answer.patch)
        except BadJSON as exc:
            raise Failed(self._hook, f"received undecodable patch in webhook response: {exc}") from exc
        if not operations:
            return False
        if obj is None:
            why = "attempted to modify the object, which is not supported for this operation"
            raise APIError.internal(f'admission webhook "{self._hook.name}" {why}')
        if answer.patch_type != JSON_PATCH:
            raise Failed(self._hook, f'unsupported patch type "{answer.patch_type}"')
        try:
            patched = changed(obj, operations)
            differs = patched != obj
            await self._objects.put(self._target, copy.deepcopy(patched))
        except (Inapplicable, WrongType) as exc:
            raise APIError.internal(str(exc)) from exc
        self._annotate(_PATCH, {"patch": operations, "patchType": JSON_PATCH}, "Request")
        return bool(differs)

    def _annotate(self, prefix: str, told: Tree, level: str = "Metadata") -> None:
        value = {"configuration": self._hook.configuration, "webhook": self._hook.name, **told}
        self._attributes.annotate(prefix + self._place, encode(value).decode(), level)
