"""Questions to authorizers as the SubjectAccessReviews that webhooks and their match conditions see.

Source: k8s.io/apiserver/plugin/pkg/authorizer/webhook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.selectors import parse_fields, parse_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hyperkube_apiserver.authz.attributes import Attributes
    from hyperkube_machinery.identity import Identity

__all__ = ["review_spec"]

_FIELD_OPERATORS = {"=": "In", "==": "In", "!=": "NotIn"}
_LABEL_OPERATORS = {
    "=": "In",
    "==": "In",
    "in": "In",
    "!=": "NotIn",
    "notin": "NotIn",
    "exists": "Exists",
    "!": "DoesNotExist",
}

Tree = dict[str, Any]


def review_spec(identity: Identity, info: Attributes) -> Tree:
    """The spec of the review that asks whether `identity` may do what `info` says."""
    spec: Tree = {}
    if info.is_resource:
        spec["resourceAttributes"] = _resource(info)
    else:
        spec["nonResourceAttributes"] = _filled({"path": info.path, "verb": info.verb})
    who: Tree = {
        "user": identity.name,
        "groups": list(identity.groups),
        "extra": {key: list(values) for key, values in identity.extra.items()},
        "uid": identity.uid,
    }
    return {**spec, **_filled(who)}


def _filled(tree: Mapping[str, Any]) -> Tree:
    return {field: value for field, value in tree.items() if value}


def _resource(info: Attributes) -> Tree:
    return _filled(
        {
            "namespace": info.namespace,
            "verb": info.verb,
            "group": info.group,
            "version": info.version,
            "resource": info.resource,
            "subresource": info.subresource,
            "name": info.name,
            "fieldSelector": _fields(info.field_selector),
            "labelSelector": _labels(info.label_selector),
        }
    )


# What can't be read, or can't be said, is left out: a selector only narrows, and the question gets wider without it.


def _fields(text: str) -> Tree:
    try:
        parsed = parse_fields(text).requirements if text else ()
    except APIError:
        return {}
    said = [{"key": one.field, "operator": _FIELD_OPERATORS[one.operator], "values": [one.value]} for one in parsed]
    return {"requirements": said} if said else {}


def _labels(text: str) -> Tree:
    try:
        parsed = parse_labels(text).requirements if text else ()
    except APIError:
        return {}
    said = [
        _filled({"key": one.key, "operator": _LABEL_OPERATORS[one.operator], "values": list(one.values)})
        for one in parsed
        if one.operator in _LABEL_OPERATORS
    ]
    return {"requirements": said} if said else {}
