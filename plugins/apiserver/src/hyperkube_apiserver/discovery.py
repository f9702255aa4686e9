"""Discovery: what is served, told as clients ask for it.

    /api, /apis                 the groups; aggregated with their resources for those who accept that
    /apis/GROUP                 one group
    /api/v1, /apis/GROUP/VERSION    the resources of one version

Source: k8s.io/apiserver/pkg/endpoints/discovery, KEP-3352.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from hyperkube_apiserver.kinds import Kind, Subresource
from hyperkube_apiserver.offering import Group, OfferedVersion, Offering
from hyperkube_apiserver.printers import JSON, PROTOBUF, YAML, negotiate_document, parse_accept
from hyperkube_apiserver.rewriting import as_protobuf, as_yaml
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.serving.messages import Request, Response

__all__ = ["Discovery"]

_ALL = {"as": "APIGroupDiscoveryList", "g": "apidiscovery.k8s.io", "v": "v2"}
"""How the aggregated form is asked for; v2beta1 is gone, as upstream's is since 1.33."""
_AGGREGATED = "{};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_MEDIA_TYPES = {"json": JSON.media_type, "*": JSON.media_type, "yaml": YAML, "vnd.kubernetes.protobuf": PROTOBUF}
"""By the subtypes that clients name."""

Tree = dict[str, Any]


class Discovery:
    """The discovery documents of what is offered, each made when it is first asked for and again after a change.

    Most clients ask for the aggregated ones alone; all of them are a megabyte.
    """

    def __init__(self, offering: Offering, server_address: str) -> None:
        self._offering = offering
        self._server_address = server_address
        self._generation = -1
        self._documents: dict[str, Callable[[], Tree]] = {}
        self._encoded: dict[str, bytes] = {}
        self._aggregated: dict[str, tuple[bytes, str]] = {}

    def _current(self) -> Mapping[str, Callable[[], Tree]]:
        """What makes each document, as of now."""
        if self._generation != self._offering.generation:
            self._generation = self._offering.generation
            self._documents = self._open()
            self._encoded.clear()
            self._aggregated.clear()
        return self._documents

    def _open(self) -> dict[str, Callable[[], Tree]]:
        groups = self._offering.groups()
        documents: dict[str, Callable[[], Tree]] = {
            "/api": partial(_api_versions, _named("", groups), self._server_address),
            "/apis": partial(_group_list, [group for group in groups if group.name]),
        }
        for group in groups:
            if group.name:
                documents[f"/apis/{group.name}"] = partial(_api_group, group)
            for one in group.versions:
                root = f"/apis/{group.name}" if group.name else "/api"
                if one.delegate is None:
                    group_version = f"{group.name}/{one.version}" if group.name else one.version
                    documents[f"{root}/{one.version}"] = partial(_resource_list, group_version, one.kinds)
        return documents

    @property
    def paths(self) -> list[str]:
        """The paths that are answered, for the index at the root."""
        return sorted([*self._current(), "/apis/"])

    def knows_group_of(self, path: str) -> bool:
        """Whether `path` lies below a group that is built in; all of /api does."""
        match path.split("/")[1:]:
            case ["api", _, *_]:
                return True
            case ["apis", group, *_]:
                return self._offering.is_built_in(group)
        return False

    def answer(self, request: Request, path: str) -> Response | None:
        """The document at `path`, which has no slash at its end, or None where there is none. Raises APIError 406."""
        if path not in self._current():
            return None
        accept = request.headers.get("accept", "")
        media_type = _aggregated_type(accept) if path in ("/api", "/apis") else ""
        if media_type:
            body, tag = self._in_one(path)
            headers = (("ETag", tag), ("Vary", "Accept"), ("Cache-Control", "public"))
            if request.headers.get("if-none-match") == tag:
                return Response(304, b"", "", headers)
            response = _rewritten(Response(200, body, headers=headers), media_type)
            response.content_type = _AGGREGATED.format(media_type)
            return response
        media_type = negotiate_document(accept, routed=self._is_routed(path))
        return _rewritten(Response(200, self._document(path)), media_type)

    def _is_routed(self, path: str) -> bool:
        """Whether upstream has a route for `path`: groups, and the versions of custom resources, it answers without."""
        match path.split("/")[1:]:
            case ["api", *_]:
                return True
            case ["apis", group, _]:
                return self._offering.is_built_in(group)
        return False

    def _document(self, path: str) -> bytes:
        document = self._encoded.get(path)
        if document is None:
            document = self._encoded[path] = encode(self._documents[path]())
        return document

    def _in_one(self, path: str) -> tuple[bytes, str]:
        """The aggregated document at `path`, and its tag."""
        made = self._aggregated.get(path)
        if made is None:
            groups = [group for group in self._offering.groups() if bool(group.name) == (path == "/apis")]
            document = encode(_aggregated(groups))
            made = self._aggregated[path] = document, f'"{hashlib.sha512(document).hexdigest().upper()}"'
        return made


def _rewritten(response: Response, media_type: str) -> Response:
    """A JSON document as another media type."""
    if media_type == YAML:
        return as_yaml(response)
    return as_protobuf(response) if media_type == PROTOBUF else response


@lru_cache(maxsize=64)
def _aggregated_type(accept: str) -> str:
    """The media type of the aggregated form, if that is what an Accept header wants most, or ""."""
    if "apidiscovery.k8s.io" not in accept:
        return ""
    for clause in parse_accept(accept):
        media_type = _MEDIA_TYPES.get(clause.subtype)
        if clause.type not in ("application", "*") or media_type is None:
            continue
        wanted = {key: clause.parameters[key] for key in _ALL if key in clause.parameters}
        if not wanted:
            return ""
        if wanted == _ALL:
            return media_type
    return ""


def _named(name: str, groups: Iterable[Group]) -> Group:
    return next((group for group in groups if group.name == name), Group(name, ()))


def _api_versions(core: Group, server_address: str) -> Tree:
    return {
        "kind": "APIVersions",
        "versions": [one.version for one in core.versions],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def _group_list(groups: Iterable[Group]) -> Tree:
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(map(_group, groups))}


def _api_group(group: Group) -> Tree:
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}


def _group(group: Group) -> Tree:
    told = [{"groupVersion": f"{group.name}/{one.version}", "version": one.version} for one in group.versions]
    return {"name": group.name, "versions": told, "preferredVersion": told[0]}


def _resource_list(group_version: str, kinds: Iterable[Kind]) -> Tree:
    resources = []
    for kind in kinds:
        resource = kind.resource
        entry: Tree = {
            "name": resource.resource,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        if resource.storage_version_hash:
            entry["storageVersionHash"] = resource.storage_version_hash
        resources.append(entry)
        resources += [_subresource(kind, one) for one in kind.subresources]
    document: Tree = {"kind": "APIResourceList", "groupVersion": group_version, "resources": resources}
    if "/" in group_version:
        document["apiVersion"] = "v1"
    return document


def _subresource(kind: Kind, subresource: Subresource) -> Tree:
    entry: Tree = {
        "name": f"{kind.resource.resource}/{subresource.name}",
        "singularName": "",
        "namespaced": kind.resource.namespaced,
        "kind": subresource.kind,
        "verbs": list(subresource.verbs),
    }
    if subresource.version:
        entry["group"], entry["version"] = subresource.group, subresource.version
    return entry


def _aggregated(groups: Iterable[Group]) -> Tree:
    items = []
    for group in groups:
        told = list(map(_aggregated_version, group.versions))
        items.append({"metadata": {"name": group.name} if group.name else {}, "versions": told})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated_version(version: OfferedVersion) -> Tree:
    told: Tree = {"version": version.version}
    if version.delegate is None:
        return told | {"resources": list(map(_aggregated_resource, version.kinds)), "freshness": "Current"}
    resources = version.delegate.resources()
    if resources:
        told["resources"] = list(resources)
    return told | {"freshness": "Stale" if resources is None else "Current"}


def _aggregated_resource(kind: Kind) -> Tree:
    resource = kind.resource
    entry: Tree = {
        "resource": resource.resource,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if kind.subresources:
        entry["subresources"] = [
            {
                "subresource": one.name,
                "responseKind": {
                    "group": one.group if one.version else resource.group,
                    "version": one.version or resource.version,
                    "kind": one.kind,
                },
                "verbs": list(one.verbs),
            }
            for one in kind.subresources
        ]
    return entry
