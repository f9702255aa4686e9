"""Parts that many objects have in common, kept once: a hundred pods of a deployment differ in little.

Only for objects that nobody changes.
"""

from __future__ import annotations

from typing import Any

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.remembering import Latest

__all__ = ["SharedParts"]

_SECTIONS = ("metadata", "spec")  # what stands in a status is seldom said twice
_MOST = 2048
_LARGEST = 16 * 1024
"""Bytes of a part's JSON; what is larger is rather data than a template."""


class SharedParts:
    """Knows the parts that were seen lately."""

    def __init__(self) -> None:
        self._parts: Latest[bytes, Any] = Latest(_MOST)

    def share(self, obj: dict[str, Any]) -> None:
        """Put, in the place of parts of `obj`, equal ones that other objects have."""
        for name in _SECTIONS:
            section = obj.get(name)
            if isinstance(section, dict):
                for key, part in section.items():
                    if part and isinstance(part, (dict, list)):
                        section[key] = self._shared(part)

    def _shared(self, part: Any) -> Any:
        text = encode(part)
        if len(text) > _LARGEST:
            return part
        known = self._parts.get(text)
        if known is None:
            self._parts.put(text, part)
            return part
        return known
