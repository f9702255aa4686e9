"""What objects may hold: definitions, and the walk that checks and normalises a tree against one.

    schemas = Schemas.load()
    findings = schemas.walker("io.k8s.api.core.v1.Pod").walk(tree)

A walk prunes what the definition doesn't know, refuses what Go can't decode, and leaves the tree as the API would write
it. The usual tree takes the fast way (`compiled`); the rest, with all that is to be said, the exact one (`exact`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from hyperkube_machinery.schema.compiled import Compiler, Suspect
from hyperkube_machinery.schema.exact import InexactNumber, Literal, Pairs, WrongType, decode_exactly
from hyperkube_machinery.schema.table import Table, load_table

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Findings", "Literal", "Pairs", "Schemas", "Walker", "WrongType"]


@dataclass(slots=True)
class Findings:
    """What a strict reader would refuse, though it decodes."""

    strict: list[str] = field(default_factory=list)  # `unknown field "spec.foo"`, in the order of the document

    @property
    def unknown(self) -> list[str]:
        """The paths of unknown fields: `spec.containers[0].foo`."""
        return [text[len(_UNKNOWN) : -1] for text in self.strict if text.startswith(_UNKNOWN)]


_UNKNOWN = 'unknown field "'


class Walker:
    """Checks and normalises trees of one definition."""

    def __init__(self, table: Table, compiler: Compiler, definition: str) -> None:
        self.definition = definition
        self._table = table
        self._compiler = compiler
        self._fast = compiler.struct(definition)

    def walk(self, tree: dict[str, Any]) -> Findings:
        """Normalise `tree` in place. Raises WrongType, and then the tree is as it was."""
        normal, strict = self.read(tree)
        tree.clear()
        tree.update(normal)
        return Findings(strict)

    def read(self, tree: Any, again: Callable[[], Any] | None = None) -> tuple[dict[str, Any], list[str]]:
        """A normalised tree, and `unknown field …` and `duplicate field …` texts. Raises WrongType.

        Objects in `tree` may be `Pairs` and numbers `Literal`, which say more exactly what a document held; `again`
        gives such a tree, if it is needed. The result shares what need not change with `tree`, which stays as it was.
        """
        try:
            return self._fast(tree), []
        except Suspect:
            pruned, strict = self._read_exactly(tree, again)
        try:
            return self._fast(pruned), strict
        except Suspect as error:  # the two ways disagree: a defect here, never the client's
            raise AssertionError(f"the exact walk of {self.definition} left something odd") from error

    def _read_exactly(self, tree: Any, again: Callable[[], Any] | None) -> tuple[dict[str, Any], list[str]]:
        if again is None:
            return decode_exactly(self._table, self.definition, tree)
        try:
            return decode_exactly(self._table, self.definition, tree, knows_numbers=False)
        except InexactNumber:
            return decode_exactly(self._table, self.definition, again())


class Schemas:
    """Walkers by definition."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._compiler = Compiler(table)
        self._walkers: dict[str, Walker] = {}

    @classmethod
    def load(cls) -> Schemas:
        """The definitions of Kubernetes 1.36; the table is read once a process, and compiled as it is used."""
        return _load()

    def walker(self, definition: str) -> Walker:
        """The walker of `io.k8s.api.core.v1.Pod`. KeyError if there is no such definition."""
        walker = self._walkers.get(definition)
        if walker is None:
            walker = self._walkers[definition] = Walker(self.table, self._compiler, definition)
        return walker

    def definition_of(self, api_version: str, kind: str) -> str | None:
        """The definition of a kind, None if the kind is not known."""
        return self.table.kinds.get(f"{api_version} {kind}")


@cache
def _load() -> Schemas:
    return Schemas(load_table())
