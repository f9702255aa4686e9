"""What a kind does differently from the others, and what it does if it says nothing.

The write path calls, in this order:

    create   default → before_create (meta) → begin_create → prepare_for_create → validate → warnings → store → commit
    update   default → before_update (meta) → prepare_for_update → begin_update → validate_update → warnings → store

and releases a reservation when anything after it fails. Every method is synchronous and changes the tree in place.
Source: k8s.io/apiserver/pkg/registry/rest, the strategies in k8s.io/kubernetes/pkg/registry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from hyperkube_apiserver.authn import SERVER, Identity
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.attributes import Annotate, Part, unrecorded
from hyperkube_apiserver.registry.resetfields import reset_fields
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, FieldError
from hyperkube_machinery.fields import FieldSet
from hyperkube_machinery.selectors import FieldSelector

if TYPE_CHECKING:
    from hyperkube_apiserver.watchcache.item import LateFields

__all__ = ["DEFAULT_POLICY", "NO_RESERVATION", "Policy", "Reservation", "Strategy", "Tree", "WriteContext"]

Tree = dict[str, Any]


_NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def _unheard(text: str) -> None:
    """Nobody reads warnings of writes that the server itself makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteContext:
    """What a write knows beside its body."""

    now: str  # RFC 3339, seconds
    identity: Identity = SERVER  # who asks for it
    manager: str = "kube-apiserver"  # who comes to own what it changes
    namespace: str = ""  # of the request; empty for cluster-wide kinds
    verb: str = ""  # of the request
    subresource: str = ""
    part: Part | None = None  # of the object, that the subresource is about
    in_collection: bool = False  # whether all objects of a collection are meant, of which none is named
    dry_run: bool = False
    ends: float = math.inf  # when nobody waits for it any more, on the monotonic clock
    admitted: bool = False  # whether admission has agreed to what this update or deletion is a part of
    options: Mapping[str, Any] = field(
        default_factory=lambda: _NO_OPTIONS
    )  # of the request, without their type: what admission shows of them
    warn: Callable[[str], None] = _unheard  # for what preparing changes, which `Strategy.warnings` no longer sees
    annotate: Annotate = unrecorded  # for what admission has to say to auditors


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the server's flags allow objects to say."""

    allow_privileged: bool = False  # --allow-privileged
    loopback_endpoints: bool = False  # --allow-loopback-endpoints


class Reservation(Protocol):
    """Something taken for an object that is not stored yet; exactly one of `commit` and `release` is called."""

    async def secure(self) -> None:
        """Store what must be there before the object is. May change the object, and raises APIError to refuse it."""

    def commit(self) -> None:
        """The object is stored."""

    def release(self) -> None:
        """It will not be."""


class _Nothing:
    async def secure(self) -> None: ...

    def commit(self) -> None: ...

    def release(self) -> None: ...


NO_RESERVATION: Reservation = _Nothing()
DEFAULT_POLICY = Policy()


class Strategy:
    """The common behaviour. A kind's own strategy overrides what it does differently."""

    allows_create_on_update: ClassVar[bool] = False
    allows_unconditional_update: ClassVar[bool] = True
    revalidates_meta: ClassVar[bool] = False  # an update checks the name again, by the kind's rule
    knows_finalizers: ClassVar[bool] = True  # finalizers without a domain must be ones the API server knows
    counts_generation: ClassVar[bool] = False  # metadata.generation is 1 at first and grows with the spec
    default_propagation: ClassVar[str] = "Background"  # of a DELETE that does not say; "Orphan", "Unsupported"
    direct_subresources: ClassVar[frozenset[str]] = frozenset()  # these change the object by rules of their own alone
    orphaning_warning: ClassVar[str] = ""  # for who deletes without a word on what becomes of dependents
    deletes_gracefully: ClassVar[bool] = False
    deletes_in_two_phases: ClassVar[bool] = False  # the first DELETE only marks, by `mark_deleted`
    evaluates: ClassVar[bool] = False  # judging takes expressions, to be compiled or evaluated
    answers_deleted_object: ClassVar[bool] = False  # a DELETE answers with the object, where others answer a Status

    def __init__(self, kind: Kind, policy: Policy = DEFAULT_POLICY) -> None:
        self.kind = kind
        self.policy = policy
        self.has_status = kind.subresource("status") is not None

    def name_rule(self, name: str, prefix: bool) -> list[str]:
        """What is wrong with a name, or with a generateName (`prefix`)."""
        return object_meta.dns_subdomain(name, prefix)

    # Writing

    def default(self, obj: Tree) -> None:
        """Fill in what upstream's SetDefaults_* fill in, and the structs that Go always writes. Idempotent."""

    def prepare_for_create(self, obj: Tree, context: WriteContext) -> None:
        """Drop what a client may not set, add what the server decides."""
        if self.has_status:
            obj["status"] = self.initial_status(obj)
        if self.counts_generation:
            meta.ensure_meta(obj)["generation"] = 1

    def initial_status(self, obj: Tree) -> Tree:
        return {}

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        """Keep the status on an update of the object, and all but the status on one of its status."""
        if context.subresource == "status":
            self.prepare_status_update(obj, old)
            return
        if self.has_status:
            keep(obj, old, "status")
        if self.counts_generation and self.is_new_generation(obj, old):
            meta.ensure_meta(obj)["generation"] = meta.generation(old) + 1

    def prepare_status_update(self, obj: Tree, old: Tree) -> None:
        """Metadata is kept as sent, apart from labels where a kind says so."""
        keep(obj, old, "spec")

    def is_new_generation(self, obj: Tree, old: Tree) -> bool:
        return obj.get("spec") != old.get("spec")

    def completed_by_reading(self, obj: Tree) -> bool:
        """Whether upstream stored less of a new `obj` than it shows: the rest are defaults, filled in at each reading.

        Its first update is a write then, whatever it changes.
        """
        return False

    def validate(self, obj: Tree) -> list[FieldError]:
        """What is wrong with a new object.

        Upstream then checks the metadata of every kind once more, which differs in the rule for names alone.
        """
        errors = self.validate_meta(obj) + self.validate_object(obj)
        return errors or object_meta.validate_name(obj, object_meta.path_segment)

    def validate_change(self, obj: Tree, old: Tree, context: WriteContext) -> list[FieldError]:
        """What is wrong with the change of `old` to `obj`, and by `context.warn` what is to be said even if that is."""
        return self.validate_update(obj, old, context.subresource)

    def validate_update(self, obj: Tree, old: Tree, subresource: str = "") -> list[FieldError]:
        """What is wrong with the change of `old` to `obj`.

        Upstream checks the metadata for every kind and again for each, so their causes come twice.
        """
        errors = self.validate_common_update(obj, old)
        errors += self.validate_own_meta_update(obj, old, subresource)
        if subresource == "status":
            return errors + self.validate_status_update(obj, old)
        if subresource not in ("", "scale"):
            return errors + self.validate_subresource_update(obj, old, subresource)
        if self.revalidates_meta:
            errors += self.validate_meta(obj)
        return errors + self.validate_object_update(obj, old)

    def validate_common_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        """What upstream checks for every kind before it asks the kind."""
        return self._validate_path_name(obj) + object_meta.validate_meta_update(obj, old)

    def validate_own_meta_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        """What most kinds check of the metadata once more. Some check nothing, or what a new object must pass."""
        return object_meta.validate_meta_update(obj, old) + self._validate_finalizers(obj)

    def validate_meta(self, obj: Tree) -> list[FieldError]:
        errors = object_meta.validate_meta(obj, self.name_rule)
        return errors + self._validate_finalizers(obj)

    def _validate_finalizers(self, obj: Tree) -> list[FieldError]:
        return object_meta.validate_known_finalizers(obj) if self.knows_finalizers else []

    def _validate_path_name(self, obj: Tree) -> list[FieldError]:
        return object_meta.validate_meta(obj, object_meta.path_segment)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        """What is wrong beside the metadata."""
        return []

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return self.validate_object(obj)

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return []

    def validate_subresource_update(self, obj: Tree, old: Tree, subresource: str) -> list[FieldError]:
        """The same for what is neither the object nor its status."""
        return []

    def takes_long(self, obj: Tree) -> bool:
        """Whether to judge `obj` takes so long that it is done in a thread, where nothing may be changed."""
        return False

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        """Texts for Warning headers of a create (no `old`) or an update of the object itself or its scale."""
        return []

    def status_warnings(self, obj: Tree) -> list[str]:
        """The same for an update of the status."""
        return []

    def update_warnings(self, obj: Tree, old: Tree, subresource: str) -> list[str]:
        """What to warn of in the change of `old` to `obj`."""
        if subresource in ("", "scale"):
            return self.warnings(obj, old)
        return self.status_warnings(obj) if subresource == "status" else []

    def begin_create(self, obj: Tree, context: WriteContext) -> Reservation:
        """Take what the object needs to have alone. May fill it in, and raises APIError if it can't be had."""
        return NO_RESERVATION

    def begin_update(self, obj: Tree, old: Tree, context: WriteContext) -> Reservation:
        return NO_RESERVATION

    def reset_fields(self, subresource: str) -> FieldSet:
        """What a write through `subresource` ("" for the object) leaves as it was, so that it owns nothing of that."""
        return reset_fields(self.kind, subresource)

    # Deleting

    def check_deletion(self, name: str) -> None:
        """Raise APIError for what nobody may delete, whether it is there or not."""

    def grace_seconds(self, obj: Tree, requested: int | None) -> int:
        """How long to wait before the object goes; `requested` is at least 0. Asked where `deletes_gracefully`."""
        return 0

    def mark_deleted(self, obj: Tree, options: DeleteOptions) -> None:
        """A deletion was asked for, whose time is noted: change the rest. Asked where `deletes_in_two_phases`."""

    def blocks_removal(self, obj: Tree) -> bool:
        """Whether something beside metadata.finalizers keeps an object that is being deleted."""
        return False

    # Selecting

    def field_values(self, obj: Tree) -> Mapping[str, str]:
        """What field selectors see beside metadata.name and metadata.namespace."""
        return {
            field: field_text(obj, field) for field in self.kind.selectable_fields if not field.startswith("metadata.")
        }

    def field_selector(self, selector: FieldSelector) -> FieldSelector:
        """`selector` with old names of fields replaced; 400 for a field the kind can't be selected by."""
        return selector.renamed(self._selectable)

    def late_fields(self, selector: FieldSelector) -> LateFields | None:
        """Who knows the fields in `selector`, where a cached object doesn't tell them."""
        return None

    def _selectable(self, field: str) -> str:
        if field not in self.kind.selectable_fields and field not in self.kind.field_aliases:
            raise APIError.bad_request(self.kind.unsupported_field(field))
        return self.kind.field_aliases.get(field, field)


def keep(obj: Tree, old: Tree, field: str) -> None:
    """Undo whatever `obj` changed in a top-level field."""
    if field in old:
        obj[field] = old[field]
    else:
        obj.pop(field, None)


def keep_meta(obj: Tree, old: Tree, field: str) -> None:
    """Undo whatever `obj` changed in a field of its metadata."""
    keep(meta.ensure_meta(obj), dict(meta.metadata(old)), field)


def reset_meta_for_status(obj: Tree, old: Tree) -> None:
    """Undo whatever `obj` changed in the metadata that some kinds let no subresource change."""
    for name in ("deletionTimestamp", "generation", "labels", "annotations", "finalizers", "ownerReferences"):
        keep_meta(obj, old, name)


def field_text(obj: Tree, path: str, default: str = "") -> str:
    """The value at a dotted path as selectors compare it."""
    value: Any = obj
    for part in path.split("."):
        if not isinstance(value, dict):
            return default
        value = value.get(part)
    if value is None:
        return default
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
