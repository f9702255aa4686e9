"""Keeps what is offered equal to the definitions that there are, right as they change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.customresources.described import condition_holds, is_offered
from hyperkube_apiserver.customresources.resource import CustomResource, Surroundings
from hyperkube_apiserver.offering import Offering
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.item import Event, Item
from hyperkube_machinery import meta
from hyperkube_machinery.encoding import encode

__all__ = ["CustomResources"]

Tree = dict[str, Any]


@dataclass(slots=True)
class _Known:
    resource: CustomResource
    digest: bytes  # of all that decides how objects are kept and shown
    ending: bool


class CustomResources:
    """The definitions that are served, by their names."""

    def __init__(self, offering: Offering, around: Surroundings) -> None:
        self._offering = offering
        self._around = around
        self._known: dict[str, _Known] = {}

    def __iter__(self) -> Iterator[CustomResource]:
        return (known.resource for known in self._known.values())

    def get(self, name: str) -> CustomResource | None:
        """What the definition of that name defines, if it is served."""
        known = self._known.get(name)
        return known.resource if known is not None else None

    def observe(self, event: Event) -> None:
        """Take over what became of a definition."""
        if event.item is not None:
            self.take(event.item)
        elif event.previous is not None:
            self._drop(event.previous.name)

    def take(self, item: Item) -> None:
        """Offer what the definition in `item` defines, as it does that now."""
        definition = decode_body(item.body)
        if not is_offered(definition):
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
