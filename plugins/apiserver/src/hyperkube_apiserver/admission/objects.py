"""The objects of a request in the versions that webhooks and policies take them in.

Source: k8s.io/apiserver/pkg/admission/conversion.go.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.rules import GroupVersionKind, Target
from hyperkube_apiserver.call import Served
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.fields.shapes import Shape, load_shapes
from hyperkube_machinery.schema import Schemas

__all__ = ["Objects"]

Tree = dict[str, Any]


class Objects:
    """What a request writes, and what is there."""

    def __init__(self, attributes: Attributes, cluster: Cluster) -> None:
        self._attributes = attributes
        self._cluster = cluster
        self._old: dict[GroupVersionKind, Tree] = {}

    async def at(self, target: Target) -> tuple[Tree | None, Tree | None]:
        """The object to be written and the one that is there, in the version of `target`; nobody may change them."""
        attributes = self._attributes
        obj, old = attributes.obj, attributes.old
        if obj is not None and not _fits(obj, target):
            obj = await self._converted(obj, target)
        if old is not None and not _fits(old, target):
            known = self._old.get(target.body)
            if known is None:
                known = self._old[target.body] = await self._converted(old, target)
            old = known
        return obj, old

    async def put(self, target: Target, tree: Tree, *, strict: bool = False) -> None:
        """Let `tree`, of the version of `target`, be what is written.

        Raises WrongType for what is no such object and, if that is to be `strict`, StrictError for unknown fields.
        """
        attributes = self._attributes
        assert attributes.obj is not None
        served = self._served(target)
        if served is not None:
            api_version = attributes.obj["apiVersion"]
            tree = served.registry.admitted(tree, field_validation="Strict" if strict else "Ignore")
            if tree["apiVersion"] != api_version:
                tree = await served.registry.converted(tree, api_version)
        attributes.obj.clear()
        attributes.obj.update(tree)

    def shape(self, target: Target) -> Shape | None:
        """The type of the object to be written, for merging; None if it is not known."""
        served = self._served(target)
        if served is not None and served.schema is not None:
            return served.schema.shape
        definition = Schemas.load().definition_of(target.body.api_version, target.body.kind)
        return load_shapes().of(definition) if definition is not None else None

    async def _converted(self, tree: Tree, target: Target) -> Tree:
        served = self._served(target)
        return tree if served is None else await served.registry.converted(tree, target.body.api_version)

    def _served(self, target: Target) -> Served | None:
        """What is stored as the objects of `target`; None for bodies of requests that nothing is stored as."""
        resource = target.resource.resource
        if (target.body.kind, target.body.group) != (resource.kind, resource.group):
            return None
        return self._cluster.offering.served.get((resource.group, resource.version, resource.resource))


def _fits(tree: Tree, target: Target) -> bool:
    return bool(tree.get("apiVersion") == target.body.api_version)
