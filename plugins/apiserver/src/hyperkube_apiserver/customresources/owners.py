"""The versions of a definition as the owners of fields see them.

Ownership compares objects in the version in which a field is owned, and can't wait for a webhook to convert them. So it
is asked again once what it missed is there: `Unconverted` says what that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hyperkube_apiserver.customresources.versions import CustomVersion, Schemas
from hyperkube_apiserver.registry.ownership import Versions, copied
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.remembering import Latest

__all__ = ["ConvertedVersions", "RenamedVersions", "Unconverted", "Unconvertible"]

_KEPT = 64
"""Objects that were converted last: a write asks for two or three of them, each time it is asked again."""

Tree = dict[str, Any]


class Unconverted(Exception):
    """An object is needed in another version; `ConvertedVersions.fetch` sees to that."""

    def __init__(self, tree: Tree, api_version: str) -> None:
        super().__init__(f"{tree.get('apiVersion')} is not converted to {api_version}")
        self.tree = tree
        self.api_version = api_version


class Unconvertible(Exception):
    """An object is needed in another version, and the webhook failed to convert it."""

    def __init__(self, error: APIError) -> None:
        super().__init__(str(error))
        self.error = error


class RenamedVersions(Versions):
    """Versions that differ in their names alone."""

    def __init__(self, stored: str, schemas: Schemas) -> None:
        super().__init__(stored)
        self._schemas = schemas

    def convert(self, tree: Tree, api_version: str) -> Tree:
        if api_version not in self._schemas:
            raise LookupError(api_version)
        return tree if tree.get("apiVersion") == api_version else self._other(tree, api_version)

    def _other(self, tree: Tree, api_version: str) -> Tree:
        return {**tree, "apiVersion": api_version}


class ConvertedVersions(RenamedVersions):
    """Versions that a webhook converts."""

    def __init__(self, stored: str, schemas: Schemas, version: CustomVersion) -> None:
        super().__init__(stored, schemas)
        self._version = version
        self._known: Latest[bytes, Tree] = Latest(_KEPT)
        self._failed: dict[bytes, APIError] = {}

    async def fetch(self, need: Unconverted) -> bytes | None:
        """Have an object converted. Where the webhook fails, `convert` does until it is to `forget` that."""
        key = _key(need.tree, need.api_version)
        try:
            self._known.put(key, await self._version.tree_of(copied(need.tree), need.api_version))
        except APIError as exc:
            self._failed[key] = exc
            return key
        return None

    def forget(self, failures: Iterable[bytes]) -> None:
        """Ask the webhook again: it may know better next time."""
        for key in failures:
            self._failed.pop(key, None)

    def _other(self, tree: Tree, api_version: str) -> Tree:
        if not tree.get("kind"):  # nothing is nothing in every version
            return {**tree, "apiVersion": api_version}
        key = _key(tree, api_version)
        if (error := self._failed.get(key)) is not None:
            raise Unconvertible(error)
        known = self._known.get(key)
        if known is None:
            raise Unconverted(tree, api_version)
        return known


def _key(tree: Tree, api_version: str) -> bytes:
    return encode([api_version, tree])
