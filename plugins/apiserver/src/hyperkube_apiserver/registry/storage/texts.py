"""What the kinds of storage have in common: optional fields, and maps of texts that may not grow too large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["MOST_BYTES", "set_absent", "size"]

MOST_BYTES = 256 << 10


def set_absent(tree: dict[str, Any], **values: Any) -> None:
    """Set what is absent or null; the empty text is a value here, as behind Go's pointers."""
    for name, value in values.items():
        if tree.get(name) is None:
            tree[name] = value


def size(texts: Mapping[str, str]) -> int:
    """The bytes of keys and values."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in texts.items())
