"""What another server says that it serves.

The aggregated document tells all groups of the server at once; one that doesn't know that form is asked for the
resources of each group version.
Source: k8s.io/kube-aggregator/pkg/apiserver (handler_discovery.go), k8s.io/apiserver/pkg/endpoints (installer.go).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from hyperkube_apiserver.aggregation.backend import Backend, Said
from hyperkube_apiserver.webhooks.errors import CallFailed

__all__ = ["Known", "read_aggregated", "read_resources", "served_by"]

Tree = dict[str, Any]
Resources = tuple[Tree, ...]
"""Resources as aggregated discovery (v2) lists those of one version."""

_FORM = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
_ACCEPT = ",".join(map(_FORM.format, ("v2", "v2beta1")))
_SECONDS = 5.0
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Known:
    """What a server was found to serve, and the tag of the document that said so."""

    resources: dict[tuple[str, str], Resources]
    tag: str = ""


async def served_by(backend: Backend, group: str, version: str, known: Known | None = None) -> Known:
    """What the server behind `backend` serves; of `group` and `version` alone if it can't tell of all at once.

    Raises CallFailed where it can't be asked, or answers what can't be read.
    """
    said = await backend.get("/apis", accept=_ACCEPT, known_tag=known.tag if known else "", seconds=_SECONDS)
    if said.status == 304 and known is not None:
        return known
    if said.status == _UNAVAILABLE:
        raise CallFailed(f"it answers {_UNAVAILABLE}", code=_UNAVAILABLE)
    if said.status == 200 and "as=APIGroupDiscoveryList" in said.headers.get("content-type", ""):
        return Known(read_aggregated(_tree(said)), said.headers.get("etag", ""))
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    said = await backend.get(path, accept="application/json", seconds=_SECONDS, masters=False)
    if said.status != 200:
        raise CallFailed(f"{path} answers {said.status}", code=said.status)
    return Known({(group, version): read_resources(_tree(said), group, version)})


def read_aggregated(document: Tree) -> dict[tuple[str, str], Resources]:
    """The resources in an APIGroupDiscoveryList, v2 or v2beta1, which differ in nothing here."""
    found = {}
    for group in _trees(document.get("items")):
        name = (group.get("metadata") or {}).get("name") or ""
        for version in _trees(group.get("versions")):
            found[name, version.get("version") or ""] = tuple(map(_with_kinds, _trees(version.get("resources"))))
    return found


def read_resources(document: Tree, group: str, version: str) -> Resources:
    """The resources in an APIResourceList of a group version, in the form of aggregated discovery."""
    listed = list(_trees(document.get("resources")))
    found: dict[str, Tree] = {}
    for one in listed:
        name, _, subresource = str(one.get("name") or "").partition("/")
        kind = {
            "group": one.get("group") or group,
            "version": one.get("version") or version,
            "kind": one.get("kind") or "",
        }
        scope = "Namespaced" if one.get("namespaced") else "Cluster"
        if not subresource:
            entry: Tree = {
                "resource": name,
                "responseKind": kind,
                "scope": scope,
                "singularResource": one.get("singularName") or "",
                "verbs": list(one.get("verbs") or ()),
            }
            for field in ("shortNames", "categories"):
                if one.get(field):
                    entry[field] = list(one[field])
            known = found.get(name, {})
            found[name] = entry | ({"subresources": known["subresources"]} if "subresources" in known else {})
            continue
        # A subresource may stand before its resource, or alone.
        parent = found.setdefault(name, {"resource": name, "responseKind": {}, "scope": scope, "verbs": []})
        told = {"subresource": subresource, "responseKind": kind, "verbs": list(one.get("verbs") or ())}
        parent.setdefault("subresources", []).append(told)
    return tuple(found.values())


def _with_kinds(resource: Tree) -> Tree:
    """A resource each of whose parts has a kind, without which some clients fail."""
    told = {**resource, "responseKind": resource.get("responseKind") or {}}
    if resource.get("subresources"):
        told["subresources"] = [
            {**one, "responseKind": one.get("responseKind") or {}} for one in _trees(resource["subresources"])
        ]
    return told


def _trees(value: Any) -> Iterable[Tree]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _tree(said: Said) -> Tree:
    try:
        document = orjson.loads(said.body)
    except orjson.JSONDecodeError as exc:
        raise CallFailed(f"what it serves can't be read: {exc}") from exc
    if not isinstance(document, dict):
        raise CallFailed("what it serves can't be read: it is no object")
    return document
