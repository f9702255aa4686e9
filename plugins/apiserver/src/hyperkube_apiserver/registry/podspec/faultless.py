"""Which pods were found faultless, so that the next one of the same template need not be looked through again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from hyperkube_machinery import meta
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.remembering import Remembered

__all__ = ["Faultless"]

Tree = dict[str, Any]
Finding = TypeVar("Finding")


class Faultless(Generic[Finding]):
    """Asks `look` for what is wrong with a pod, which says the same of all that have one name, annotations and spec.

    The name counts only where volumes are made by it.
    """

    def __init__(self, look: Callable[[Tree], list[Finding]]) -> None:
        self._look = look
        self._known: Remembered[bool] = Remembered()

    def __call__(self, pod: Tree) -> list[Finding]:
        """What `look` finds."""
        key = encode((pod.get("spec"), meta.metadata(pod).get("annotations")))
        if b'"ephemeral":' in key:
            key += meta.name(pod).encode()
        if self._known.get(key):
            return []
        found = self._look(pod)
        if not found:
            self._known.keep(key, True)
        return found
