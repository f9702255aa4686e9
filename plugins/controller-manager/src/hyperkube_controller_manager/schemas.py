"""The schemas of what the API server serves, built in or not, for those who check expressions against them.

Source: k8s.io/apiserver/pkg/cel/openapi/resolver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from hyperkube_machinery.client import Client
from hyperkube_machinery.errors import APIError

if TYPE_CHECKING:
    from hyperkube_machinery.cel.kubernetes.declared import Declared

__all__ = ["Schemas"]

Tree = Mapping[str, Any]

_KINDS = "x-kubernetes-group-version-kind"
_REFERENCE = "#/components/schemas/"
_OK, _NOT_FOUND = 200, 404


class Schemas:
    """Asks the API server, once for each document: it is made for one question after which it is forgotten."""

    def __init__(self, reader: Client) -> None:
        self._reader = reader
        self._documents: dict[str, Tree] = {}

    async def kind_of(self, group: str, version: str, resource: str) -> str:
        """The kind of a resource's objects, "" if it isn't served."""
        document = await self._document(_path(group, version))
        for entry in document.get("resources") or ():
            if entry.get("name") == resource:
                return str(entry.get("kind") or "")
        return ""

    async def declared(self, group: str, version: str, kind: str) -> Declared | None:
        """What is known of the objects of a kind; None if that is nothing."""
        document = await self._document(f"/openapi/v3{_path(group, version)}")
        schemas: Tree = (document.get("components") or {}).get("schemas") or {}
        wanted = {"group": group, "version": version, "kind": kind}
        found = next((schema for schema in schemas.values() if wanted in (schema.get(_KINDS) or ())), None)
        if found is None:
            return None
        from hyperkube_machinery.cel.kubernetes.declared import declared_type  # the language takes long to load

        return declared_type(
            found, is_resource=True, resolve=lambda reference: schemas.get(reference.removeprefix(_REFERENCE))
        )

    async def _document(self, path: str) -> Tree:
        known = self._documents.get(path)
        if known is None:
            known = self._documents[path] = await self._read(path)
        return known

    async def _read(self, path: str) -> Tree:
        response = await self._reader.raw("GET", path, [("accept", "application/json")])
        if response.status == _NOT_FOUND:
            return {}
        if response.status != _OK:
            raise APIError.of(response.status, "", f"GET {path}: the server answered with {response.status}")
        document: Tree = await asyncio.to_thread(orjson.loads, response.body)  # the larger ones take a while
        return document


def _path(group: str, version: str) -> str:
    return f"/apis/{group}/{version}" if group else f"/api/{version}"
