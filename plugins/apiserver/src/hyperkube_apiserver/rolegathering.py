"""Keep aggregated cluster roles equal to what they gather.

Upstream's controller manager does the same; both come to the same rules, so they may run beside each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from hyperkube_apiserver.assembly import API
from hyperkube_apiserver.authz.aggregation import aggregate
from hyperkube_apiserver.authz.bindings import GROUP
from hyperkube_apiserver.call import Served
from hyperkube_apiserver.following import keep_up
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["gather", "keep_gathered"]

log = logging.getLogger(__name__)

_MANAGER = "clusterrole-aggregation-controller"  # as upstream's calls itself

Tree = dict[str, Any]


async def keep_gathered(api: API, clock: Clock) -> NoReturn:
    """Write the rules of aggregated roles whenever a cluster role changes, until cancelled."""
    changed = asyncio.Event()
    api.resource(GROUP, "clusterroles").cache.observe(lambda event: changed.set())
    await keep_up(
        changed,
        lambda: gather(api, clock),
        clock,
        lambda exc: log.warning("aggregated cluster roles could not be written: %s", exc),
    )


async def gather(api: API, clock: Clock) -> None:
    """Bring every aggregated role up to date, once."""
    served = api.resource(GROUP, "clusterroles")
    context = WriteContext(now=format_seconds(clock.now()), manager=_MANAGER)
    roles = (decode_body(item.body) for item in served.cache.items())
    for name, rules in aggregate(roles).items():
        try:
            await served.registry.update(
                name, _applying(served, name, rules, context), context, log.warning, owned=True
            )
        except APIError as exc:
            if exc.code != 404:  # one that was deleted meanwhile needs no rules
                raise


def _applying(served: Served, name: str, rules: list[Any], context: WriteContext) -> Callable[[Tree], Tree]:
    """The change that makes `rules` those of a role, whoever owned them."""
    resource = served.kind.resource
    config = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, "rules": rules}
    return lambda old: served.registry.owners.apply(old, config, context, force=True)
