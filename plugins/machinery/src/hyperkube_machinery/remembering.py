"""What was found out about things that come again and again.

Controllers make objects of templates: a hundred that differ in their names alone. What takes long to find out about one
is `Remembered` for the next, by the bytes that it encodes to; what differs in a single byte is found out anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Latest", "Remembered"]

_MOST = 512
_LARGEST = 16 * 1024  # bytes of a key; all keys take at most 8 MiB, and half a megabyte where objects are as usual

T = TypeVar("T")
KeyT = TypeVar("KeyT", bound=Hashable)
ValueT = TypeVar("ValueT")


class Remembered(Generic[T]):
    """The latest findings, not many; the oldest go all at once."""

    def __init__(self) -> None:
        self._found: dict[bytes, T] = {}
        self.get = self._found.get  # by key; None for what is not remembered

    def keep(self, key: bytes, found: T) -> None:
        """Remember what was found, unless it is too large to be worth it."""
        if len(key) > _LARGEST:
            return
        if len(self._found) >= _MOST:
            self._found.clear()
        self._found[key] = found

    def __len__(self) -> int:
        return len(self._found)


class Latest(Generic[KeyT, ValueT]):
    """The `most` values that were used last; the others are forgotten one by one. Threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[KeyT, ValueT] = OrderedDict()

    def get(self, key: KeyT) -> ValueT | None:
        value = self._values.get(key)
        if value is not None:
            self._used(key)
        return value

    def put(self, key: KeyT, value: ValueT) -> None:
        self._values[key] = value
        self._used(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def _used(self, key: KeyT) -> None:
        try:
            self._values.move_to_end(key)
        except KeyError:  # another thread had it forgotten just now
            return

    def drop(self, key: KeyT) -> None:
        self._values.pop(key, None)

    def items(self) -> list[tuple[KeyT, ValueT]]:
        return [*self._values.items()]
