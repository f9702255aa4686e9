"""What a request is about, read off its method, path and query.

    /api/v1/namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE
    /apis/GROUP/VERSION/RESOURCE/NAME

Everything else is a non-resource path, authorized by its path. Source: k8s.io/apiserver/pkg/endpoints/request.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_plus

from hyperkube_apiserver.parameters import flag
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.names import path_segment
from hyperkube_machinery.selectors import parse_fields

__all__ = ["Query", "RequestInfo", "parse_query", "request_info"]

Query = dict[str, list[str]]

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = frozenset(("status", "finalize"))
_SPECIAL_VERBS = frozenset(("proxy", "watch"))


@dataclass(slots=True)
class RequestInfo:
    """A request as the steps of the pipeline see it."""

    is_resource: bool
    path: str
    verb: str  # get list watch create update patch delete deletecollection proxy; else the method in lower case
    api_prefix: str = ""
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    field_selector: str = ""  # of a list, a watch or the deletion of a collection, unread
    label_selector: str = ""  # of the same
    rest: tuple[str, ...] = ()  # what follows all that
    names_object: bool = False  # whether the path names one object; `name` may come from a selector as well
    by_path: bool = False  # whether the verb stands in the path, as in /api/v1/watch/pods
    in_namespace: bool = False  # whether the path leads through a namespace; that of a namespace itself doesn't


def parse_query(query: str) -> Query:
    """The parameters of a query, each with its values in order; what is not a pair has the value ""."""
    if not query:
        return {}
    parameters: Query = {}
    for pair in query.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        if "%" in pair or "+" in pair:
            name, value = unquote_plus(name), unquote_plus(value)
        parameters.setdefault(name, []).append(value)
    return parameters


def request_info(method: str, path: str, query: Query) -> RequestInfo:
    """Read a request; paths that only look like resources come out with an empty `resource`."""
    stripped = path.strip("/")
    parts = stripped.split("/") if stripped else []
    verb = method.lower()
    if len(parts) < 3 or parts[0] not in ("api", "apis"):
        return RequestInfo(is_resource=False, path=path, verb=verb)
    prefix, group, rest = parts[0], "", parts[1:]
    if prefix == "apis":
        if len(rest) < 3:
            return RequestInfo(is_resource=False, path=path, verb=verb, api_prefix=prefix)
        group, rest = rest[0], rest[1:]
    info = RequestInfo(
        is_resource=True, path=path, verb=_VERBS.get(method, ""), api_prefix=prefix, group=group, version=rest[0]
    )
    rest = rest[1:]
    info.by_path = rest[0] in _SPECIAL_VERBS and len(rest) > 1
    if info.by_path:
        info.verb, rest = rest[0], rest[1:]
    if rest[0] == "namespaces" and len(rest) > 1:
        info.namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            info.in_namespace = True
            rest = rest[2:]
    info.resource = rest[0]
    if len(rest) > 1:
        info.name = rest[1]
        info.names_object = True
    below = rest[2:]
    if below and not info.by_path:
        info.subresource, *below = below
    info.rest = tuple(below)
    if not info.name:
        if info.verb == "get":
            info.verb = "watch" if flag(query, "watch") else "list"
            info.name = _only_name(query)
        elif info.verb == "delete":
            info.verb = "deletecollection"
        if "fieldSelector" in query:
            info.field_selector = query["fieldSelector"][0]
        if "labelSelector" in query:
            info.label_selector = query["labelSelector"][0]
    return info


def _only_name(query: Query) -> str:
    """The name that a field selector narrows a list to, so that a right to one name suffices to list it."""
    try:
        name = parse_fields(query.get("fieldSelector", [""])[0]).exact("metadata.name")
    except APIError:  # the handler refuses it
        return ""
    return name if name and not path_segment(name) else ""
