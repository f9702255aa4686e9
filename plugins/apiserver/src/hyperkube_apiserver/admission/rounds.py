"""Who has been asked about a request, and who is asked once more because others changed it afterwards.

Webhooks and mutating policies do this alike.
Source: k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/reinvocationcontext.go, plugin/policy/mutating.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable
from typing import Any

from hyperkube_apiserver.registry.attributes import Attributes

__all__ = ["Rounds"]

Tree = dict[str, Any]


class Rounds:
    """What one plugin knows of one request: there are two rounds at most, and the second asks nobody anew."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._seen: Tree | None = None  # as the plugin left the object
        self._eligible: set[Hashable] = set()  # to be asked again, should somebody change the object
        self._due: set[Hashable] = set()

    @classmethod
    def of(cls, attributes: Attributes, plugin: str) -> Rounds:
        """What `plugin` knows of the request, at the beginning of a round."""
        known = attributes.memory.get(plugin)
        if known is None:
            known = attributes.memory[plugin] = cls(attributes)
        assert isinstance(known, cls)
        if attributes.reinvoked and known._seen != attributes.obj:
            known._changed()  # plugins that are built in did
        return known

    @property
    def number(self) -> int:
        return 1 if self._attributes.reinvoked else 0

    def asks(self, who: Hashable) -> bool:
        """Whether `who` is asked in this round."""
        return not self._attributes.reinvoked or who in self._due

    def asked(self, who: Hashable, *, changed: bool, again: bool) -> None:
        """`who` was asked, changed the object or not, and wants to be asked `again` when others do."""
        if changed:
            self.require()
        if again:
            self._eligible.add(who)

    def require(self) -> None:
        """Have everybody asked again who wants to be."""
        self._changed()
        self._attributes.reinvoke = True

    def end(self) -> None:
        """Keep what the object looks like at the end of a round."""
        if not self._attributes.reinvoked and self._attributes.obj is not None and self._eligible:
            self._seen = copy.deepcopy(self._attributes.obj)

    def _changed(self) -> None:
        self._due |= self._eligible
        self._eligible = set()
