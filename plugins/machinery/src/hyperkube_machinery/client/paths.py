"""Where a resource is found on an API server."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from hyperkube_machinery.resources import Resource

__all__ = ["path_of", "query_of"]

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:")


def path_of(resource: Resource, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The path of a collection, an object or a subresource, percent-encoded; all namespaces where none is named.

    Raises ValueError for a name that can't stand in a path.
    """
    parts = [f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"]
    if namespace and resource.namespaced:
        parts += ("namespaces", _segment(namespace))
    parts.append(resource.resource)
    if name:
        parts.append(_segment(name))
    if subresource:
        parts.append(subresource)
    return "/".join(parts)


def _segment(text: str) -> str:
    if text in (".", ".."):
        raise ValueError(f"{text!r} is no name of an object")
    return text if _PLAIN.issuperset(text) else quote(text, safe=":")


def query_of(pairs: Iterable[tuple[str, str]]) -> str:
    """`?a=b&c=d` of what isn't empty, or nothing."""
    text = "&".join([f"{name}={quote(value, safe='')}" for name, value in pairs if value])
    return f"?{text}" if text else ""
