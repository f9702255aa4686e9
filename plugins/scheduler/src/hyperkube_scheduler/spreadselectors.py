"""Which pods are of the same kind as another: those that its services, and whoever owns it, select.

Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/helper (DefaultSelector).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from hyperkube_machinery import meta
from hyperkube_machinery.selectors import LabelRequirement, LabelSelector, label_selector
from hyperkube_scheduler.podinfo import PodInfo

__all__ = ["SpreadSelectors"]

Tree = dict[str, Any]

_CONTROLLER, _REPLICA_SET, _STATEFUL_SET = (
    ("v1", "ReplicationController"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
)


class _Listed(Protocol):
    """What informers are to those who read them."""

    def get(self, key: str) -> Tree | None: ...

    def list(self, namespace: str = "") -> Iterable[Tree]: ...


class SpreadSelectors:
    """Finds the selector of a pod's kind."""

    def __init__(self, services: _Listed, controllers: _Listed, replica_sets: _Listed, stateful_sets: _Listed) -> None:
        self._services = services
        self._owners = {_CONTROLLER: controllers, _REPLICA_SET: replica_sets, _STATEFUL_SET: stateful_sets}
        self._read: dict[str, tuple[object, tuple[LabelRequirement, ...]]] = {}

    def of(self, pod: PodInfo) -> LabelSelector:
        """Empty if nobody has to do with the pod."""
        labels: dict[str, str] = {}
        for service in self._services.list(pod.namespace):
            chosen = (service.get("spec") or {}).get("selector")
            if chosen and all(pod.labels.get(key) == value for key, value in chosen.items()):
                labels.update(chosen)
        owner = meta.controller_of(pod.tree)
        more: tuple[LabelRequirement, ...] = ()
        if owner is not None:
            kind = (owner.get("apiVersion", ""), owner.get("kind", ""))
            listed = self._owners.get(kind)
            found = listed.get(f"{pod.namespace}/{owner.get('name', '')}") if listed is not None else None
            chosen = ((found or {}).get("spec") or {}).get("selector")
            if kind == _CONTROLLER:
                labels.update(chosen or {})
            elif found is not None:
                more = self._requirements(meta.uid(found), chosen)
        return LabelSelector((*(LabelRequirement(key, "=", (value,)) for key, value in sorted(labels.items())), *more))

    def _requirements(self, uid: str, selector: Mapping[str, Any] | None) -> tuple[LabelRequirement, ...]:
        """Of a label selector; selectors of owners never change, and pods come by the hundred."""
        known = self._read.get(uid)
        if known is not None and known[0] is selector:
            return known[1]
        try:
            requirements = label_selector(selector).requirements
        except ValueError:
            requirements = ()
        if len(self._read) > 10_000:
            self._read.clear()
        self._read[uid] = (selector, requirements)
        return requirements
