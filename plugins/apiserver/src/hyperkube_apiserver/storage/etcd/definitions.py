"""CustomResourceDefinitions as upstream stores them, in version v1beta1 still, in the one version that is served.

What all versions have in common stands once there, beside them.
Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/{v1,v1beta1}/conversion.go.
"""

from __future__ import annotations

from typing import Any

__all__ = ["OLD", "definition_from_v1beta1"]

OLD = "apiextensions.k8s.io/v1beta1"
_NEW = "apiextensions.k8s.io/v1"

Tree = dict[str, Any]

# Of the spec, and of each version.
_SHARED = {
    "validation": "schema",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}


def definition_from_v1beta1(tree: Tree) -> Tree:
    """The definition as v1 has it."""
    spec: Tree = dict(tree.get("spec", {}))
    shared = {name: spec.pop(old) for old, name in _SHARED.items() if old in spec}
    first = spec.pop("version", "")
    versions = spec.get("versions") or [{"name": first, "served": True, "storage": True}]
    spec["versions"] = [_version({**shared, **version}) for version in versions]
    if spec.get("preserveUnknownFields", True):
        spec["preserveUnknownFields"] = True
    else:  # v1's default
        del spec["preserveUnknownFields"]
    conversion = dict(spec.get("conversion") or {"strategy": "None"})
    client = conversion.pop("webhookClientConfig", None)
    reviewed = conversion.pop("conversionReviewVersions", None)
    if client is not None or reviewed is not None:
        webhook = {"clientConfig": client, "conversionReviewVersions": reviewed}
        conversion["webhook"] = {name: value for name, value in webhook.items() if value is not None}
    spec["conversion"] = conversion
    return {**tree, "apiVersion": _NEW, "spec": spec}


def _version(version: Tree) -> Tree:
    columns = version.get("additionalPrinterColumns")
    if columns:
        version["additionalPrinterColumns"] = [
            {("jsonPath" if name == "JSONPath" else name): value for name, value in column.items()}
            for column in columns
        ]
    return version
