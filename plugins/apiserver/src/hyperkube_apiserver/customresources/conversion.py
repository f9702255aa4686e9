"""How objects get from one version of a custom resource to another.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/conversion (nop_converter.go, webhook_converter.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["Conversion", "RenamingConversion"]

Tree = dict[str, Any]


class Conversion(Protocol):
    """What a definition says of its versions."""

    @property
    def waits(self) -> bool:
        """Whether somebody else is asked; if not, nothing but the version's name differs."""

    async def converted(self, trees: Sequence[Tree], api_version: str) -> list[Tree]:
        """The objects in another version, in their order. Raises APIError 500."""


class RenamingConversion:
    """The strategy None."""

    waits = False

    async def converted(self, trees: Sequence[Tree], api_version: str) -> list[Tree]:
        return [tree | {"apiVersion": api_version} for tree in trees]
