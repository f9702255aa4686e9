"""What a list found, however it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hyperkube_apiserver.watchcache.item import Item

__all__ = ["Listing"]


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects in order of their keys, and where it goes on."""

    items: Sequence[Item]
    revision: int | None  # of no revision is what is not stored
    continue_token: str = ""
    remaining: int | None = None  # unknown where a selector leaves objects out
