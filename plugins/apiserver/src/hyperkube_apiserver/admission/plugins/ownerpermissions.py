"""OwnerReferencesPermissionEnforcement. Source: k8s.io/kubernetes/plugin/pkg/admission/gc."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, Plugin, Waiting
from hyperkube_apiserver.authz import PromptAuthorizer, ResourceAttributes
from hyperkube_apiserver.registry.attributes import Attributes, Operation
from hyperkube_machinery import meta
from hyperkube_machinery.resources import Resource

__all__ = ["OwnerReferencesPermissionEnforcement"]

_ANYTHING = ResourceAttributes(verb="update", group="*", resource="*", subresource="finalizers", name="*")

Tree = dict[str, Any]


class OwnerReferencesPermissionEnforcement(Plugin):
    """Whoever has a thing deleted with another must be allowed to delete it; whoever blocks, to set finalizers."""

    operations = CREATE | UPDATE

    def handles(self, resource: Resource, operation: Operation, subresource: str) -> bool:
        """Everything, but the status of pods, whose owners no status update can change."""
        return operation in self.operations and (resource.qualified, subresource) != ("pods", "status")

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 for a change of owners that needs more rights than the user has."""
        now, before = (_owners(one) for one in (attributes.obj, attributes.old))
        if now == before:
            return None
        blocking = list(_newly_blocking(now, before))
        return self.cluster.deciding(lambda authorizer: self._check(authorizer, attributes, blocking))

    def _check(self, authorizer: PromptAuthorizer, attributes: Attributes, blocking: list[Tree]) -> None:
        if attributes.operation is not Operation.CREATE:
            self._check_deletion(authorizer, attributes)
        if not blocking or authorizer.authorize(attributes.identity, _ANYTHING).allowed:
            return
        for owner in blocking:
            self._check_blocking(authorizer, attributes, owner)

    def _check_deletion(self, authorizer: PromptAuthorizer, attributes: Attributes) -> None:
        resource = attributes.kind.resource
        decision = authorizer.authorize(
            attributes.identity,
            ResourceAttributes(
                verb="delete",
                group=resource.group,
                resource=resource.resource,
                subresource=attributes.subresource,
                namespace=attributes.namespace,
                name=attributes.name,
            ),
        )
        if not decision.allowed:
            why = f"cannot set an ownerRef on a resource you can't delete: {decision.reason}, <nil>"
            raise forbidden(attributes, why)

    def _check_blocking(self, authorizer: PromptAuthorizer, attributes: Attributes, owner: Tree) -> None:
        api_version, name = owner.get("apiVersion") or "", owner.get("kind") or ""
        group, _, version = api_version.rpartition("/")
        kinds = self.cluster.kinds_called(name, group=group, version=version)
        if not kinds:
            why = "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion "
            why += f'{api_version} Kind {name}: no matches for kind "{name}" in version "{api_version}"'
            raise forbidden(attributes, why)
        for kind in kinds:
            decision = authorizer.authorize(
                attributes.identity,
                ResourceAttributes(
                    verb="update",
                    group=group,
                    resource=kind.resource.resource,
                    subresource="finalizers",
                    namespace=attributes.namespace if kind.resource.namespaced else "",
                    name=owner.get("name") or "",
                ),
            )
            if not decision.allowed:
                why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
                raise forbidden(attributes, f"{why}finalizers on: {decision.reason}, <nil>")


def _owners(obj: Tree | None) -> list[Tree]:
    """The owners of an object, without what says nothing."""
    return [
        {name: value for name, value in owner.items() if value not in (None, "")}
        for owner in meta.owner_references(obj or {})
    ]


def _newly_blocking(now: list[Tree], before: list[Tree]) -> Iterator[Tree]:
    blocked = {owner.get("uid") for owner in before if owner.get("blockOwnerDeletion")}
    return (owner for owner in now if owner.get("blockOwnerDeletion") and owner.get("uid") not in blocked)
