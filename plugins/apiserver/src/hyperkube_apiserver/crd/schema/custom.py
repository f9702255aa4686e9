"""The schema of one version of a custom resource, as those who serve it ask it.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver (customresource_handler.go) and pkg/registry/customresource.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hyperkube_apiserver.crd.schema.columns import Columns
from hyperkube_apiserver.crd.schema.compiled import Compiled
from hyperkube_apiserver.crd.schema.embedded import coerced, in_order, read_metadata
from hyperkube_apiserver.crd.schema.judging import CHECKS_LEFT, is_blocking, validate_scale
from hyperkube_apiserver.crd.schema.reading import missing_kind, read_custom
from hyperkube_apiserver.crd.schema.selection import Selection
from hyperkube_apiserver.kinds import Column
from hyperkube_apiserver.registry.apiextensions.correlation import Correlated
from hyperkube_apiserver.registry.apiextensions.embedded import validate_embedded
from hyperkube_apiserver.registry.apiextensions.gonumbers import as_read
from hyperkube_apiserver.registry.apiextensions.listitems import validate_items
from hyperkube_apiserver.registry.apiextensions.pruning import prune, without_nulls
from hyperkube_apiserver.registry.apiextensions.values import validate_value
from hyperkube_machinery.decoding import StrictError, keep_reset
from hyperkube_machinery.encoding import encode_sorted
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.schema import WrongType

if TYPE_CHECKING:
    from hyperkube_machinery.fields.shapes import Shape
    from hyperkube_machinery.fields.typings import Compare

__all__ = ["CustomSchema", "Load"]

Tree = dict[str, Any]
Warn = Callable[[str], None]
Load = Callable[[], Mapping[str, Any] | None]
"""Brings a schema (JSONSchemaProps of v1), None if there is none."""


def _new_doubles(obj: Tree, old: Tree, schema: Mapping[str, Any]) -> list[FieldError]:
    """Items of `obj` that its lists have twice, where those of `old` had none."""
    wrong = validate_items(obj, schema)
    return [] if wrong and validate_items(old, schema) else wrong


def _wrong_status(obj: Tree, old: Tree, schema: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with the values in the status of `obj`, and was not in that of `old`."""
    within = (schema.get("properties") or {}).get("status")
    if not within or "status" not in obj:
        return []
    return validate_value(obj["status"], within, "status", Correlated(obj, old, schema).field("status"))


def _unheard(text: str) -> None:
    """Nobody hears of rules that fail on what is as it was before."""


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
        self._load = load
        self._scale = scale
        self._columns = columns
        self._selectable = selectable

    @classmethod
    def of(cls, definition: Mapping[str, Any], version: str, load: Load | None = None) -> CustomSchema:
        """The schema of `version` of a definition (v1). LookupError if it has no such version.

        Without `load`, the schema keeps its part of `definition`, which nobody may change.
        """
        spec = definition["spec"]
        found = next((one for one in spec.get("versions") or () if one.get("name") == version), None)
        if found is None:
            raise LookupError(version)
        schema = (found.get("schema") or {}).get("openAPIV3Schema")
        return cls(
            group=spec["group"],
            version=version,
            kind=spec["names"]["kind"],
            load=load or (lambda: schema),
            preserves_unknown=bool(spec.get("preserveUnknownFields")),
            scale=(found.get("subresources") or {}).get("scale"),
            columns=found.get("additionalPrinterColumns") or (),
            selectable=found.get("selectableFields") or (),
        )

    def loaded(self) -> Mapping[str, Any] | None:
        """The schema as it is in the definition (JSONSchemaProps), None if there is none. Nobody may change it."""
        return self._load()

    @cached_property
    def compiled(self) -> Compiled:
        """What the schema compiles to; loads it."""
        return Compiled.of(self._load() or {})

    def compile(self) -> None:
        """Have all parts compiled. Takes some ten milliseconds where the schema is large."""
        compiled = self.compiled
        _ = compiled.is_clean, compiled.fill, compiled.is_valid, compiled.rules, compiled.compare

    # Bodies and patches to objects

    def read(self, body: bytes, media_type: str, field_validation: str) -> tuple[Tree, list[str]]:
        """The object in a body (JSON or YAML), pruned and with defaults, and the texts of warnings.

        `field_validation` is Strict, Warn or Ignore. Another kind of the right version is let through for `validate`
        to refuse, as upstream does it. Raises APIError 400 or 415.
        """
        tree, warnings = read_custom(
            body,
            media_type,
            self._coerced,
            group_version=self.group_version,
            kind=self.kind,
            field_validation=field_validation,
        )
        return self._defaulted(tree), warnings

    def check(self, tree: Tree, *, field_validation: str, duplicates: Sequence[str] = ()) -> list[str]:
        """Make a tree that was made here, by a patch for one, what `read` would make of it, in place.

        Returns warnings. `duplicates` are findings of the patch itself. Raises WrongType or StrictError
        (`hyperkube_machinery.decoding`), and then the tree is as it was, as `decoding.check_tree` does it.
        """
        if not tree.get("kind"):
            raise WrongType(missing_kind(encode_sorted(tree).decode()))
        unknown: list[str] = []
        normal = as_read(self._coerced(tree, unknown))
        keep_reset(tree, normal)
        findings = [*duplicates, *(f'unknown field "{path}"' for path in unknown)]
        if findings and field_validation == "Strict":
            raise StrictError(findings)
        _become(tree, self._defaulted(normal))
        return [] if field_validation == "Ignore" else findings

    def restore(self, tree: Tree) -> None:
        """Make a tree that was stored, perhaps under another schema, what this one has it be, in place.

        It is pruned, metadata that make no sense are dropped, and defaults and a missing generation are filled in.
        """
        normal = self._coerced(tree, drops=True)
        if "metadata" in normal and not normal["metadata"].get("generation"):
            normal["metadata"]["generation"] = 1
        _become(tree, self._defaulted(normal))

    def is_settled(self, tree: Tree) -> bool:
        """Whether there is nothing to prune in a tree, and no default to fill in, for sure."""
        return not self._is_own(tree) or (self.compiled.is_clean(tree) and self._defaulted(tree) is tree)

    def coerce(self, tree: Tree) -> None:
        """Prune a tree in place, as after conversion. Raises WrongType for metadata of wrong types."""
        _become(tree, self._coerced(tree))

    def default(self, tree: Tree) -> None:
        """Fill in defaults, in place. Those who apply do this after merging."""
        _become(tree, self._defaulted(tree))

    def _coerced(self, tree: Tree, unknown: list[str] | None = None, *, drops: bool = False) -> Tree:
        normal = tree
        metadata = read_metadata(tree["metadata"], drops=drops, unknown=unknown) if "metadata" in tree else None
        if self._is_own(tree):
            normal = self._pruned(tree, unknown, drops)
        if metadata is not None:
            normal = {**normal, "metadata": metadata}
        return normal

    def _pruned(self, tree: Tree, unknown: list[str] | None, drops: bool) -> Tree:
        compiled = self.compiled
        if compiled.is_clean(tree):
            return tree
        fields: list[str] = []
        metadata: list[str] = []
        normal: Any = tree
        if not self.preserves_unknown:
            normal = without_nulls(prune(tree, compiled.schema, is_resource=True, unknown=fields), compiled.schema)
        normal = coerced(normal, compiled.schema, drops=drops, unknown=metadata)
        if unknown is not None:
            unknown += [*sorted(fields), *sorted(metadata)]
        pruned: Tree = normal
        return pruned

    def _defaulted(self, tree: Tree) -> Tree:
        fill = self.compiled.fill if self._is_own(tree) else None
        filled: Tree = tree if fill is None else fill(tree)
        return filled

    def _is_own(self, tree: Tree) -> bool:
        return tree.get("kind") == self.kind and tree.get("apiVersion") == self.group_version

    # Validation

    def validate(self, obj: Tree, metadata_errors: Sequence[FieldError] = ()) -> list[FieldError]:
        """What is wrong with a new object: its kind, metadata, schema, scale, embedded resources, lists and rules.

        `metadata_errors` are what is wrong with the metadata, which have their place among the others.
        """
        schema = self.compiled.schema
        return self._judged(
            obj,
            None,
            metadata_errors,
            values=lambda: validate_value(obj, schema),
            parts=lambda: validate_embedded(obj, schema) + validate_items(obj, schema),
        )

    def validate_update(
        self, obj: Tree, old: Tree, metadata_errors: Sequence[FieldError] = (), *, warn: Warn = _unheard
    ) -> list[FieldError]:
        """What is wrong with `obj`, without what was as wrong in `old` and did not change: of rules, `warn` is told."""
        schema = self.compiled.schema
        return self._judged(
            obj,
            old,
            metadata_errors,
            values=lambda: validate_value(obj, schema, old=Correlated(obj, old, schema)),
            parts=lambda: validate_embedded(obj, schema) + _new_doubles(obj, old, schema),
            warn=warn,
        )

    def validate_status_update(
        self, obj: Tree, old: Tree, metadata_errors: Sequence[FieldError] = (), *, warn: Warn = _unheard
    ) -> list[FieldError]:
        """The same of a status, which alone is held against the schema, though lists and rules are of the whole."""
        schema = self.compiled.schema
        return self._judged(
            obj,
            old,
            metadata_errors,
            values=lambda: _wrong_status(obj, old, schema),
            parts=lambda: _new_doubles(obj, old, schema),
            status_only=True,
            warn=warn,
        )

    def _judged(
        self,
        obj: Tree,
        old: Tree | None,
        metadata_errors: Sequence[FieldError],
        *,
        values: Callable[[], list[FieldError]],
        parts: Callable[[], list[FieldError]],
        status_only: bool = False,
        warn: Warn | None = None,
    ) -> list[FieldError]:
        """All that is wrong, in upstream's order; `values` and `parts` are asked if something in the object may be."""
        if wrong := self.wrong_type(obj):
            return wrong
        is_valid = self.compiled.is_valid(obj)
        errors = [*metadata_errors, *(() if is_valid else values())]
        errors += validate_scale(obj, self._scale, status_only=status_only)
        if not is_valid:
            errors += parts()
        return _as_go_shows(errors) + self._ask_rules(obj, old, errors, warn)

    def _ask_rules(
        self, obj: Tree, old: Tree | None, errors: Sequence[FieldError], warn: Warn | None = None
    ) -> list[FieldError]:
        if self.compiled.has_rules and any(map(is_blocking, errors)):
            return [FieldError.invalid("<nil>", None, CHECKS_LEFT)]
        rules = self.compiled.rules
        return [] if rules is None else rules.validate(obj, old, warn=warn)

    def wrong_type(self, obj: Tree) -> list[FieldError]:
        """What is wrong with apiVersion and kind; if anything is, nothing else is told of the object."""
        wanted = (("kind", self.kind), ("apiVersion", self.group_version))
        return [
            FieldError.invalid(field, obj.get(field) or "", f"must be {value}")
            for field, value in wanted
            if obj.get(field) != value
        ]

    # Tables and selection

    @cached_property
    def _table(self) -> Columns:
        return Columns(self._columns)

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of tables: the name first, then those of the definition, or the age."""
        return self._table.columns

    def rows(self, objects: Iterable[Mapping[str, Any]], *, now: float) -> Iterator[list[Any]]:
        """The cells of each object, in the order of `columns`; `now` is in seconds since the epoch."""
        return (self._table.cells(obj, now) for obj in objects)

    @cached_property
    def _selection(self) -> Selection:
        return Selection(self._selectable)

    @property
    def selectable_fields(self) -> tuple[str, ...]:
        """By which objects can be selected beside their names: `spec.color`."""
        return self._selection.fields

    def selected_by(self, obj: Mapping[str, Any]) -> dict[str, str]:
        """What an object has in its selectable fields, "" for nothing."""
        return self._selection.values(obj)

    # Ownership

    @property
    def shape(self) -> Shape:
        return self.compiled.shape

    @property
    def compare(self) -> Compare:
        return self.compiled.compare


def _as_go_shows(errors: list[FieldError]) -> list[FieldError]:
    """Errors that show objects show their fields in order."""
    return [
        replace(error, bad_value=in_order(error.bad_value)) if isinstance(error.bad_value, dict | list) else error
        for error in errors
    ]


def _become(tree: Tree, other: Tree) -> None:
    if other is not tree:
        other = dict(other)
        tree.clear()
        tree.update(other)
