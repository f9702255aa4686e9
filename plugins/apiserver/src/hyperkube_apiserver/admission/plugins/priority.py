"""Priority: the number behind a pod's priorityClassName. Source: k8s.io/kubernetes/plugin/pkg/admission/priority."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.following import Following
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery import meta

__all__ = ["Priority"]

_CLASSES, _GROUP = "priorityclasses", "scheduling.k8s.io"

Tree = dict[str, Any]


def _defaults(classes: Iterable[Tree]) -> list[Tree]:
    """The classes that are everybody's default, the lowest first."""
    return sorted((one for one in classes if one.get("globalDefault")), key=lambda one: one.get("value") or 0)


class Priority(Plugin):
    """A new pod gets the priority of its class, or of the one class that is everybody's default."""

    operations = CREATE | UPDATE
    about = ("pods", f"{_CLASSES}.{_GROUP}")

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        self._defaults = Following(cluster, _GROUP, (_CLASSES,), _defaults)

    def admit(self, attributes: Attributes) -> Waiting:
        """Complete a pod. Raises 403 for a class that does not exist, and for a pod that says otherwise than its."""
        if attributes.kind.resource.resource != "pods":
            return None
        assert attributes.obj is not None
        spec = attributes.obj.setdefault("spec", {})
        if attributes.operation is Operation.UPDATE:
            before = (attributes.old or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):  # neither changes, whether a client knows of it or not
                if spec.get(field) is None and before.get(field) is not None:
                    spec[field] = before[field]
            return None
        name, priority, policy = self._resolved(attributes, spec.get("priorityClassName") or "")
        if name:
            spec["priorityClassName"] = name
        given = spec.get("priority")
        if given is not None and given != priority:
            why = "the integer value of priority ({}) must not be provided in pod spec; priority admission controller "
            why += "computed {} from the given PriorityClass name"
            raise forbidden(attributes, why.format(given, priority))
        spec["priority"] = priority
        if policy is None:
            return None
        given = spec.get("preemptionPolicy")
        if given is not None and given != policy:
            why = "the string value of PreemptionPolicy ({}) must not be provided in pod spec; priority admission "
            why += "controller computed {} from the given PriorityClass name"
            raise forbidden(attributes, why.format(given, policy))
        spec["preemptionPolicy"] = policy
        return None

    def _resolved(self, attributes: Attributes, name: str) -> tuple[str, int, str | None]:
        """Name, priority and preemption policy of the class `name`, or of the default."""
        if name:
            found = self.cluster.find(_CLASSES, name, group=_GROUP)
            if found is None:
                raise forbidden(attributes, f"no PriorityClass with name {name} was found")
            return name, found.get("value") or 0, found.get("preemptionPolicy")
        found = self._default()
        if found is None:
            return "", 0, "PreemptLowerPriority"
        return meta.name(found), found.get("value") or 0, found.get("preemptionPolicy")

    def _default(self) -> Tree | None:
        """The default class; should there be several, the lowest."""
        return next(iter(self._defaults.parts), None)

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for a second default class."""
        if attributes.kind.resource.resource != _CLASSES:
            return None
        assert attributes.obj is not None
        if attributes.obj.get("globalDefault"):
            found = self._default()
            if found is not None and (
                attributes.operation is Operation.CREATE or meta.name(found) != meta.name(attributes.obj)
            ):
                why = f"PriorityClass {meta.name(found)} is already marked as default. Only one default can exist"
                raise forbidden(attributes, why)
        return None
