"""What was found out about things that come again and again, by the bytes that they encode to.

Controllers make objects of templates: a hundred that differ in their names alone. What takes long to find out about one
is remembered for the next; what differs in a single byte is found out anew.
"""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Remembered"]

_MOST = 512
_LARGEST = 16 * 1024  # bytes of a key; all keys take at most 8 MiB, and half a megabyte where objects are as usual

T = TypeVar("T")


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
