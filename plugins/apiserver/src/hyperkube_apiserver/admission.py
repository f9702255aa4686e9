"""What every new object must pass before its kind looks at it.

Source: k8s.io/kubernetes/plugin/pkg/admission/namespace/lifecycle.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, failure

__all__ = ["NamespaceLifecycle"]


class NamespaceLifecycle:
    """Nothing is made in a namespace that does not exist, or that is being deleted."""

    def __init__(self, namespaces: WatchCache) -> None:
        self._namespaces = namespaces

    async def admit(self, attributes: Attributes) -> None:
        """Raise 404 or 403 where there is no namespace for a new object."""
        kind, namespace = attributes.kind, attributes.namespace
        if attributes.operation is not Operation.CREATE or not kind.resource.namespaced:
            return
        item = self._namespaces.get(self._namespaces.kind.key("", namespace))
        if item is None:
            raise APIError.not_found(self._namespaces.kind.resource, namespace)
        # Looking for the word first spares decoding the namespace for every object made in it.
        if b'"deletionTimestamp"' in item.body and meta.deletion_timestamp(decode_body(item.body)):
            raise _terminating(kind, attributes.name, namespace)

    async def validate(self, attributes: Attributes) -> None:
        """What there is to say, `admit` says."""


def _terminating(kind: Kind, name: str, namespace: str) -> APIError:
    resource = kind.resource
    details: dict[str, Any] = {"name": name, "group": resource.group, "kind": resource.resource}
    details = {key: value for key, value in details.items() if value}
    details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return APIError(failure(403, "Forbidden", f'{resource.qualified} "{name}" is forbidden: {why}', details))
