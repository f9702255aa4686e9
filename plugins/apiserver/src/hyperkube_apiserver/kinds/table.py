"""What the table of kinds says, as values.

`kinds.json` holds one entry a served resource: what discovery tells of it, its schema's definition, where it is
stored, by which fields it can be selected and the columns of its tables. A kind becomes served by an entry there; only
what it does differently from others is code (`registry`).
Source: discovery, Tables and field selectors of kube-apiserver 1.36; keys as in k8s.io/kubernetes/pkg/registry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

import orjson

from hyperkube_machinery.packaged import read_packaged
from hyperkube_machinery.resources import Resource

__all__ = ["Column", "Kind", "Subresource", "load_kinds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a server-side Table."""

    name: str
    type: str
    format: str
    description: str
    priority: int  # 0 is always shown, others with `-o wide`


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """What is served below an object's own path."""

    name: str  # status, scale, …
    kind: str  # of its bodies
    verbs: tuple[str, ...]
    group: str = ""  # of `kind`, where it differs from the resource's; see `version`
    version: str = ""  # empty: `kind` has the resource's own group and version


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One served resource of one version."""

    resource: Resource
    definition: str  # of the object in the schemas: io.k8s.api.core.v1.Pod
    list_kind: str
    storage_prefix: str  # /registry/pods; empty for what is never stored (bindings)
    stored_as: tuple[str, str, str] | None = None  # the key of the kind that this is another version of
    subresources: tuple[Subresource, ...] = ()
    selectable_fields: tuple[str, ...] = ()
    field_aliases: Mapping[str, str] = field(default_factory=dict)  # by other names, what objects are stored with
    columns: tuple[Column, ...] = ()
    deprecation: str = ""  # what every request for it is warned of
    unknown_field: str = ""  # the complaint about a field that can't be selected by, with {} for its name

    @property
    def is_stored(self) -> bool:
        """Whether objects are stored as this, rather than as another version or not at all."""
        return bool(self.storage_prefix) and self.stored_as is None

    def key(self, namespace: str, name: str) -> str:
        """Where the object lives in the store; `namespace` is not looked at for what is cluster-wide."""
        if self.resource.namespaced:
            return f"{self.storage_prefix}/{namespace}/{name}"
        return f"{self.storage_prefix}/{name}"

    def prefix(self, namespace: str = "") -> str:
        """What the keys of all objects, or of those in `namespace`, begin with."""
        if namespace and self.resource.namespaced:
            return f"{self.storage_prefix}/{namespace}/"
        return f"{self.storage_prefix}/"

    def subresource(self, name: str) -> Subresource | None:
        return next((one for one in self.subresources if one.name == name), None)

    def unsupported_field(self, field: str) -> str:
        """The API server's complaint about a field that objects of this kind can't be selected by."""
        if self.unknown_field:
            return self.unknown_field.format(field)
        return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


@cache
def load_kinds() -> Mapping[tuple[str, str, str], Kind]:
    """Every served kind by (group, version, plural), in discovery order."""
    entries = orjson.loads(read_packaged("hyperkube_apiserver.kinds", "kinds.json"))
    prefixes = {_key(entry): entry.get("storage", "") for entry in entries}
    kinds = [_kind(entry, prefixes) for entry in entries]
    return MappingProxyType(
        {(kind.resource.group, kind.resource.version, kind.resource.resource): kind for kind in kinds}
    )


def _key(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["group"], entry["version"], entry["resource"]


def _kind(entry: dict[str, Any], prefixes: Mapping[tuple[str, str, str], str]) -> Kind:
    stored_as = (*entry["storedAs"], entry["resource"]) if "storedAs" in entry else None
    resource = Resource(
        group=entry["group"],
        version=entry["version"],
        resource=entry["resource"],
        kind=entry["kind"],
        singular=entry["singular"],
        namespaced=entry["namespaced"],
        verbs=tuple(entry["verbs"]),
        short_names=tuple(entry.get("shortNames", ())),
        categories=tuple(entry.get("categories", ())),
        storage_version_hash=entry.get("storageVersionHash", ""),
    )
    return Kind(
        resource=resource,
        definition=entry["definition"],
        list_kind=f"{resource.kind}List",
        storage_prefix=prefixes[stored_as or _key(entry)],
        stored_as=stored_as,
        subresources=tuple(
            Subresource(**{**one, "verbs": tuple(one["verbs"])}) for one in entry.get("subresources", ())
        ),
        selectable_fields=tuple(entry.get("selectable", ())),
        field_aliases=entry.get("fieldAliases", {}),
        columns=tuple(Column(**one) for one in entry.get("columns", ())),
        deprecation=entry.get("deprecation", ""),
        unknown_field=entry.get("unknownField", ""),
    )
