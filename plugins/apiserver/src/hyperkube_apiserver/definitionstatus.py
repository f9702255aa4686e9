"""Keep the status of definitions of custom resources: their names, approval, structure, and their end.

A definition is looked at when it changes, and when names of its group are free that it was refused. Each one that is
being deleted is seen off by a task of its own, for its objects may take their time.
Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,apiapproval,nonstructuralschema,finalizer}.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from hyperkube_apiserver.assembly import API, DEFINITIONS
from hyperkube_apiserver.following import keep_up
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_apiserver.representation import decode_body
from hyperkube_machinery import meta
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.storage.interface import Unavailable
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["keep_settled", "settle"]

log = logging.getLogger(__name__)

_MANAGER = "kube-apiserver"  # as upstream's, which is a part of it

Tree = dict[str, Any]


async def keep_settled(api: API, clock: Clock) -> NoReturn:
    """Settle every definition whenever it changes, until cancelled."""
    keeper = _Keeper(api, clock)
    await keeper.keep()


async def settle(api: API, clock: Clock) -> None:
    """Bring the status of every definition up to date, once: those that end, then the older before the newer."""
    keeper = _Keeper(api, clock)
    for name in keeper.ending():
        await keeper.see_off(name)
    await api.hub.fresh()
    await _Keeper(api, clock).settle()


class _Keeper:
    def __init__(self, api: API, clock: Clock) -> None:
        self._api = api
        self._served = api.resource(*DEFINITIONS)
        self._clock = clock
        self._changed = asyncio.Event()
        self._due: set[str] = set()
        self._names: dict[str, Tree] = {}  # of each definition, what others must know of it
        self._leaving: dict[str, asyncio.Task[None]] = {}
        for item in self._served.cache.items():
            self._note(item.name, decode_body(item.body))

    async def keep(self) -> NoReturn:
        self._api.custom.listen(self._changed_to)
        try:
            await self._keep()
        finally:
            self._api.custom.ignore(self._changed_to)

    async def _keep(self) -> NoReturn:
        async with asyncio.TaskGroup() as tasks:

            async def settle() -> None:
                await self.settle()
                for name in self.ending():
                    if name not in self._leaving:
                        task = self._leaving[name] = tasks.create_task(self._removed(name))
                        task.add_done_callback(lambda done, name=name: self._leaving.pop(name, None))  # type: ignore[misc]

            await keep_up(
                self._changed,
                settle,
                self._clock,
                lambda exc: log.warning("the status of definitions of custom resources is out of date: %s", exc),
            )
        raise AssertionError("it is kept up until it is cancelled")

    def ending(self) -> list[str]:
        """The definitions that are being deleted, and kept for what they define."""
        return [name for name, told in self._names.items() if told["ends"]]

    async def settle(self) -> None:
        """Bring the names and approval of all that is due up to date, the older before the newer."""
        due, self._due = self._due, set()
        if not due:
            return  # as at most starts, which need not import the rules
        try:
            order = sorted(due & self._names.keys(), key=lambda name: (self._names[name]["created"], name))
            for name in order:
                await self._settle(name)
                due.discard(name)
        except BaseException:
            self._due |= due
            raise

    async def _settle(self, name: str) -> None:
        context = self._context()
        item = self._served.cache.get(self._served.kind.key("", name))
        if item is not None:
            await self._change(name, decode_body(item.body), lambda one: self._settled(one, context.now), context)

    def _settled(self, definition: Tree, now: str) -> Tree:
        """`definition` with all that is told of it; itself if it has that."""
        from hyperkube_apiserver.registry.apiextensions.acceptance import established, with_names
        from hyperkube_apiserver.registry.apiextensions.states import with_approval, with_structure

        others = self._others_of((definition.get("spec") or {}).get("group") or "")
        return with_structure(with_approval(established(with_names(definition, others, now), now), now), now)

    def _others_of(self, group: str) -> Iterable[Tree]:
        return [told for told in self._names.values() if told["spec"]["group"] == group]

    async def _removed(self, name: str) -> None:
        """See a definition off, however often that takes."""
        while True:
            try:
                if await self.see_off(name):
                    return
            except (APIError, Unavailable) as exc:
                log.warning("definition %s can't be removed yet: %s", name, exc)
            await self._clock.sleep(1.0)

    async def see_off(self, name: str) -> bool:
        """Delete all that a definition defines, and then let go of it. Whether it is gone."""
        from hyperkube_apiserver.customresources.removal import Removal

        removal = Removal(self._api.custom, self._served, name, self._context(), self._clock)
        return await removal.attempt(self._change)

    async def _change(
        self, name: str, definition: Tree, change: Callable[[Tree], Tree], context: WriteContext
    ) -> Tree | None:
        """`definition` as `change` makes it, having written that if it is not as it was; None if it is gone."""
        made = change(definition)
        if made is definition:
            return made
        try:
            written = await self._served.registry.update(name, change, context, log.warning)
        except APIError as exc:
            if exc.code != 404:  # one that was deleted meanwhile needs no status
                raise
            return None
        if name in self._names and not written.removed:
            self._note(name, made, due=False)
        return decode_body(written.body)

    def _context(self) -> WriteContext:
        return WriteContext(now=format_seconds(self._clock.now()), subresource="status", manager=_MANAGER)

    def _changed_to(self, name: str, definition: Tree | None) -> None:
        if definition is not None:
            self._note(name, definition)
        elif (gone := self._names.pop(name, None)) is not None:
            self._free(gone["spec"]["group"])

    def _free(self, group: str) -> None:
        """Look once more at those of `group` that were refused a name."""
        self._due |= {name for name, told in self._names.items() if told["spec"]["group"] == group and told["refused"]}
        self._changed.set()

    def _note(self, name: str, definition: Tree, *, due: bool = True) -> None:
        from hyperkube_apiserver.registry.apiextensions.states import ends

        spec, status = definition.get("spec") or {}, definition.get("status") or {}
        accepted = status.get("acceptedNames") or {}
        before = self._names.get(name)
        self._names[name] = {
            "spec": {"group": spec.get("group")},
            "status": {"acceptedNames": accepted},
            "created": meta.metadata(definition).get("creationTimestamp") or "",
            "refused": accepted != (spec.get("names") or {}),
            "ends": ends(definition),
        }
        if before is not None and before["status"] != self._names[name]["status"]:
            self._free(spec.get("group") or "")
        told = self._names[name]
        if due and (told["ends"] or self._settled(definition, format_seconds(self._clock.now())) is not definition):
            self._due.add(name)
            self._changed.set()
