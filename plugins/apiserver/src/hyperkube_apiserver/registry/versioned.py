"""The write path of a version that is not the stored one: what comes in is converted before anything looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyperkube_apiserver.registry.conversions import Version
from hyperkube_apiserver.registry.generic import Registry, Warn, Written
from hyperkube_apiserver.registry.ownership import FieldOwners
from hyperkube_apiserver.registry.strategy import Strategy, WriteContext

__all__ = ["VersionRegistry"]

Tree = dict[str, Any]


class VersionRegistry(Registry):
    """The objects of one kind, to be written in `version`. What was written is told as it is stored.

    Its kind is the version's, which refusals, admission and the owners of fields are told of; its cache's is the stored
    one.
    """

    def __init__(self, version: Version, strategy: Strategy, beside: Registry) -> None:
        """Write what `beside` writes, in another version and by another strategy."""
        super().__init__(
            version.kind,
            strategy,
            beside._cache,
            beside._hub,
            beside._store,
            admission=beside.admission,
            ttl_seconds=beside._ttl_seconds,
        )
        self.version = version
        self.versions = beside.versions
        self.owners = FieldOwners(version.kind, strategy.reset_fields, self.versions)

    async def update(
        self, name: str, change: Callable[[Tree], Tree], context: WriteContext, warn: Warn, **options: Any
    ) -> Written:
        def changed(old: Tree) -> Tree:
            return change(self.version.from_stored(old) if old else old)  # nothing is in no version

        return await super().update(name, changed, context, warn, **options)

    def _completed(self, tree: Tree, old: Tree | None, context: WriteContext, *, owned: bool) -> Tree:
        self.version.default(tree)
        if not owned:
            self.owners.record(tree, self.version.from_stored(old) if old is not None else None, context)
        return super()._completed(self.version.to_stored(tree), old, context, owned=True)

    def _defaulted(self, tree: Tree) -> Tree:
        self.version.default(tree)
        return super()._defaulted(self.version.to_stored(tree))
