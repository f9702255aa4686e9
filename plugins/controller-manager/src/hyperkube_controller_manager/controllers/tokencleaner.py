"""Bootstrap tokens are deleted when their time is over. Source: pkg/controller/bootstrap/tokencleaner.go."""

from __future__ import annotations

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_machinery import meta
from hyperkube_machinery.bootstraptokens import NAMESPACE, TYPE, read_token
from hyperkube_machinery.builtin import SECRETS
from hyperkube_machinery.controller import Controller
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.informers import key_of, split_key

__all__ = ["run"]


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    secrets = context.informers.of(SECRETS, namespace=NAMESPACE, fields=f"type={TYPE}")

    async def reconcile(key: str) -> float | None:
        secret = secrets.get(key)
        expires = read_token(secret).expires if secret is not None else None
        if secret is None or expires is None:
            return None
        left = expires - context.clock.now()
        if left > 0:
            return left
        namespace, name = split_key(key)
        try:
            await context.client.delete(SECRETS, name, namespace, uid=meta.uid(secret))
        except APIError as exc:
            if exc.code not in (404, 409):
                raise
        return None

    controller = Controller(context.name, reconcile, clock=context.clock, metrics=context.metrics)
    secrets.on_change(lambda _, new: controller.queue.add(key_of(new)) if new is not None else None)
    await context.synced()
    await controller.run()
