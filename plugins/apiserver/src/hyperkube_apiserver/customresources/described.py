"""What a definition makes the server offer: its kinds, read off the definition as it is accepted.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver (customresource_{discovery_controller,handler}.go).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hyperkube_apiserver.kinds import Kind, Subresource
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.versionorder import version_rank

__all__ = ["condition_holds", "ending_kind", "is_offered", "kinds_of"]

_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_LAST_VERBS = ("delete", "deletecollection", "get", "list", "watch")
"""What can be done while a definition ends, as discovery tells of it."""
_UPDATING = ("get", "patch", "update")

Tree = Mapping[str, Any]


def condition_holds(definition: Tree, kind: str) -> bool:
    """Whether a condition of a definition is true."""
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == kind and one.get("status") == "True" for one in conditions)


def is_offered(definition: Tree) -> bool:
    """Whether what is defined is served."""
    accepted = (definition.get("status") or {}).get("acceptedNames") or {}
    return condition_holds(definition, "Established") and all(
        accepted.get(field) for field in ("plural", "singular", "kind", "listKind")
    )


def kinds_of(definition: Tree) -> tuple[Kind, list[Kind]]:
    """What objects are stored as, and what is served of them; the first may not be among those."""
    versions = definition["spec"]["versions"]
    stored = next(version["name"] for version in versions if version.get("storage"))
    made = {version["name"]: _kind(definition, version, stored) for version in versions}
    return made[stored], [made[version["name"]] for version in versions if version.get("served")]


def ending_kind(kind: Kind) -> Kind:
    """`kind` as discovery tells of it while its definition is being deleted."""
    return replace(kind, resource=replace(kind.resource, verbs=_LAST_VERBS))


def _kind(definition: Tree, version: Tree, stored: str) -> Kind:
    spec, accepted = definition["spec"], definition["status"]["acceptedNames"]
    group, plural = spec["group"], accepted["plural"]
    resource = Resource(
        group=group,
        version=version["name"],
        resource=plural,
        kind=accepted["kind"],
        singular=accepted["singular"],
        namespaced=spec["scope"] == "Namespaced",
        verbs=_VERBS,
        short_names=tuple(accepted.get("shortNames") or ()),
        categories=tuple(accepted.get("categories") or ()),
        storage_version_hash=_hash_of(group, stored, accepted["kind"]),
    )
    metadata = ("metadata.name", "metadata.namespace") if resource.namespaced else ("metadata.name",)
    selectable = (one["jsonPath"].removeprefix(".") for one in version.get("selectableFields") or ())
    return Kind(
        resource=resource,
        definition="",
        list_kind=accepted["listKind"],
        storage_prefix=f"/registry/{group}/{plural}",
        stored_as=None if version["name"] == stored else (group, stored, plural),
        subresources=tuple(_subresources(version, resource)),
        selectable_fields=(*metadata, *selectable),
        deprecation=_deprecation(spec, version),
        unknown_field="field label not supported: {}",
    )


def _subresources(version: Tree, resource: Resource) -> Iterator[Subresource]:
    subresources = version.get("subresources") or {}
    if subresources.get("status") is not None:
        yield Subresource(name="status", kind=resource.kind, verbs=_UPDATING)
    if subresources.get("scale") is not None:
        yield Subresource(name="scale", kind="Scale", verbs=_UPDATING, group="autoscaling", version="v1")


def _deprecation(spec: Tree, version: Tree) -> str:
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning") is not None:
        return str(version["deprecationWarning"])
    kind, name = spec["names"]["kind"], version["name"]
    better = sorted(
        (
            one["name"]
            for one in spec["versions"]
            if one.get("served") and not one.get("deprecated") and version_rank(one["name"]) < version_rank(name)
        ),
        key=version_rank,
    )
    told = f"{spec['group']}/{name} {kind} is deprecated"
    return f"{told}; use {spec['group']}/{better[0]} {kind}" if better else told


def _hash_of(group: str, version: str, kind: str) -> str:
    """Source: k8s.io/apiserver/pkg/endpoints/discovery (StorageVersionHash)."""
    return base64.b64encode(hashlib.sha256(f"{group}/{version}/{kind}".encode()).digest()[:8]).decode()
