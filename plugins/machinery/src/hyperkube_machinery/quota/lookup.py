"""What measuring one object may have to know of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

__all__ = ["NOTHING_KNOWN", "Lookup", "resource_of_classes"]

Tree = Mapping[str, Any]


class Lookup(Protocol):
    """The objects that device claims are held against."""

    def device_classes(self) -> Iterable[Tree]:
        """All device classes."""

    def pod(self, namespace: str, name: str) -> Tree | None:
        """A pod."""

    def claims(self, namespace: str) -> Iterable[Tree]:
        """The resource claims of a namespace."""


class _Nothing:
    def device_classes(self) -> Iterable[Tree]:
        return ()

    def pod(self, namespace: str, name: str) -> Tree | None:
        return None

    def claims(self, namespace: str) -> Iterable[Tree]:
        return ()


NOTHING_KNOWN: Lookup = _Nothing()


def resource_of_classes(lookup: Lookup) -> dict[str, str]:
    """The extended resources that device classes stand for, by the classes' names."""
    found = {}
    for one in lookup.device_classes():
        name = (one.get("spec") or {}).get("extendedResourceName")
        if name:
            found[str(one["metadata"]["name"])] = str(name)
    return found
