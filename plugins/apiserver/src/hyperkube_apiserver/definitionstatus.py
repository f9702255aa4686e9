"""Keep the status of definitions of custom resources: their names, their approval, and their end.

Custom resources are not served yet, so that a definition which is deleted has no instances to wait for.
Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,apiapproval,finalizer}.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from hyperkube_apiserver.assembly import API
from hyperkube_apiserver.call import Served
from hyperkube_apiserver.following import keep_up
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["keep_settled", "settle"]

log = logging.getLogger(__name__)

_MANAGER = "kube-apiserver"  # as upstream's, which is a part of it

Tree = dict[str, Any]


async def keep_settled(api: API, clock: Clock) -> NoReturn:
    """Settle all definitions whenever one changes, until cancelled."""
    changed = asyncio.Event()
    api.resource("apiextensions.k8s.io", "customresourcedefinitions").cache.observe(lambda event: changed.set())
    await keep_up(
        changed,
        lambda: settle(api, clock),
        clock,
        lambda exc: log.warning("the status of definitions of custom resources is out of date: %s", exc),
    )


async def settle(api: API, clock: Clock) -> None:
    """Bring the status of every definition up to date, once: those that end, then the older before the newer."""
    served = api.resource("apiextensions.k8s.io", "customresourcedefinitions")
    if not len(served.cache):
        return  # as at most starts, which need not import the rules
    from hyperkube_apiserver.registry.apiextensions import states
    from hyperkube_apiserver.registry.apiextensions.acceptance import with_names

    context = WriteContext(now=format_seconds(clock.now()), subresource="status", manager=_MANAGER)
    trees = {item.name: decode_body(item.body) for item in served.cache.items()}

    for name in [name for name, tree in trees.items() if states.ends(tree)]:
        ending = await _changed(served, name, trees[name], lambda one: states.ending(one, context.now), context)
        left = await _changed(served, name, ending, lambda one: states.without_instances(one, context.now), context)
        if meta.finalizers(left):
            trees[name] = left
        else:
            del trees[name]

    def settled(definition: Tree) -> Tree:
        return states.with_approval(with_names(definition, trees.values(), context.now), context.now)

    for name in sorted(trees, key=lambda name: (meta.metadata(trees[name]).get("creationTimestamp") or "", name)):
        trees[name] = await _changed(served, name, trees[name], settled, context)


async def _changed(
    served: Served, name: str, definition: Tree, change: Callable[[Tree], Tree], context: WriteContext
) -> Tree:
    """`definition` as `change` makes it, having written that if it is not as it was."""
    made = change(definition)
    if made is not definition:
        try:
            await served.registry.update(name, change, context, log.warning)
        except APIError as exc:
            if exc.code != 404:  # one that was deleted meanwhile needs no status
                raise
    return made
