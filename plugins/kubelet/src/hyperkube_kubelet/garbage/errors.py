"""Why garbage is left."""

from __future__ import annotations

__all__ = ["GarbageLeft"]


class GarbageLeft(Exception):
    """Something could not be removed, or not enough; the message says what."""
