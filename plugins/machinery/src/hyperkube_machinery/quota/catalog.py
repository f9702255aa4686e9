"""Who measures what. Source: k8s.io/kubernetes/pkg/quota/v1/{evaluator/core/registry.go,install}."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hyperkube_machinery.quota.deviceclaims import DeviceClaims
from hyperkube_machinery.quota.evaluator import Evaluator
from hyperkube_machinery.quota.lookup import Lookup
from hyperkube_machinery.quota.pods import Pods
from hyperkube_machinery.quota.services import Services
from hyperkube_machinery.quota.storageclaims import StorageClaims

__all__ = ["IGNORED", "Evaluators"]

_REVIEWS = ("subjectaccessreviews", "selfsubjectaccessreviews", "localsubjectaccessreviews", "selfsubjectrulesreviews")

IGNORED = frozenset(
    {
        ("", "bindings"),
        ("", "componentstatuses"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
        *(("authorization.k8s.io", name) for name in _REVIEWS),
        ("", "events"),
        ("events.k8s.io", "events"),
    }
)
"""What is never counted, as (group, resource): what is not stored, and events."""

_COUNT = "count/"
_ALIASES = ("configmaps", "resourcequotas", "replicationcontrollers", "secrets")
"""Resources that are counted under their bare name, too."""


class Evaluators:
    """The evaluator of each resource, made when it is first asked for."""

    def __init__(self, lookup: Lookup, now: Callable[[], float]) -> None:
        pods = Pods(now)
        special: Iterable[Evaluator] = (pods, Services(), StorageClaims(), DeviceClaims(lookup, pods))
        aliased = (Evaluator("", name, alias=name) for name in _ALIASES)
        self._known = {(one.group, one.resource): one for one in (*special, *aliased)}

    def of(self, group: str, resource: str) -> Evaluator | None:
        """The evaluator of a resource; None if it is never counted."""
        key = (group, resource)
        if key in IGNORED:
            return None
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Evaluator(group, resource)
        return found

    def counting(self, names: Iterable[str]) -> list[Evaluator]:
        """Those that measure something of `names`, which are what a quota bounds."""
        for name in names:
            if name.startswith(_COUNT):
                resource, _, group = name.removeprefix(_COUNT).partition(".")
                self.of(group, resource)
        return [one for one in self._known.values() if one.counted(names)]
