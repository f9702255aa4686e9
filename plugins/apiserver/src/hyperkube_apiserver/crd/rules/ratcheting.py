"""Which failures of rules are forgiven, since what they are about is as it was.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go (ratcheting).
"""

from __future__ import annotations

from hyperkube_apiserver.registry.apiextensions.correlation import Correlated

__all__ = ["Ratchet"]


class Ratchet:
    """Whether failures at a place are to be forgiven, since the value there, or one around it, is as it was."""

    __slots__ = ("_current", "_nearest")

    def __init__(self, current: Correlated | None = None, nearest: Correlated | None = None) -> None:
        self._current = current
        self._nearest = nearest  # above, that has an old value

    def forgives(self) -> bool:
        decisive = self._current or self._nearest
        return decisive is not None and decisive.is_same()

    def key(self, name: str) -> Ratchet:
        if self._current is None:
            return self
        if self._nearest is None and name in ("apiVersion", "kind"):
            return Ratchet()  # both objects were converted to the same version
        return Ratchet(self._current.field(name), self._current)

    def index(self, position: int) -> Ratchet:
        return self if self._current is None else Ratchet(self._current.item(position), self._current)
