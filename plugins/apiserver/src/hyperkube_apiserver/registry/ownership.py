"""Ownership of fields in the objects of one registry: what the write path asks at each write.

Entries of managedFields are plain trees that nothing changes in place, so that an object and what becomes of it share
them.
Source: k8s.io/apiserver/pkg/endpoints/handlers/fieldmanager.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.registry.strategy import WriteContext
from hyperkube_machinery.fields import (
    BadEntries,
    FieldSet,
    Ownership,
    Writer,
    read_owners,
    same_but_times,
    sorted_entries,
)
from hyperkube_machinery.fields.typings import Typing

__all__ = ["FieldOwners", "Versions", "copied", "keep_times", "keep_valid", "set_entries"]

Tree = dict[str, Any]
_Convert = Callable[[Tree], Tree]


class Versions:
    """The versions in which one kind is served beside the one it is stored in, as the owners of fields see them."""

    def __init__(self, stored: str) -> None:
        self._stored = stored
        self._to_stored: dict[str, _Convert] = {}
        self._from_stored: dict[str, _Convert] = {}

    def add(self, api_version: str, to_stored: _Convert, from_stored: _Convert) -> None:
        self._to_stored[api_version] = to_stored
        self._from_stored[api_version] = from_stored

    def convert(self, tree: Tree, api_version: str) -> Tree:
        """`tree`, of any of the versions, as one of `api_version`. Raises LookupError for one that is not served."""
        found = tree["apiVersion"]
        if found != api_version and api_version not in (self._stored, *self._to_stored):
            raise LookupError(api_version)
        if found == api_version:
            return tree
        stored = tree if found == self._stored else self._to_stored[found](tree)
        return stored if api_version == self._stored else self._from_stored[api_version](stored)


class FieldOwners:
    """Who owns what in the objects of one kind, as written in the version of `kind`.

    `resets` says what a write through a subresource, or ("") of the object, leaves as it was.
    """

    def __init__(
        self, kind: Kind, resets: Callable[[str], FieldSet], versions: Versions, typing: Typing | None = None
    ) -> None:
        """`typing` tells the types of what has no definition of its own."""
        resource = kind.resource
        self._ownership = Ownership(
            kind.definition, resource.api_version, resource.kind, convert=versions.convert, typing=typing
        )
        self._reset_by = resets
        self._resets: dict[str, FieldSet] = {}

    def record(self, tree: Tree, old: Tree | None, context: WriteContext) -> None:
        """Put into `tree`, which takes the place of `old`, who owns it now."""
        set_entries(tree, self._ownership.updated(old, tree, self._writer(context)))

    def apply(self, live: Tree | None, config: Tree, context: WriteContext, *, force: bool) -> Tree:
        """`live`, or a new object, with `config` applied to it. Raises APIError."""
        return self._ownership.applied(live, config, self._writer(context), force=force)

    def _writer(self, context: WriteContext) -> Writer:
        subresource = context.subresource
        resets = self._resets.get(subresource)
        if resets is None:
            resets = self._resets[subresource] = self._reset_by(subresource)
        return Writer(manager=context.manager, now=context.now, subresource=subresource, resets=resets)


def set_entries(tree: Tree, entries: list[Tree] | None) -> None:
    """Let `entries` be the managedFields of `tree`."""
    if entries:
        tree["metadata"]["managedFields"] = entries
    else:
        tree["metadata"].pop("managedFields", None)


def keep_valid(tree: Tree, before: list[Tree] | None, warn: Callable[[str], None]) -> None:
    """Take back what admission made of the owners of `tree`, which were `before`, if it makes no sense."""
    found = tree["metadata"].get("managedFields")
    if found is before:
        return
    try:
        entries = sorted_entries(read_owners(found or []))
    except BadEntries as error:
        warn(
            ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated "
            f"mutating admission controller; please fix your requests: {error}"
        )
        entries = before or []
    set_entries(tree, entries)


def copied(tree: Tree) -> Tree:
    """A copy of `tree` that shares its managedFields, which are the larger part of many objects."""
    metadata = tree.get("metadata") or {}
    entries = metadata.pop("managedFields", None)
    try:
        result = copy.deepcopy(tree)
    finally:
        if entries is not None:
            metadata["managedFields"] = entries
    if entries is not None:
        result["metadata"]["managedFields"] = entries
    return result


def keep_times(tree: Tree, old: Tree) -> None:
    """Take back the times of owners where they are all that `tree` would change of `old`."""
    mine, before = tree["metadata"].get("managedFields"), old["metadata"].get("managedFields")
    if mine is before or mine == before or not same_but_times(mine, before):
        return
    tree["metadata"]["managedFields"] = before
    if tree != old:
        tree["metadata"]["managedFields"] = mine
