"""How a plugin refuses. Source: k8s.io/apiserver/pkg/admission/errors.go."""

from __future__ import annotations

from hyperkube_apiserver.authz.forbidden import forbidden_because
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError

__all__ = ["forbidden"]


def forbidden(attributes: Attributes, why: str) -> APIError:
    """403 about the object of a request, which may have no name yet."""
    name = attributes.name
    if not name:
        metadata = meta.metadata(attributes.obj or {})
        name = metadata.get("name") or metadata.get("generateName") or "Unknown"
    resource = attributes.kind.resource
    return forbidden_because(resource.group, resource.resource, name, why)
