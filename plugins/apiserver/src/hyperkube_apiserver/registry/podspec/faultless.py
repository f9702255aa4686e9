"""Which pods were found faultless, so that the next one of the same template need not be looked through again.

Most pods come from templates: what a controller makes a hundred times differs in its name alone. Annotations and spec
that nothing was wrong with are remembered as the bytes they encode to; what differs in a single byte is looked through
in full.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from hyperkube_machinery import meta
from hyperkube_machinery.encoding import encode

__all__ = ["Faultless"]

_MOST = 512
_LARGEST = 16 * 1024  # bytes; all that is remembered takes at most 8 MiB, and half a megabyte where pods are as usual

Tree = dict[str, Any]
Finding = TypeVar("Finding")


class Faultless(Generic[Finding]):
    """Asks `look` for what is wrong with a pod, which says the same of all that have one name, annotations and spec.

    The name counts only where volumes are made by it.
    """

    def __init__(self, look: Callable[[Tree], list[Finding]]) -> None:
        self._look = look
        self._known: set[bytes] = set()

    def __call__(self, pod: Tree) -> list[Finding]:
        """What `look` finds."""
        key = encode((pod.get("spec"), meta.metadata(pod).get("annotations")))
        if b'"ephemeral":' in key:
            key += meta.name(pod).encode()
        if key in self._known:
            return []
        found = self._look(pod)
        if not found and len(key) <= _LARGEST:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known.add(key)
        return found
