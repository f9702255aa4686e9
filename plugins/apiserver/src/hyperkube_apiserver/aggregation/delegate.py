"""A group version that another server answers for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from hyperkube_apiserver.aggregation.backend import Backend
from hyperkube_apiserver.aggregation.discovery import Known, served_by
from hyperkube_apiserver.aggregation.openapi import Described
from hyperkube_apiserver.aggregation.proxying import pass_on, unavailable
from hyperkube_apiserver.call import Call
from hyperkube_apiserver.offering import Place
from hyperkube_apiserver.openapi.foreign import Foreign
from hyperkube_apiserver.webhooks.errors import CallFailed
from hyperkube_machinery.serving.messages import Answer

__all__ = ["Aggregated"]

log = logging.getLogger(__name__)

Tree = dict[str, Any]


class Aggregated:
    """Answers for the group version of one APIService; fits `offering.Delegate`."""

    def __init__(self, spec: Tree, backend: Backend, *, follows_redirects: bool = False) -> None:
        self.group, self.version = spec.get("group") or "", spec["version"]
        self.backend = backend
        self.place = Place(spec["groupPriorityMinimum"], spec["versionPriority"])
        self.available = False  # requests are passed on only if so
        self._follows_redirects = follows_redirects
        self._known: Known | None = None
        self._stale = True
        self._described = Described(self.group, self.version)

    def resources(self) -> Sequence[Tree] | None:
        if self._stale:
            return None
        return self._known.resources.get((self.group, self.version), ()) if self._known is not None else ()

    def described(self) -> Foreign | None:
        return self._described.documents

    async def refresh(self) -> bool:
        """Ask the server anew what it serves. Whether it said so."""
        try:
            await self._described.read(self.backend)
            self._known = await served_by(self.backend, self.group, self.version, self._known)
        except CallFailed as exc:
            log.warning("what %s serves of %s/%s is not known: %s", self.backend, self.group, self.version, exc)
            self._stale = True
        else:
            self._stale = False
        return not self._stale

    async def answer(self, call: Call) -> Answer:
        """What the server answers, or that it can't be asked."""
        if not self.available:
            return unavailable()
        return await pass_on(call, self.backend, follows_redirects=self._follows_redirects)
