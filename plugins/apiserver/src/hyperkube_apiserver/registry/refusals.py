"""Why a write is refused that meets another object, or another version of it, than it expects.

Source: k8s.io/apiserver/pkg/registry/generic/registry (Store), storage/etcd3, k8s.io/apimachinery/pkg/api/errors.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.registry.strategy import Strategy
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.versions import invalid_version, parse_version
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, FieldError
from hyperkube_machinery.resources import Resource

__all__ = ["already_exists", "check_version", "not_for_create", "other_uid", "outdated"]

Tree = dict[str, Any]

_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def outdated(resource: Resource, name: str) -> APIError:
    """409 for a change of what is no longer so."""
    return APIError.conflict(resource, name, _MODIFIED)


def check_version(resource: Resource, strategy: Strategy, tree: Tree, item: Item) -> None:
    """Raise unless the change was made to the object as it is, or to whatever it is where the kind allows that."""
    text = meta.resource_version(tree)
    revision = parse_version(text) if text else 0
    if revision is None:
        raise APIError.of(500, "", invalid_version(text))
    if revision == item.revision:
        return
    if revision:
        raise outdated(resource, item.name)
    if not strategy.allows_unconditional_update:
        error = FieldError.invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise APIError.invalid(resource.group, resource.resource, item.name, [error])


def not_for_create(resource_version: str) -> APIError:
    """500 for a new object with a version."""
    if parse_version(resource_version) is None:
        return APIError.of(500, "", invalid_version(resource_version))
    return APIError.of(500, "", "resourceVersion should not be set on objects to be created")


def other_uid(resource: Resource, key: str, name: str, wanted: str, found: str) -> APIError:
    """409 for an object that has taken the place of the one that is meant."""
    why = (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    )
    return APIError.conflict(resource, name, why)


def already_exists(resource: Resource, tree: Tree, existing: Item | None) -> APIError:
    """409 for a new object whose name is taken, by `existing` if that is still there."""
    error = APIError.already_exists(resource, meta.name(tree))
    status, headers = error.status, []
    if tree["metadata"].get("generateName"):
        status["message"] += ", the server was not able to generate a unique name for the object"
        status["details"]["retryAfterSeconds"] = 1
        headers.append(("Retry-After", "1"))
    if existing is not None and meta.deletion_timestamp(decode_body(existing.body)):
        status["message"] = f"object is being deleted: {status['message']}"
    return APIError(status, headers=headers)
