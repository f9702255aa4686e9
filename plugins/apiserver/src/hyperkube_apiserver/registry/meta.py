"""Metadata of every object: what the server fills in, what may be written and what may change.

Source: k8s.io/apiserver/pkg/registry/rest (BeforeCreate, BeforeUpdate), k8s.io/apimachinery/pkg/api/validation.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hyperkube_machinery import meta, names
from hyperkube_machinery.errors import APIError, FieldError

__all__ = [
    "NameRule",
    "before_create",
    "before_update",
    "dns_label",
    "dns_subdomain",
    "drop_double_owners",
    "generate_name",
    "go_strings",
    "immutable",
    "match_namespace",
    "path_segment",
    "validate_annotations",
    "validate_finalizer",
    "validate_known_finalizers",
    "validate_label_key",
    "validate_labels",
    "validate_meta",
    "validate_meta_update",
    "validate_name",
    "validate_standard_finalizer",
]

Tree = Mapping[str, Any]

NameRule = Callable[[str, bool], list[str]]
"""What is wrong with a name; for a generateName (True) what follows its end is left open."""

IMMUTABLE = "field is immutable"
_ANNOTATIONS_BYTES = 256 * 1024
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # no vowels, so that no words appear
_SUFFIX_LENGTH = 5
_GENERATED_LENGTH = 63


def dns_subdomain(name: str, prefix: bool) -> list[str]:
    return names.dns1123_subdomain(names.mask_trailing_dash(name) if prefix else name)


def dns_label(name: str, prefix: bool) -> list[str]:
    return names.dns1123_label(names.mask_trailing_dash(name) if prefix else name)


def path_segment(name: str, prefix: bool) -> list[str]:
    if prefix:
        return [f"may not contain '{part}'" for part in ("/", "%") if part in name]
    return names.path_segment(name)


def generate_name(prefix: str) -> str:
    """`prefix` and five random letters, shortened to fit a label."""
    suffix = "".join(random.choices(_SUFFIX_LETTERS, k=_SUFFIX_LENGTH))  # no secret, and there is one in every pod
    return prefix[: _GENERATED_LENGTH - _SUFFIX_LENGTH] + suffix


def match_namespace(obj: dict[str, Any], namespace: str) -> None:
    """Give the object the request's namespace ("" for cluster-wide kinds); 400 if it names another."""
    given = meta.namespace(obj)
    if given and namespace and given != namespace:
        raise APIError.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if namespace:
        meta.ensure_meta(obj)["namespace"] = namespace
    elif "namespace" in meta.metadata(obj):
        del meta.ensure_meta(obj)["namespace"]


def before_create(obj: dict[str, Any], *, namespace: str, now: str) -> None:
    """Fill in what the server owns: uid, times, namespace and a generated name. What the client sent of it is lost."""
    mine = meta.ensure_meta(obj)
    for field in _SERVER_OWNED:
        mine.pop(field, None)
    match_namespace(obj, namespace)
    if mine.get("generateName") and not mine.get("name"):
        mine["name"] = generate_name(mine["generateName"])
    mine["uid"] = str(uuid.uuid4())
    mine["creationTimestamp"] = now


def before_update(obj: dict[str, Any], old: Tree, *, namespace: str) -> None:
    """Carry over what a client may leave out or can't change without being told so."""
    match_namespace(obj, namespace)
    mine, before = meta.ensure_meta(obj), meta.metadata(old)
    _keep(mine, before, "generation")
    if not mine.get("uid"):
        _keep(mine, before, "uid")
    if before.get("creationTimestamp"):
        mine["creationTimestamp"] = before["creationTimestamp"]
    if before.get("deletionTimestamp"):
        mine["deletionTimestamp"] = before["deletionTimestamp"]
    if mine.get("deletionGracePeriodSeconds") is None:
        _keep(mine, before, "deletionGracePeriodSeconds")
    mine.pop("selfLink", None)


def drop_double_owners(obj: Tree, warn: Callable[[str], None], *, admitted: bool = False) -> None:
    """Leave each owner of `obj` in it once, and warn of those that came twice, be it after admission."""
    owners = meta.metadata(obj).get("ownerReferences")
    if not owners or len(owners) < 2:
        return
    kept: list[Tree] = []
    doubles = []
    for owner in owners:
        if owner in kept:
            doubles.append(owner.get("uid") or "")
        else:
            kept.append(owner)
    if doubles:
        owners[:] = kept
        when = " after mutating admission happens" if admitted else ""
        warn(
            f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, "
            "and may reject such requests as early as 1.24; please fix your requests; "
            f"duplicate UID(s) observed: {', '.join(doubles)}"
        )


def _keep(mine: dict[str, Any], before: Tree, field: str) -> None:
    if before.get(field) is None:
        mine.pop(field, None)
    else:
        mine[field] = before[field]


def go_strings(values: Iterable[str]) -> str:
    """A list of texts as Go prints it with %#v, which some messages hold."""
    return "[]string{" + ", ".join(f'"{value}"' for value in values) + "}"


def immutable(field: str, new: Any, old: Any) -> list[FieldError]:
    return [] if new == old else [FieldError.invalid(field, new, IMMUTABLE)]


def validate_name(obj: Tree, name_rule: NameRule, path: str = "metadata") -> list[FieldError]:
    """What is wrong with the name of an object, and with what it was generated from."""
    mine = meta.metadata(obj)
    errors: list[FieldError] = []
    if generate := mine.get("generateName"):
        errors += [FieldError.invalid(f"{path}.generateName", generate, text) for text in name_rule(generate, True)]
    if name := mine.get("name"):
        errors += [FieldError.invalid(f"{path}.name", name, text) for text in name_rule(name, False)]
    else:
        errors.append(FieldError.required(f"{path}.name", "name or generateName is required"))
    return errors


def validate_meta(obj: Tree, name_rule: NameRule, path: str = "metadata") -> list[FieldError]:
    """All that can be wrong with the metadata of one object, its names checked by the kind's rule.

    A namespace is there if the kind has them: the request says so.
    """
    mine = meta.metadata(obj)
    errors = validate_name(obj, name_rule, path)
    if namespace := mine.get("namespace"):
        errors += [FieldError.invalid(f"{path}.namespace", namespace, text) for text in names.dns1123_label(namespace)]
    if (mine.get("generation") or 0) < 0:
        text = "must be greater than or equal to 0"
        errors.append(FieldError.invalid(f"{path}.generation", mine["generation"], text))
    errors += validate_labels(mine.get("labels") or {}, f"{path}.labels")
    errors += validate_annotations(mine.get("annotations") or {}, f"{path}.annotations")
    errors += _validate_owners(mine.get("ownerReferences") or (), f"{path}.ownerReferences")
    errors += _validate_finalizers(mine.get("finalizers") or (), f"{path}.finalizers")
    errors += _validate_managed_fields(mine.get("managedFields") or (), f"{path}.managedFields")
    return errors


def validate_meta_update(obj: Tree, old: Tree, path: str = "metadata") -> list[FieldError]:
    """What may not change. The resourceVersion is the store's business."""
    new, before = meta.metadata(obj), meta.metadata(old)
    errors: list[FieldError] = []
    if before.get("deletionTimestamp") is not None:
        added = sorted(set(new.get("finalizers") or ()) - set(before.get("finalizers") or ()))
        if added:
            detail = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers {go_strings(added)}"
            )
            errors.append(FieldError.forbidden(f"{path}.finalizers", detail))
    for field in ("name", "namespace", "uid"):
        errors += immutable(f"{path}.{field}", new.get(field) or "", before.get(field) or "")
    for field in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        errors += immutable(f"{path}.{field}", new.get(field), before.get(field))
    errors += validate_labels(new.get("labels") or {}, f"{path}.labels")
    errors += validate_annotations(new.get("annotations") or {}, f"{path}.annotations")
    errors += _validate_owners(new.get("ownerReferences") or (), f"{path}.ownerReferences")
    errors += _validate_managed_fields(new.get("managedFields") or (), f"{path}.managedFields")
    return errors


def validate_label_key(key: str, path: str) -> list[FieldError]:
    return [FieldError.invalid(path, key, text) for text in names.qualified_name(key)]


def validate_labels(labels: Mapping[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key, value in labels.items():
        errors += validate_label_key(key, path)
        errors += [FieldError.invalid(path, value, text) for text in names.label_value(value)]
    return errors


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in annotations:
        errors += [FieldError.invalid(path, key, text) for text in names.qualified_name(key.lower())]
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > _ANNOTATIONS_BYTES:
        errors.append(FieldError.too_long(path, _ANNOTATIONS_BYTES))
    return errors


def validate_finalizer(name: str, path: str) -> list[FieldError]:
    return [FieldError.invalid(path, name, text) for text in names.qualified_name(name)]


def validate_known_finalizers(obj: Tree) -> list[FieldError]:
    """Finalizers without a domain are ones that the server itself knows."""
    return [
        error
        for index, name in enumerate(meta.finalizers(obj))
        for error in validate_standard_finalizer(name, f"metadata.finalizers[{index}]")
    ]


def validate_standard_finalizer(name: str, path: str) -> list[FieldError]:
    if "/" in name or name in _STANDARD_FINALIZERS:
        return []
    return [FieldError.invalid(path, name, "name is neither a standard finalizer name nor is it fully qualified")]


def _validate_finalizers(finalizers: Sequence[str], path: str) -> list[FieldError]:
    errors = [error for name in finalizers for error in validate_finalizer(name, path)]
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        errors.append(FieldError.invalid(path, list(finalizers), detail))
    return errors


def _validate_owners(owners: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    first = ""
    for owner in owners:
        api_version, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
        if not api_version.rpartition("/")[2]:
            errors.append(FieldError.invalid(f"{path}.apiVersion", api_version, "version must not be empty"))
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                errors.append(FieldError.invalid(f"{path}.{field}", "", "must not be empty"))
        if (api_version, kind) == ("v1", "Event"):
            detail = "/v1, Kind=Event is disallowed from being an owner"
            errors.append(FieldError.invalid(path, _ordered(owner), detail))
        if owner.get("controller"):
            current = f"{kind}/{owner.get('name') or ''}"
            if first:
                detail = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {first} and {current}'
                )
                errors.append(FieldError.invalid(path, [_ordered(one) for one in owners], detail))
            else:
                first = current
    return errors


def _ordered(owner: Tree) -> dict[str, Any]:
    """The reference with its fields as Go writes them, for messages that show it."""
    fields = ("apiVersion", "kind", "name", "uid")
    shown = {field: owner.get(field) or "" for field in fields}
    return shown | {field: owner[field] for field in ("controller", "blockOwnerDeletion") if field in owner}


def _validate_managed_fields(entries: Sequence[Tree], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, entry in enumerate(entries):
        at = f"{path}[{index}]"
        if entry.get("operation") not in ("Apply", "Update"):
            detail = "must be `Apply` or `Update`"
            errors.append(FieldError.invalid(f"{at}.operation", entry.get("operation") or "", detail))
        if entry.get("fieldsType") not in (None, "", "FieldsV1"):
            errors.append(FieldError.invalid(f"{at}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        if len((entry.get("manager") or "").encode()) > 128:
            errors.append(FieldError.too_long(f"{at}.manager", 128))
        if len((entry.get("subresource") or "").encode()) > 256:
            errors.append(FieldError.too_long(f"{at}.subresource", 256))
    return errors
