"""Which requests of the right sort a webhook or a policy is about: selectors of namespaces and objects.

Source: k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/{namespace,object}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery.selectors import LabelSelector, label_selector

__all__ = ["Selectors", "namespace_of"]

Tree = dict[str, Any]

_WRITES = (Operation.CREATE, Operation.UPDATE)


def namespace_of(attributes: Attributes) -> str:
    """The namespace that what is written is in: upstream says of a namespace that it is in itself."""
    return attributes.name if _is_namespace(attributes) else attributes.namespace


@dataclass(frozen=True, slots=True)
class Selectors:
    """A namespace selector and an object selector."""

    namespaces: LabelSelector
    objects: LabelSelector

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> Selectors:
        """Those of a webhook, or of MatchResources. Raises ValueError for what no validation should have let pass."""
        return cls(label_selector(tree.get("namespaceSelector")), label_selector(tree.get("objectSelector")))

    def match(self, attributes: Attributes, cluster: Cluster) -> bool:
        """Whether they select a request. Raises APIError where its namespace is not there."""
        if not self.objects.empty and not (_has(attributes.obj, self.objects) or _has(attributes.old, self.objects)):
            return False
        if self.namespaces.empty:
            return True
        labels = _namespace_labels(attributes, cluster)
        return labels is None or self.namespaces.matches(labels)


def _has(tree: Tree | None, selector: LabelSelector) -> bool:
    if tree is None or not isinstance(metadata := tree.get("metadata"), dict):
        return False
    return selector.matches(metadata.get("labels") or {})


def _namespace_labels(attributes: Attributes, cluster: Cluster) -> Mapping[str, str] | None:
    """The labels that count; None for what is in no namespace, which every selector lets pass."""
    is_namespace, name = _is_namespace(attributes), namespace_of(attributes)
    if not name and not is_namespace:
        return None
    if is_namespace and not attributes.subresource and attributes.operation in _WRITES:
        found: Mapping[str, str] = ((attributes.obj or {}).get("metadata") or {}).get("labels") or {}
        return found
    item = cluster.item("namespaces", name)
    if item is None:
        raise cluster.missing("namespaces", name)
    return item.labels


def _is_namespace(attributes: Attributes) -> bool:
    resource = attributes.kind.resource
    return resource.resource == "namespaces" and not resource.group
