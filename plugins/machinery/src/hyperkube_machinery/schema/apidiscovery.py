"""The definitions of aggregated discovery, which are in no OpenAPI document: no API serves objects of them.

Source: k8s.io/api/apidiscovery/v2.
"""

from __future__ import annotations

from hyperkube_machinery.schema.table import OMITTED, WRITTEN

__all__ = ["DEFINITIONS", "LIST"]

_META, _GROUP = "io.k8s.apimachinery.pkg.apis.meta.v1.", "io.k8s.api.apidiscovery.v2."
LIST = _GROUP + "APIGroupDiscoveryList"
DEFINITIONS = {
    LIST: (
        ("metadata", f"{_META}ListMeta", OMITTED),
        ("items", f"[]{_GROUP}APIGroupDiscovery", WRITTEN),
    ),
    f"{_GROUP}APIGroupDiscovery": (
        ("metadata", f"{_META}ObjectMeta", OMITTED),
        ("versions", f"[]{_GROUP}APIVersionDiscovery", OMITTED),
    ),
    f"{_GROUP}APIVersionDiscovery": (
        ("version", "string", WRITTEN),
        ("resources", f"[]{_GROUP}APIResourceDiscovery", OMITTED),
        ("freshness", "string", OMITTED),
    ),
    f"{_GROUP}APIResourceDiscovery": (
        ("resource", "string", WRITTEN),
        ("responseKind", f"*{_GROUP}GroupVersionKind", OMITTED),
        ("scope", "string", WRITTEN),
        ("singularResource", "string", WRITTEN),
        ("verbs", "[]string", WRITTEN),
        ("shortNames", "[]string", OMITTED),
        ("categories", "[]string", OMITTED),
        ("subresources", f"[]{_GROUP}APISubresourceDiscovery", OMITTED),
    ),
    f"{_GROUP}APISubresourceDiscovery": (
        ("subresource", "string", WRITTEN),
        ("responseKind", f"*{_GROUP}GroupVersionKind", OMITTED),
        ("acceptedTypes", f"[]{_GROUP}GroupVersionKind", OMITTED),
        ("verbs", "[]string", WRITTEN),
    ),
    f"{_GROUP}GroupVersionKind": (
        ("group", "string", WRITTEN),
        ("version", "string", WRITTEN),
        ("kind", "string", WRITTEN),
    ),
}
"""Each field with its Go type and what it does when it is empty, in the order of their numbers."""
