"""Certificate requests that are of no more use are deleted. Source: pkg/controller/certificates/cleaner."""

from __future__ import annotations

import logging

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.signingrequests import outlived
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import CERTIFICATE_SIGNING_REQUESTS
from hyperkube_machinery.client import ClientError
from hyperkube_machinery.errors import APIError

__all__ = ["run"]

log = logging.getLogger(__name__)

_SECONDS = 3600.0


async def run(context: ControllerContext) -> None:
    """Serve until cancelled."""
    requests = context.informers.of(CERTIFICATE_SIGNING_REQUESTS)
    await context.synced()
    while True:
        for csr in requests.list():
            why = outlived(csr, context.clock.now())
            if why:
                await _delete(context, meta.name(csr), why)
        await context.clock.sleep(_SECONDS)


async def _delete(context: ControllerContext, name: str, why: str) -> None:
    log.info("deleting the certificate request %s: %s", name, why)
    try:
        await context.client.delete(CERTIFICATE_SIGNING_REQUESTS, name)
    except (APIError, ClientError) as exc:  # next time
        log.warning("cannot delete the certificate request %s: %s", name, exc)
