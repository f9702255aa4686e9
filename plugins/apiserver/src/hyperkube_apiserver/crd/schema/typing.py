"""What ownership (`hyperkube_machinery.fields`) must know of a custom resource.

Source: k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder, k8s.io/kube-openapi/pkg/schemaconv.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.crd.schema.embedded import coerced, read_metadata
from hyperkube_apiserver.registry.apiextensions.gonumbers import as_read

if TYPE_CHECKING:
    from hyperkube_apiserver.crd.schema.custom import CustomSchema
    from hyperkube_machinery.fields.shapes import Shape
    from hyperkube_machinery.fields.typings import Compare

__all__ = ["CustomTyping"]

Tree = dict[str, Any]


class CustomTyping:
    """The typing of a custom resource: `Ownership("", api_version, kind, convert=…, typing=CustomTyping(…))`.

    `schemas` are those of all versions that the definition has, by `group/version`; `own` is the version written in.
    """

    def __init__(self, schemas: Mapping[str, CustomSchema], own: str) -> None:
        self._schemas = schemas
        self._own = own

    @property
    def empty(self) -> Tree:
        """An object of which nothing was said."""
        return {"metadata": {}}

    def shape(self, version: str) -> Shape:
        """The type in `version` ("example.com/v1"). LookupError if the definition has no such version."""
        return self._schemas[version].shape

    def compare(self, version: str) -> Compare:
        """What was added or changed, and what removed, from one object of `version` to another. LookupError as well."""
        return self._schemas[version].compare

    def settle(self, tree: Tree) -> None:
        """Make what was merged an object as it would be stored, in place. Raises WrongType.

        Nothing is pruned: what is unknown was refused, and what is null is to be judged.
        """
        schema = self._schemas[self._own]
        tree.update(as_read(coerced(tree, schema.compiled.schema)), metadata=read_metadata(tree["metadata"]))
        schema.default(tree)
