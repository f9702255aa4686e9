"""PodTolerationRestriction: what pods of a namespace tolerate, and may tolerate.

Source: k8s.io/kubernetes/plugin/pkg/admission/podtolerationrestriction.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.configuration import ConfigurationError
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.admission.tolerationsets import are_within, merge_tolerations
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_apiserver.registry.podspec.qos import qos_class
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.jsontext import BadJSON, parse

__all__ = ["PodTolerationRestriction"]

_DEFAULT = "scheduler.alpha.kubernetes.io/defaultTolerations"
_ALLOWED = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_MEMORY = {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"}

Tree = dict[str, Any]


class PodTolerationRestriction(Plugin):
    """The tolerations of a namespace, or else the cluster's, are added to a pod's, and limit them."""

    operations = CREATE | UPDATE
    about = ("pods",)

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        told = settings.configurations.get("PodTolerationRestriction") or {}
        if not isinstance(told, dict):
            raise ConfigurationError("the configuration of PodTolerationRestriction is no object")
        self._default: list[Tree] = told.get("default") or []
        self._allowed: list[Tree] = told.get("whitelist") or []

    def admit(self, attributes: Attributes) -> Waiting:
        """Add the tolerations; pods with requests stay out of the way of memory running low, too."""
        assert attributes.obj is not None
        spec, added = attributes.obj.setdefault("spec", {}), []
        if attributes.operation is Operation.CREATE:
            own = self._annotated(attributes.namespace, _DEFAULT)
            added = self._default if own is None else own
        if qos_class(spec) != "BestEffort":
            added = [*added, _MEMORY]
        if added:
            spec["tolerations"] = merge_tolerations([*(spec.get("tolerations") or ()), *map(dict, added)])
        return self.validate(attributes)

    def validate(self, attributes: Attributes) -> Waiting:
        """Refuse what is not allowed, with the bare 500 that upstream's error becomes."""
        given = ((attributes.obj or {}).get("spec") or {}).get("tolerations")
        if not given:
            return None
        own = self._annotated(attributes.namespace, _ALLOWED)
        scope, allowed = ("cluster", self._allowed) if own is None else ("namespace", own)
        if not are_within(given, allowed):
            why = "pod tolerations (possibly merged with namespace default tolerations) conflict with its "
            raise APIError.of(500, "", f"{why}{scope} whitelist")
        return None

    def _annotated(self, name: str, annotation: str) -> list[Tree] | None:
        """The tolerations that an annotation of the namespace lists; None if it has none."""
        namespace = self.cluster.find("namespaces", name)
        if namespace is None:
            raise self.cluster.missing("namespaces", name)
        text = meta.annotations_of(namespace).get(annotation)
        if not text:
            return None if text is None else []
        try:
            found = parse(text.encode())
        except BadJSON as exc:
            raise APIError.of(500, "", str(exc)) from exc
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise APIError.of(500, "", "json: cannot unmarshal into Go value of type []v1.Toleration")
        return found
