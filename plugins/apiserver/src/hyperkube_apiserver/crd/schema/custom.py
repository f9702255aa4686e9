"""The schema of one version of a custom resource, as those who serve it ask it.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver (customresource_handler.go) and pkg/registry/customresource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.kinds import Column

if TYPE_CHECKING:
    from hyperkube_machinery.errors import FieldError

__all__ = ["CustomSchema", "Load"]

Tree = dict[str, Any]
Load = Callable[[], Mapping[str, Any] | None]
"""Brings a schema (JSONSchemaProps of v1), None if there is none; asked again rather than kept."""


class CustomSchema:
    """What a version of a definition says of its objects.

    Objects are plain trees; the order of their fields says nothing (upstream writes them sorted by name).
    """

    def __init__(
        self,
        *,
        group: str,
        version: str,
        kind: str,
        load: Load,
        preserves_unknown: bool = False,
        scale: Mapping[str, Any] | None = None,
        columns: Sequence[Mapping[str, Any]] = (),
        selectable: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.group, self.version, self.kind = group, version, kind
        self.group_version = f"{group}/{version}"
        self.preserves_unknown = preserves_unknown

    @classmethod
    def of(cls, definition: Mapping[str, Any], version: str, load: Load | None = None) -> CustomSchema:
        """The schema of `version` of a definition (v1). LookupError if it has no such version.

        Without `load`, the schema keeps its part of `definition`, which nobody may change.
        """
        raise NotImplementedError

    # Bodies and patches to objects

    def read(self, body: bytes, media_type: str, field_validation: str) -> tuple[Tree, list[str]]:
        """The object in a body (JSON or YAML), pruned and with defaults, and the texts of warnings.

        `field_validation` is Strict, Warn or Ignore. Another kind of the right version is let through for `validate`
        to refuse, as upstream does it. Raises APIError 400 or 415.
        """
        raise NotImplementedError

    def check(self, tree: Tree, *, field_validation: str, duplicates: Sequence[str] = ()) -> list[str]:
        """Make a tree that was made here, by a patch for one, what `read` would make of it, in place.

        Returns warnings. `duplicates` are findings of the patch itself. Raises WrongType or StrictError
        (`hyperkube_machinery.decoding`), and then the tree is as it was, as `decoding.check_tree` does it.
        """
        raise NotImplementedError

    def restore(self, tree: Tree) -> None:
        """Make a tree that was stored, perhaps under another schema, or that a webhook converted, what this schema has
        it be, in place: prune, drop metadata that make no sense, fill in defaults and a missing generation."""
        raise NotImplementedError

    def coerce(self, tree: Tree) -> None:
        """Prune a tree in place, as after conversion. Raises WrongType for metadata of wrong types."""
        raise NotImplementedError

    def default(self, tree: Tree) -> None:
        """Fill in defaults, in place. Those who apply do this after merging."""
        raise NotImplementedError

    # Validation

    def validate(self, obj: Tree) -> list[FieldError]:
        """What is wrong with a new object beside its metadata: kind, schema, scale, embedded resources, rules.

        If the kind is wrong, upstream says nothing of the metadata either: see `wrong_type`.
        """
        raise NotImplementedError

    def validate_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        """What is wrong with `obj`, without what was as wrong in `old` and did not change."""
        raise NotImplementedError

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        """The same of a status."""
        raise NotImplementedError

    def wrong_type(self, obj: Tree) -> list[FieldError]:
        """What is wrong with apiVersion and kind; if anything is, nothing else is told of the object."""
        raise NotImplementedError

    # Tables and selection

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of tables: the name first, then those of the definition, or the age."""
        raise NotImplementedError

    def rows(self, objects: Iterable[Mapping[str, Any]], *, now: float) -> Iterator[list[Any]]:
        """The cells of each object, in the order of `columns`; `now` is in seconds since the epoch."""
        raise NotImplementedError

    @property
    def selectable_fields(self) -> tuple[str, ...]:
        """By which objects can be selected beside their names: `spec.color`."""
        raise NotImplementedError

    def selected_by(self, obj: Mapping[str, Any]) -> dict[str, str]:
        """What an object has in its selectable fields, "" for nothing."""
        raise NotImplementedError
