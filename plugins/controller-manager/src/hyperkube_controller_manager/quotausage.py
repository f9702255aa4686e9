"""What is there of the resources that quotas bound: informers that begin when the first quota needs them.

Source: k8s.io/kubernetes/pkg/controller/resourcequota/resource_quota_monitor.go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.podcontrol import FAILURES
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import PERSISTENT_VOLUME_CLAIMS, PODS, SERVICES
from hyperkube_machinery.companions import Companions
from hyperkube_machinery.informers import Informer
from hyperkube_machinery.quota import Evaluator
from hyperkube_machinery.resources import Resource

__all__ = ["Counted"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]
Place = tuple[str, str]  # group and resource
Freed = Callable[[Evaluator, str], None]
"""Told that something of a namespace may be used no longer."""

_DISCOVERY_SECONDS = 5.0
_DEVICES = "resource.k8s.io"
_CLAIMS: Place = (_DEVICES, "resourceclaims")
_CLASSES: Place = (_DEVICES, "deviceclasses")
_COUNTABLE = frozenset(("create", "list", "watch", "delete"))
_SHARED = {(one.group, one.resource): one for one in (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS)}
"""What others of this server read, too, as a rule."""
_KEPT = ("name", "namespace", "uid", "resourceVersion")


def slim(obj: dict[str, Any]) -> dict[str, Any]:
    """As much as is needed to count."""
    return {"metadata": {key: obj["metadata"][key] for key in _KEPT if key in obj["metadata"]}}


class Counted:
    """The objects that quotas count."""

    def __init__(self, context: ControllerContext, beside: Companions, freed: Freed) -> None:
        self._context = context
        self._beside = beside
        self._freed = freed
        self._informers: dict[Place, Informer] = {}
        self._served: dict[Place, Resource] = dict(_SHARED)
        self._discovered = float("-inf")

    async def watch(self, evaluators: Iterable[Evaluator]) -> None:
        """Have an informer for what these measure."""
        places = {(one.group, one.resource): one for one in evaluators}
        if not self._served.keys() >= places.keys():
            await self._discover()
        for place, evaluator in places.items():
            if place not in self._informers and place in self._served:
                self._informers[place] = self._begin(evaluator, self._served[place])
                if place == _CLAIMS:
                    self._look_up()

    async def _discover(self) -> None:
        """Learn what is served, if that was not asked just now."""
        now = self._context.clock.monotonic()
        if now - self._discovered < _DISCOVERY_SECONDS:
            return
        self._discovered = now
        try:
            found = await self._context.reader.discover()
        except FAILURES as exc:
            log.warning("cannot tell which resources there are: %s", exc)
            return
        self._served |= {(one.group, one.resource): one for one in found if set(one.verbs) >= _COUNTABLE}

    def _begin(self, evaluator: Evaluator, resource: Resource) -> Informer:
        def on_change(old: Tree | None, new: Tree | None) -> None:
            if old is not None and (new is None or evaluator.has_freed(old, new)):
                self._freed(evaluator, meta.namespace(old))

        informer = self._follow(resource, whole=type(evaluator) is not Evaluator)
        informer.on_change(on_change)
        return informer

    def _follow(self, resource: Resource, *, whole: bool) -> Informer:
        """An informer of objects, or of as much of them as is needed to count them."""
        if (resource.group, resource.resource) in _SHARED:
            return self._context.informers.of(resource)
        context = self._context
        if whole:
            informer = Informer(context.reader, context.clock, resource)
        else:
            informer = Informer(context.reader, context.clock, resource, metadata_only=True, keep=slim)
        self._beside.start(informer.follow(), name=f"quotas' {resource.qualified}")
        return informer

    def _look_up(self) -> None:
        """Follow what device claims are held against."""
        for place in (_CLASSES, ("", PODS.resource)):
            if place not in self._informers and place in self._served:
                self._informers[place] = self._follow(self._served[place], whole=True)

    def is_unknown(self, evaluator: Evaluator) -> bool:
        """Whether nothing of an evaluator's kind is served."""
        return (evaluator.group, evaluator.resource) not in self._served

    def objects(self, evaluator: Evaluator, namespace: str) -> list[dict[str, Any]] | None:
        """What is there of its kind in a namespace; None while that is not known."""
        informer = self._informers.get((evaluator.group, evaluator.resource))
        return informer.list(namespace) if informer is not None and informer.synced else None

    # The Lookup of evaluators.

    def device_classes(self) -> Iterable[Tree]:
        informer = self._informers.get(_CLASSES)
        return informer.list() if informer is not None else ()

    def pod(self, namespace: str, name: str) -> Tree | None:
        informer = self._informers.get(("", PODS.resource))
        return informer.get(f"{namespace}/{name}") if informer is not None else None

    def claims(self, namespace: str) -> Iterable[Tree]:
        informer = self._informers.get(_CLAIMS)
        return informer.list(namespace) if informer is not None else ()
