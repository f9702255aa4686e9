"""One call of one webhook, from the question to what it comes to.

Source: k8s.io/apiserver/pkg/admission/plugin/webhook/{mutating,validating}/dispatcher.go.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.rules import Target
from hyperkube_apiserver.admission.webhooks.decoding import Undecodable
from hyperkube_apiserver.admission.webhooks.hooks import Hook
from hyperkube_apiserver.admission.webhooks.instruments import Instruments
from hyperkube_apiserver.admission.webhooks.reviews import (
    Answer,
    BadAnswer,
    read_answer,
    refusal,
    review,
    review_version,
)
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_apiserver.webhooks.caller import WebhookCaller
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_apiserver.webhooks.trust import BadBundle
from hyperkube_machinery.errors import APIError

__all__ = ["Caller", "Failed", "Refused"]

log = logging.getLogger(__name__)

Tree = dict[str, Any]

_OK, _BAD_REQUEST, _INTERNAL, _UNAVAILABLE = 200, 400, 500, 503


class Failed(Exception):
    """A webhook gave no answer that can be used, whatever it was asked: whether that matters its configuration says."""

    def __init__(self, hook: Hook, why: str, code: int = _UNAVAILABLE) -> None:
        super().__init__(f'failed calling webhook "{hook.name}": {why}')
        self.code = code


class Refused(Exception):
    """A webhook said no."""

    def __init__(self, error: APIError) -> None:
        super().__init__(str(error))
        self.error = error


class Caller:
    """Calls the webhooks of one plugin: `step` is what upstream's metrics call it."""

    def __init__(
        self, cluster: Cluster, webhooks: WebhookCaller, step: str, instruments: Instruments, *, mutating: bool
    ) -> None:
        self._cluster = cluster
        self._webhooks = webhooks
        self._step = step
        self._instruments = instruments
        self._mutating = mutating

    async def ask(
        self, hook: Hook, attributes: Attributes, target: Target, obj: Tree | None, old: Tree | None
    ) -> Answer:
        """What a webhook that lets a request pass says of it. Raises Failed, Refused, APIError."""
        if attributes.dry_run and not hook.harmless:
            raise APIError.bad_request(f'admission webhook "{hook.name}" does not support dry run')
        uid = str(uuid.uuid4())
        try:
            version = review_version(hook.versions)
        except BadAnswer as exc:
            raise Failed(hook, f"could not create admission objects: {exc}", _BAD_REQUEST) from exc
        question = review(attributes, target, version, uid, obj, old)
        seconds = max(0.0, min(hook.timeout_seconds, attributes.ends - self._cluster.clock.monotonic()))
        try:
            tree = await self._webhooks.call(hook.client_config, question, seconds)
        except BadBundle as exc:
            raise Failed(hook, f"could not get REST client: {exc}", _INTERNAL) from exc
        except CallFailed as exc:
            raise Failed(hook, f"failed to call webhook: {exc}", exc.code) from exc
        try:
            answer = read_answer(tree, version, uid, mutating=self._mutating)
        except Undecodable as exc:
            raise Failed(hook, f"failed to call webhook: {exc}") from exc
        except BadAnswer as exc:
            raise Failed(hook, f"received invalid webhook response: {exc}") from exc
        for key, value in answer.annotations.items():
            attributes.annotate(f"{hook.name}/{key}", value)
        for text in answer.warnings:
            attributes.warn(text)
        if not answer.allowed:
            raise Refused(refusal(hook.name, answer.status))
        return answer

    async def measured(
        self, hook: Hook, attributes: Attributes, work: Awaitable[bool], failed_open: Callable[[], None]
    ) -> bool:
        """What `work`, which calls `hook`, comes to: a failure that is ignored to False.

        `failed_open` notes that there was one. Raises APIError.
        """
        began, name, step = self._cluster.clock.monotonic(), hook.name, self._step
        code, why = _OK, ""
        try:
            return await work
        except Failed as exc:
            code = exc.code
            if hook.ignores_failures:
                log.warning("%s; the request passes", exc)
                self._instruments.passed(name, step)
                failed_open()
                return False
            why = "calling_webhook_error"
            raise APIError.internal(str(exc)) from exc
        except Refused as exc:
            code, why = exc.error.code, "no_error"
            raise exc.error from exc
        except APIError:
            code, why = 0, "apiserver_internal_error"
            raise
        finally:
            seconds, operation = self._cluster.clock.monotonic() - began, attributes.operation.value
            self._instruments.called(name, step, operation, seconds, code, rejected=bool(why))
            if why:
                self._instruments.rejected(name, step, operation, why, code)
