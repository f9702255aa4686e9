"""NamespaceLifecycle, NamespaceExists and NamespaceAutoProvision: objects live in namespaces that are there.

Source: k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle, k8s.io/kubernetes/plugin/pkg/admission/namespace.
"""

from __future__ import annotations

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import CREATE, DELETE, UPDATE, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["NamespaceAutoProvision", "NamespaceExists", "NamespaceLifecycle"]

_IMMORTAL = frozenset(("default", "kube-system", "kube-public"))
_REVIEWS = ("authorization.k8s.io", "localsubjectaccessreviews")


def _is_namespace(resource: Resource) -> bool:
    return resource.resource == "namespaces" and not resource.group


class NamespaceLifecycle(Plugin):
    """Nothing is written in a namespace that does not exist, nothing made in one that is being deleted.

    Three namespaces are never deleted.
    """

    operations = CREATE | UPDATE | DELETE

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """Deletions are of interest for namespaces, all else for what is in one.

        Reviews of access are let pass: whether a namespace exists is not everybody's business.
        """
        if operation not in self.operations:
            return False
        if operation is Operation.DELETE:
            return _is_namespace(resource)
        return resource.namespaced and (resource.group, resource.resource) != _REVIEWS

    def admit(self, attributes: Attributes) -> Waiting:
        """Raise 404 or 403."""
        if attributes.operation is Operation.DELETE:
            if attributes.name in _IMMORTAL:
                raise forbidden(attributes, "this namespace may not be deleted")
            return None
        name = attributes.namespace
        item = self.cluster.item("namespaces", name)
        if item is None:
            raise self.cluster.missing("namespaces", name)
        if attributes.operation is Operation.CREATE and item.fields.get("status.phase") == "Terminating":
            raise _terminating(attributes)
        return None


def _terminating(attributes: Attributes) -> APIError:
    namespace = attributes.namespace
    error = forbidden(
        attributes, f"unable to create new content in namespace {namespace} because it is being terminated"
    )
    error.status["details"]["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    return error


class NamespaceExists(Plugin):
    """Nothing is written, and nothing deleted, in a namespace that does not exist."""

    operations = CREATE | UPDATE | DELETE

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """Whatever is in a namespace."""
        return operation in self.operations and resource.namespaced

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 404."""
        if self.cluster.item("namespaces", attributes.namespace) is None:
            raise self.cluster.missing("namespaces", attributes.namespace)
        return None


class NamespaceAutoProvision(Plugin):
    """Makes the namespace that an object is made in, if there is none."""

    operations = CREATE

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """Whatever is in a namespace."""
        return operation in self.operations and resource.namespaced

    def admit(self, attributes: Attributes) -> Waiting:
        """Make the namespace, but not for a trial."""
        if attributes.dry_run or self.cluster.item("namespaces", attributes.namespace) is not None:
            return None
        return self._provide(attributes)

    async def _provide(self, attributes: Attributes) -> None:
        namespace = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": attributes.namespace}}
        context = WriteContext(now=format_seconds(self.cluster.clock.now()))
        try:
            await self.cluster.namespaces().create(namespace, context, attributes.warn)
        except APIError as exc:
            if exc.reason == "Forbidden":
                raise
            if exc.reason != "AlreadyExists":
                raise forbidden(attributes, str(exc)) from exc
        await self.cluster.hub.fresh()
