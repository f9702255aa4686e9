"""PodNodeSelector: pods of a namespace go to the nodes that are meant for it.

Source: k8s.io/kubernetes/plugin/pkg/admission/podnodeselector, k8s.io/apimachinery/pkg/labels.
"""

from __future__ import annotations

from collections.abc import Mapping

from hyperkube_apiserver.admission.plugin import CREATE, Plugin, Waiting
from hyperkube_apiserver.authz.forbidden import forbidden_because
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.names import label_value, qualified_name

__all__ = ["PodNodeSelector"]

_ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
_CONFIGURED, _EVERYWHERE = "podNodeSelectorPluginConfig", "clusterDefaultNodeSelector"


class PodNodeSelector(Plugin):
    """The selector of a namespace, or else the cluster's, is added to a pod's; a namespace may limit what pods add."""

    operations = CREATE
    about = ("pods",)

    def admit(self, attributes: Attributes) -> Waiting:
        """Add the selector."""
        assert attributes.obj is not None
        wanted = self._of_namespace(attributes.namespace)
        spec = attributes.obj.setdefault("spec", {})
        given = spec.get("nodeSelector") or {}
        _check_agreement(attributes, given, wanted)
        if wanted:
            spec["nodeSelector"] = {**wanted, **given}
        return self.validate(attributes)

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for a pod that is for other nodes."""
        given = ((attributes.obj or {}).get("spec") or {}).get("nodeSelector") or {}
        _check_agreement(attributes, given, self._of_namespace(attributes.namespace))
        allowed = _read(self._configured().get(attributes.namespace) or "")
        if allowed and any(allowed.get(key) != value for key, value in given.items()):
            raise _forbidden(attributes, "pod node label selector labels conflict with its namespace whitelist")
        return None

    def _of_namespace(self, name: str) -> Mapping[str, str]:
        namespace = self.cluster.find("namespaces", name)
        if namespace is None:
            raise APIError.internal(f"namespace {name} does not exist")
        own = meta.annotations_of(namespace).get(_ANNOTATION)
        return _read(own if own is not None else self._configured().get(_EVERYWHERE) or "")

    def _configured(self) -> Mapping[str, str]:
        configuration = self.settings.configurations.get("PodNodeSelector") or {}
        return configuration.get(_CONFIGURED) or {}


def _check_agreement(attributes: Attributes, given: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    if any(wanted.get(key, value) != value for key, value in given.items()):
        raise _forbidden(attributes, "pod node label selector conflicts with its namespace node label selector")


def _forbidden(attributes: Attributes, why: str) -> APIError:
    return forbidden_because("", "pods", meta.name(attributes.obj or {}), why)


def _read(selector: str) -> Mapping[str, str]:
    """The labels of `key=value,key=value`. Raises, as upstream does, a 500 without a reason for anything else."""
    labels: dict[str, str] = {}
    for part in selector.split(",") if selector else ():
        pieces = part.split("=")
        if len(pieces) != 2:
            raise APIError.of(500, "", f"invalid selector: [{' '.join(pieces)}]")
        key, value = (piece.strip() for piece in pieces)
        for wrong in (*qualified_name(key), *label_value(value)):
            raise APIError.of(500, "", f"invalid selector: {part}: {wrong}")
        labels[key] = value
    return labels
