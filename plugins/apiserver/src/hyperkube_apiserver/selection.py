"""Which objects a list, a watch or a deletion of a collection is about."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache

from hyperkube_apiserver.registry.strategy import Strategy
from hyperkube_apiserver.watchcache.item import Item, LateFields
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.selectors import FieldRequirement, FieldSelector, LabelSelector, parse_fields, parse_labels

__all__ = ["ALL", "Selected", "select"]

_NAME = "metadata.name"
_ITEMS_A_SLICE = 500
"""Looked at before others have their turn: about a millisecond."""


class Selected:
    """A label and a field selector together."""

    __slots__ = ("empty", "fields", "key", "labels", "late")

    def __init__(self, labels: LabelSelector, fields: FieldSelector, late: LateFields | None = None) -> None:
        self.labels = labels
        self.fields = fields
        self.late = late
        self.key = (labels, fields, late.api_version if late is not None else "")
        self.empty = labels.empty and fields.empty

    def matches(self, item: Item) -> bool:
        """Whether `item` is selected; where its fields are not known yet, whether it may be."""
        return self.empty or (self.labels.matches(item.labels) and self._has_fields(item))

    def _has_fields(self, item: Item) -> bool:
        if self.late is None:
            return self.fields.matches(item.fields)
        found = self.late.fields(item)
        return found is None or self.fields.matches(found)

    async def known(self, items: Sequence[Item]) -> Sequence[Item]:
        """`items`, once it is known for sure which `matches`. Raises APIError."""
        if self.late is not None:
            await self.late.ready([item for item in items if self.labels.matches(item.labels)])
        return items

    async def among(self, items: Sequence[Item], limit: int = 0) -> Sequence[Item]:
        """The first of `items` that are selected, up to `limit` (0: all); many are looked at in slices."""
        if self.empty:
            return items[:limit] if limit else items
        found: list[Item] = []
        matches = self.matches
        for start in range(0, len(items), _ITEMS_A_SLICE):
            if start:
                await asyncio.sleep(0)
            found += [item for item in await self.known(items[start : start + _ITEMS_A_SLICE]) if matches(item)]
            if 0 < limit <= len(found):
                return found[:limit]
        return found

    def wanted(self, field: str) -> str | None:
        """The one value of `field` that is selected, or None where there may be several."""
        return self.fields.exact(field)

    def only(self, name: str) -> Selected:
        """The same for the one object that a path names; raises 400 if the fields are not that object's."""
        if self.fields.empty:
            return Selected(self.labels, FieldSelector((FieldRequirement(_NAME, "=", name),)))
        if self.wanted(_NAME) != name:
            raise APIError.bad_request("fieldSelector metadata.name doesn't match requested name")
        return self


ALL = Selected(parse_labels(""), parse_fields(""))


def select(strategy: Strategy, label_selector: str, field_selector: str) -> Selected:
    """Parse both selectors for a kind; raises 400 for bad grammar and for fields that can't be selected by."""
    if not label_selector and not field_selector:
        return ALL
    labels, fields = _parsed(label_selector, field_selector)
    if not fields.empty:
        fields = strategy.field_selector(fields)
    return Selected(labels, fields, strategy.late_fields(fields))


@lru_cache(maxsize=4096)
def _parsed(label_selector: str, field_selector: str) -> tuple[LabelSelector, FieldSelector]:
    # Many clients ask with few selectors, as controllers and kubelets do.
    return parse_labels(label_selector), parse_fields(field_selector)
