"""Keeps what is offered equal to the definitions that there are, right as they change."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.offering import Offering
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.item import Event, Item
from hyperkube_machinery import meta
from hyperkube_machinery.encoding import encode

if TYPE_CHECKING:
    from hyperkube_apiserver.customresources.resource import CustomResource
    from hyperkube_apiserver.customresources.surroundings import Surroundings

__all__ = ["CustomResources"]

Tree = dict[str, Any]


@dataclass(slots=True)
class _Known:
    resource: CustomResource
    digest: bytes  # of all that decides how objects are kept and shown
    ending: bool


Listener = Callable[[str, "Tree | None"], None]
"""Takes a definition's name, and what it is now; None for one that is gone. Must neither change nor keep it."""


class CustomResources:
    """The definitions that are served, by their names."""

    def __init__(self, offering: Offering, around: Surroundings) -> None:
        self._offering = offering
        self._around = around
        self._known: dict[str, _Known] = {}
        self._listeners: list[Listener] = []

    def __iter__(self) -> Iterator[CustomResource]:
        return (known.resource for known in self._known.values())

    def get(self, name: str) -> CustomResource | None:
        """What the definition of that name defines, if it is served."""
        known = self._known.get(name)
        return known.resource if known is not None else None

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every definition that changes, so that a large one is decoded once for all."""
        self._listeners.append(listener)

    def ignore(self, listener: Listener) -> None:
        """Call `listener` no longer."""
        self._listeners.remove(listener)

    def observe(self, event: Event) -> None:
        """Take over what became of a definition."""
        changed = event.item or event.previous
        assert changed is not None
        definition = decode_body(event.item.body) if event.item is not None else None
        if event.item is not None and definition is not None:
            self.take(event.item, definition)
        else:
            self._drop(changed.name)
        for listener in self._listeners:
            listener(changed.name, definition)

    def take(self, item: Item, definition: Tree) -> None:
        """Offer what the definition in `item` defines, as it does that now."""
        # Most servers have no definitions.
        from hyperkube_apiserver.customresources.described import condition_holds, is_offered
        from hyperkube_apiserver.customresources.resource import CustomResource

        # What is built in answers for all of its groups, and passes nothing on.
        if not is_offered(definition) or self._offering.is_built_in(definition["spec"]["group"]):
            self._drop(item.name)
            return
        digest, ending = _digest(definition), condition_holds(definition, "Terminating")
        known = self._known.get(item.name)
        if known is not None and known.digest == digest:
            known.resource.refer_to(item)
            if known.ending != ending:
                known.ending = ending
                known.resource.end(ending=ending)
                self._offering.put(_source(item.name), known.resource.offered)
            return
        if known is not None:
            known.resource.close()
        resource = CustomResource(item, definition, self._around)
        self._known[item.name] = _Known(resource, digest, ending)
        self._offering.put(_source(item.name), resource.offered)

    def _drop(self, name: str) -> None:
        known = self._known.pop(name, None)
        if known is not None:
            self._offering.withdraw(_source(name))
            known.resource.close()


def _source(name: str) -> str:
    return f"definition {name}"


def _digest(definition: Tree) -> bytes:
    names = definition["status"]["acceptedNames"]
    return hashlib.sha256(encode([meta.uid(definition), definition["spec"], names])).digest()
