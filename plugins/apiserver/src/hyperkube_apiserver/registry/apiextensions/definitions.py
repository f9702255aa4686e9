"""Definitions of custom resources. Source: k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.apiextensions.formats import known_format
from hyperkube_apiserver.registry.apiextensions.gonumbers import as_written, may_differ
from hyperkube_apiserver.registry.apiextensions.internalform import hoisted
from hyperkube_apiserver.registry.apiextensions.leniency import leniency_of
from hyperkube_apiserver.registry.apiextensions.names import validate_approval, validate_names
from hyperkube_apiserver.registry.apiextensions.schemas import Leniency
from hyperkube_apiserver.registry.apiextensions.specs import SpecRules, is_established
from hyperkube_apiserver.registry.apiextensions.states import FINALIZER, marked
from hyperkube_apiserver.registry.apiextensions.structural import sub_schemas
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import FieldError

__all__ = ["Definitions"]

_LONG_BYTES = 16 << 10
"""From here on the schemas of a definition take some milliseconds to check."""
_MISSING = (
    "missing from spec.versions; {0} was previously a storage version, and must remain in spec.versions until a "
    "storage migration ensures no data remains persisted in {0} and removes {0} from status.storedVersions"
)


class Definitions(Strategy):
    """What custom resources are called and what they hold."""

    allows_unconditional_update = False
    counts_generation = True
    knows_finalizers = False
    deletes_in_two_phases = True
    evaluates = True

    def default(self, obj: Tree) -> None:
        spec = obj.setdefault("spec", {})
        names = spec.setdefault("names", {})
        kind = names.get("kind") or ""
        if not names.get("singular") and kind:
            names["singular"] = kind.lower()
        if not names.get("listKind") and kind:
            names["listKind"] = f"{kind}List"
        conversion = spec.setdefault("conversion", {"strategy": "None"})
        service = ((conversion.get("webhook") or {}).get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
        status = obj.setdefault("status", {})
        if not status.get("storedVersions"):
            status["storedVersions"] = _storage_versions(obj) or None
        if may_differ(encode(spec)):  # defaults and enumerations, which are of any type
            obj["spec"] = as_written(spec)

    def initial_status(self, obj: Tree) -> Tree:
        return {
            "conditions": None,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": _storage_versions(obj) or None,
        }

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        super().prepare_for_update(obj, old, context)
        if context.subresource == "status":
            return
        stored = (obj.get("status") or {}).get("storedVersions") or []
        if added := [name for name in _storage_versions(obj) if name not in stored]:
            obj["status"] = {**(obj.get("status") or {}), "storedVersions": [*stored, *added]}

    def mark_deleted(self, obj: Tree, options: DeleteOptions) -> None:
        mine = obj["metadata"]
        if FINALIZER not in (finalizers := mine.get("finalizers") or []):
            mine["finalizers"] = [*finalizers, FINALIZER]
        obj["status"] = marked(obj, mine["deletionTimestamp"])["status"]

    def takes_long(self, obj: Tree) -> bool:
        return len(encode(obj.get("spec"))) > _LONG_BYTES

    def validate_meta(self, obj: Tree) -> list[FieldError]:
        spec = obj.get("spec") or {}
        wanted = f"{(spec.get('names') or {}).get('plural') or ''}.{spec.get('group') or ''}"

        def rule(name: str, prefix: bool) -> list[str]:
            wrong = object_meta.dns_subdomain(name, prefix)
            return wrong if name == wanted else [*wrong, 'must be spec.names.plural+"."+spec.group']

        return object_meta.validate_meta(obj, rule)

    def validate_object(self, obj: Tree) -> list[FieldError]:
        errors = SpecRules(Leniency()).check(hoisted(obj.get("spec") or {}))
        return errors + self._validate_rest(obj, None)

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        spec, before = hoisted(obj.get("spec") or {}), hoisted(old.get("spec") or {})
        errors = SpecRules(leniency_of(before), old=before, established=is_established(old)).check(spec)
        names, former = spec.get("names") or {}, before.get("names") or {}
        if is_established(old):
            errors += object_meta.immutable("spec.scope", spec.get("scope") or "", before.get("scope") or "")
            errors += object_meta.immutable("spec.names.kind", names.get("kind") or "", former.get("kind") or "")
        errors += object_meta.immutable("spec.group", spec.get("group") or "", before.get("group") or "")
        errors += object_meta.immutable("spec.names.plural", names.get("plural") or "", former.get("plural") or "")
        return errors + self._validate_rest(obj, old)

    def _validate_rest(self, obj: Tree, old: Tree | None) -> list[FieldError]:
        errors = self.validate_status_update(obj, obj)
        status, spec = obj.get("status") or {}, obj.get("spec") or {}
        errors += _validate_stored_versions(status.get("storedVersions"), spec.get("versions") or ())
        errors += validate_approval(obj, old)
        former = False if old is None else (old.get("spec") or {}).get("preserveUnknownFields")
        if spec.get("preserveUnknownFields") and not former:
            instead = "set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
            errors.append(FieldError.invalid("spec.preserveUnknownFields", True, f"cannot set to true, {instead}"))
        return errors

    def validate_status_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return validate_names((obj.get("status") or {}).get("acceptedNames") or {}, "status.acceptedNames")

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        known = set() if old is None else set(_unknown_formats(old))
        return [f'unrecognized format "{one}"' for one in _unknown_formats(obj) if one not in known]


def _storage_versions(obj: Tree) -> list[str]:
    """The name of the first version that is for storage, if there is one."""
    versions = (obj.get("spec") or {}).get("versions") or ()
    return [version.get("name") or "" for version in versions if version.get("storage")][:1]


def _unknown_formats(obj: Tree) -> Iterator[str]:
    spec = hoisted(obj.get("spec") or {})
    for holder in (spec.get("validation"), *(version.get("schema") for version in spec["versions"])):
        schema: dict[str, Any] = (holder or {}).get("openAPIV3Schema") or {}
        for one in sub_schemas(schema):
            if one.get("format") and not known_format(one):
                yield one["format"]


def _validate_stored_versions(stored: list[str] | None, versions: Any) -> list[FieldError]:
    """Every version that is for storage is among them, which fails only for the second of two."""
    path = "status.storedVersions"
    if not stored:
        return [FieldError.invalid(path, None, "must have at least one stored version")]
    names = [version.get("name") or "" for version in versions]
    errors = [
        FieldError.invalid(path, stored, f"must have the storage version {name}")
        for name, version in zip(names, versions, strict=True)
        if version.get("storage") and name not in stored
    ]
    positions = {name: index for index, name in enumerate(stored)}
    return errors + [
        FieldError.invalid(f"{path}[{index}]", name, _MISSING.format(name))
        for name, index in positions.items()
        if name not in names
    ]
