"""What custom resources do differently from built-in kinds.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource (strategy.go, status_strategy.go, validator.go).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.apiextensions.sameness import same
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext
from hyperkube_machinery import meta, names
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.fields import LEAF, FieldSet, set_of
from hyperkube_machinery.quoting import quoted

if TYPE_CHECKING:
    from hyperkube_apiserver.customresources.versions import CustomVersion
    from hyperkube_apiserver.watchcache.item import LateFields
    from hyperkube_machinery.selectors import FieldSelector

__all__ = ["CustomStrategy"]

_STANDARD_FINALIZERS = frozenset(("orphan", "foregroundDeletion", "kubernetes"))
_PREFER = "prefer a domain-qualified finalizer name{} to avoid accidental conflicts with other finalizer writers"


class CustomStrategy(Strategy):
    """Objects of one version, by its schema."""

    allows_unconditional_update = False
    knows_finalizers = False

    def __init__(self, version: CustomVersion, fields: Callable[[Tree], Mapping[str, str]]) -> None:
        """`fields` are what objects, in whichever version, are selected by."""
        super().__init__(version.kind)
        self.schema = version.schema
        self._version = version
        self._fields = fields

    @property
    def evaluates(self) -> bool:  # type: ignore[override]
        return self.schema.compiled.has_rules

    def default(self, obj: Tree) -> None:
        self.schema.default(obj)

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        if self.has_status:
            obj.pop("status", None)
        meta.ensure_meta(obj)["generation"] = 1

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        if context.subresource == "status":
            self.prepare_status_update(obj, old)
            return
        if self.has_status:
            if "status" in old:
                obj["status"] = old["status"]
            else:
                obj.pop("status", None)
        if not same(_but_metadata(obj), _but_metadata(old)):  # 2.0 is another value than 2 until it is stored
            meta.ensure_meta(obj)["generation"] = meta.generation(old) + 1

    def prepare_status_update(self, obj: Tree, old: Tree) -> None:
        """Nothing but the status is taken, and who owns it."""
        kept = {name: value for name, value in old.items() if name != "status"}
        if "status" in obj:
            kept["status"] = obj["status"]
        metadata = dict(old["metadata"])
        entries = obj["metadata"].get("managedFields")
        metadata.pop("managedFields", None)
        if entries:
            metadata["managedFields"] = entries
        obj.clear()
        obj.update(kept, metadata=metadata)

    def validate(self, obj: Tree) -> list[FieldError]:
        errors = self.schema.validate(obj, self.validate_meta(obj))
        return errors or object_meta.validate_name(obj, object_meta.path_segment)

    def validate_change(self, obj: Tree, old: Tree, context: WriteContext) -> list[FieldError]:
        errors, own = self.validate_common_update(obj, old), object_meta.validate_meta_update(obj, old)
        if context.subresource == "status":
            return errors + self.schema.validate_status_update(obj, old, own, warn=context.warn)
        return errors + self.schema.validate_update(obj, old, own, warn=context.warn)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        added = set(meta.finalizers(obj)) - set(meta.finalizers(old) if old is not None else ())
        return [text for name in sorted(added) for text in _doubts(name)]

    def reset_fields(self, subresource: str) -> FieldSet:
        if subresource == "status":
            return set_of(("f:metadata",), ("f:spec",))
        return set_of(("f:status",)) if self.has_status and not subresource else LEAF

    def field_values(self, obj: Tree) -> Mapping[str, str]:
        return self._fields(obj)

    def late_fields(self, selector: FieldSelector) -> LateFields | None:
        # What a webhook converts has its fields in other places.
        is_late = self._version.waits and any(not field.startswith("metadata.") for field in selector.names)
        return self._version if is_late else None


def _but_metadata(obj: Tree) -> Tree:
    return {name: value for name, value in obj.items() if name != "metadata"}


def _doubts(finalizer: str) -> list[str]:
    """What is to be said against a finalizer's name, which may be used all the same."""
    texts = list(names.qualified_name(finalizer))
    if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
        texts.append(_PREFER.format(" including a path (/)" if "." in finalizer else ""))
    return [f"metadata.finalizers: {quoted(finalizer)}: {text}" for text in texts]
