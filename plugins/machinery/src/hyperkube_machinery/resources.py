"""What a resource is called, where it lives and what may be done with it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Resource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One served resource of one version, as discovery tells of it."""

    group: str  # "" for the core group
    version: str
    resource: str  # plural, lower case: what stands in paths
    kind: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    storage_version_hash: str = ""

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """`pods` or `deployments.apps`: how error texts name it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource
