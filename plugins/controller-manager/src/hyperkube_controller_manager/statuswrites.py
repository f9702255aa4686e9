"""Writing the status of an object that somebody else may have changed meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.client import Client
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.meta import name, namespace, uid
from hyperkube_machinery.resources import Resource

__all__ = ["write_status"]

Tree = Mapping[str, Any]


async def write_status(client: Client, resource: Resource, obj: Tree, status: Tree) -> dict[str, Any]:
    """Replace the object's status, and return what is stored.

    If it was changed since it was read it is read again, and written once more: the spec may be newer by then, so
    `status` says by its observedGeneration what it is about. Raises APIError and ClientError.
    """
    try:
        return await client.replace(resource, {**obj, "status": status}, subresource="status")
    except APIError as exc:
        if exc.code != 409:
            raise
    fresh = await client.get(resource, name(obj), namespace(obj))
    if uid(fresh) != uid(obj):
        raise APIError.conflict(resource, name(obj), "another object has its name by now")
    return await client.replace(resource, {**fresh, "status": status}, subresource="status")
