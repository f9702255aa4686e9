"""What an API server serves. Source: k8s.io/api/apidiscovery/v2/types.go, k8s.io/client-go/discovery"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hyperkube_machinery.client.transport import ClientError
from hyperkube_machinery.resources import Resource

__all__ = ["ACCEPT", "resources_of"]

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

Tree = dict[str, Any]


def resources_of(*documents: Tree) -> list[Resource]:
    """Each resource once, in the version that its group prefers among those that have it."""
    found: dict[tuple[str, str], Resource] = {}
    for document in documents:
        if document.get("kind") != "APIGroupDiscoveryList":
            raise ClientError(
                f"the server has no aggregated discovery: it answers with {document.get('kind')!r}, "
                "as Kubernetes before 1.27 does"
            )
        for group in document.get("items") or ():
            for resource in _of_group(group):
                found.setdefault((resource.group, resource.resource), resource)
    return list(found.values())


def _of_group(group: Tree) -> Iterator[Resource]:
    name = (group.get("metadata") or {}).get("name") or ""
    for version in group.get("versions") or ():  # the preferred one is the first
        for entry in version.get("resources") or ():
            yield Resource(
                group=name,
                version=version["version"],
                resource=entry["resource"],
                kind=(entry.get("responseKind") or {}).get("kind") or "",
                singular=entry.get("singularResource") or "",
                namespaced=entry.get("scope") == "Namespaced",
                verbs=tuple(entry.get("verbs") or ()),
                short_names=tuple(entry.get("shortNames") or ()),
                categories=tuple(entry.get("categories") or ()),
            )
